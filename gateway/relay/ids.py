"""Request ids: UUIDv7 (RFC 9562, 5.7), which sort by time and so name their partition."""

import os
import time
import uuid

RANDOM_BYTES = 10  # a UUID
AT_ONCE = 256  # UUIDs: the kernel is asked once for all of them

_pool: list[bytes] = []
os.register_at_fork(after_in_child=_pool.clear)  # or a child would make its parent's ids


def _random() -> bytes:
    while True:
        try:
            return _pool.pop()
        except IndexError:
            drawn = os.urandom(RANDOM_BYTES * AT_ONCE)
            _pool.extend(drawn[start : start + RANDOM_BYTES] for start in range(0, len(drawn), RANDOM_BYTES))


def new_request_id() -> uuid.UUID:
    """A UUIDv7: 48 bits of Unix milliseconds, then random."""
    number = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(_random(), "big")
    number = number & ~(0xF << 76) | 0x7 << 76
    number = number & ~(0x3 << 62) | 0x2 << 62
    return uuid.UUID(int=number)
