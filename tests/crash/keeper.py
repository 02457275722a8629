"""Starts the processes of a campaign and starts again what ends, as the supervisor of an installation does.

It uses the supervisor's own services (so that what is left behind is cleared in the same way), but waits for nothing:
the supervisor lets a process that dies every few seconds rest for longer each time.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from console.supervisor.processes import stop
from console.supervisor.service import Service

LOOK_EVERY_S = 0.05
STOP_PATIENCE_S = 10


@dataclass
class Kept:
    """A process that is kept alive. `environment` is made anew for each life of it; lives are numbered over all."""

    service: Service
    environment: Callable[[int], Mapping[str, str]]
    life: int = 0
    away_s: float = 0.0  # how long it stays away when it ends the next time
    not_before: float = 0.0  # monotonic
    lives: list[int] = field(default_factory=list)

    @property
    def pid(self) -> int | None:
        """Its process number while it runs."""
        return self.service.pid


class Keeper(threading.Thread):
    """Its thread starts every process: the kernel ends them should it die."""

    def __init__(self, logs: Path) -> None:
        super().__init__(name="keeper", daemon=True)
        self.logs = logs
        self._kept: list[Kept] = []
        self._lives = 0
        self._over = threading.Event()
        self.pid_of_life: dict[int, int] = {}
        self.ended_at: dict[int, float] = {}  # Unix seconds, by life

    def keep(self, service: Service, environment: Callable[[int], Mapping[str, str]]) -> Kept:
        """Start it, soon, and again whenever it ends."""
        kept = Kept(service, environment)
        self._kept.append(kept)
        return kept

    def run(self) -> None:
        """Look after everybody until it is over, then stop all, the last one first."""
        while not self._over.wait(LOOK_EVERY_S):
            for kept in list(self._kept):
                self._look_after(kept)
        for kept in reversed(self._kept):
            if kept.service.process is not None:
                stop(kept.service.process, kept.service.command.stop_signal, STOP_PATIENCE_S)

    def _look_after(self, kept: Kept) -> None:
        if kept.service.has_ended():
            self.ended_at[kept.life] = time.time()
            kept.not_before, kept.away_s = time.monotonic() + kept.away_s, 0.0
        if kept.service.process is not None or time.monotonic() < kept.not_before:
            return
        self._lives += 1
        kept.life = self._lives
        kept.lives.append(kept.life)
        kept.service.start(kept.environment(kept.life), self.logs / f"{kept.service.name}.log")
        self.pid_of_life[kept.life] = kept.pid or 0

    def end(self) -> None:
        """Stop everything and wait for it."""
        self._over.set()
        self.join()
