"""Request ids: UUIDv7 (RFC 9562, 5.7), which sort by time and so name their partition."""

import os
import time
import uuid
from collections.abc import Iterator

RANDOM_BYTES = 10  # a UUID
AT_ONCE = 256  # UUIDs: the kernel is asked once for all of them


def _random_numbers() -> Iterator[int]:
    while True:
        pool = os.urandom(RANDOM_BYTES * AT_ONCE)
        for start in range(0, len(pool), RANDOM_BYTES):
            yield int.from_bytes(pool[start : start + RANDOM_BYTES], "big")


_random = _random_numbers()


def new_request_id() -> uuid.UUID:
    """A UUIDv7: 48 bits of Unix milliseconds, then random. Not for processes that fork."""
    number = (time.time_ns() // 1_000_000) << 80 | next(_random)
    number = number & ~(0xF << 76) | 0x7 << 76
    number = number & ~(0x3 << 62) | 0x2 << 62
    return uuid.UUID(int=number)
