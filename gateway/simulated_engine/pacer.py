"""One timer for every paced answer of a process.

A ring of slots, `TICK` seconds apart: adding an answer is an append, and each tick empties one slot.  Five thousand
streams cost as many timers as one.
"""

import asyncio
from typing import Protocol

TICK = 0.002
SLOTS = 4096
"""The ring covers 8 s; what is due later is looked at again when its slot comes."""


class Paced(Protocol):
    """Something that the pacer wakes."""

    due: float
    cancelled: bool

    def fire(self) -> float | None:
        """Do what is due; returns when (loop time, seconds) to be woken next, or None."""


class Pacer:
    """Wakes `Paced` items at their time, late by at most a tick and a turn of the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ring: list[list[Paced]] = [[] for _ in range(SLOTS)]
        self._at = 0
        self._waiting = 0
        self._ticking = False

    def add(self, item: Paced, due: float) -> None:
        """Wake `item` at loop time `due`."""
        if not self._ticking:
            self._ticking = True
            self._at = int(self._loop.time() / TICK)
            self._loop.call_later(TICK, self._tick)
        self._waiting += 1
        item.due = due
        slot = min(max(int(due / TICK), self._at + 1), self._at + SLOTS - 1)
        self._ring[slot % SLOTS].append(item)

    def _tick(self) -> None:
        try:
            self._empty_slots(self._loop.time())
        finally:
            self._ticking = self._waiting > 0
            if self._ticking:
                self._loop.call_later(TICK, self._tick)

    def _empty_slots(self, now: float) -> None:
        while (self._at + 1) * TICK <= now:
            self._at += 1
            items = self._ring[self._at % SLOTS]
            if items:
                self._ring[self._at % SLOTS] = []
                self._waiting -= len(items)
                self._wake(items, now)

    def _wake(self, items: list[Paced], now: float) -> None:
        for item in items:
            if not item.cancelled:
                again = item.fire() if item.due <= now + TICK else item.due
                if again is not None:
                    self.add(item, again)
