"""Bytes of request bodies that a process holds, bounded (I8): past the bound clients wait, past the wait 503."""

import time
from typing import Protocol

READ_BYTES = 256 * 1024  # what one client may bring before it can be stopped again


class Holder(Protocol):
    """Whoever sends a body."""

    def memory_came(self) -> None:
        """There is room again: go on reading."""

    def refuse_memory(self) -> None:
        """It did not come in time."""


class Memory:
    """Counts bytes against a bound. Who goes past it waits, `wait_s` seconds at most; the first goes on first."""

    def __init__(self, limit_bytes: int, wait_s: float) -> None:
        self._limit_bytes, self._free, self._wait_s = limit_bytes, limit_bytes, wait_s
        self._waiting: dict[Holder, float] = {}

    @property
    def held_bytes(self) -> int:
        """Those that are here."""
        return self._limit_bytes - self._free

    def take(self, holder: Holder, size: int) -> bool:
        """Count bytes that are here; false when their sender has to wait before it sends more."""
        self._free -= size
        if self._free >= 0:
            return True
        self._waiting.setdefault(holder, time.monotonic() + self._wait_s)
        return False

    def release(self, size: int) -> None:
        """Bytes are gone: as many of those who wait go on as there is room for their next read."""
        self._free += size
        room = self._free
        while self._waiting and room >= 0:
            holder = next(iter(self._waiting))
            del self._waiting[holder]
            room -= READ_BYTES
            holder.memory_came()

    def forget(self, holder: Holder) -> None:
        """It waits no longer."""
        self._waiting.pop(holder, None)

    def overdue(self, now: float) -> list[Holder]:
        """Take out those that have waited for too long (`now`: monotonic seconds)."""
        late = [holder for holder, deadline in self._waiting.items() if deadline < now]
        for holder in late:
            del self._waiting[holder]
        return late
