"""Request ids: UUIDv7 (RFC 9562, 5.7), which sort by time and so name their partition."""

import os
import time
import uuid


def new_request_id() -> uuid.UUID:
    """A UUIDv7: 48 bits of Unix milliseconds, then random."""
    random = int.from_bytes(os.urandom(10), "big")
    number = (time.time_ns() // 1_000_000) << 80 | random
    number = number & ~(0xF << 76) | 0x7 << 76
    number = number & ~(0x3 << 62) | 0x2 << 62
    return uuid.UUID(int=number)
