"""One process that must always run."""

import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path

from console.supervisor.processes import PROCESS, Command, end_session, spawn

Alive = Callable[[], bool]
Pause = Callable[[float], None]

# A process that ends at once is started again after 1, 2, 4, ... seconds, never later than this.
LONGEST_BACK_OFF_SECONDS = 30.0
# Having run this long it is healthy: its next end counts as the first.
HEALTHY_SECONDS = 60.0


class Renewal(Enum):
    """How a service is started anew, as after an upgrade."""

    NEVER = auto()  # it holds data, or work that nobody else has
    AFTER = auto()  # once it has ended: two at the same time would be in each other's way
    BESIDE = auto()  # its successor serves before it ends


def at_once(is_alive: Alive, pause: Pause) -> None:
    """For a process that nobody waits for."""


@dataclass
class Service:
    """A process, how to see that it is ready, and how long it may take to stop.

    `kind` groups processes that are the same thing (`gateway`); `before_start` cleans up what its last life left.
    """

    name: str
    kind: str
    command: Command
    patience_seconds: float
    wait_until_ready: Callable[[Alive, Pause], None] = at_once
    before_start: Callable[[], object] = lambda: None
    renewal: Renewal = Renewal.NEVER
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _started_at: float = field(default=0.0, init=False)
    _start_again_at: float = field(default=0.0, init=False)
    _short_lives: int = field(default=0, init=False)

    @property
    def pid(self) -> int | None:
        """Its process number while it runs."""
        return self.process.pid if self.process and self.is_alive() else None

    def is_alive(self) -> bool:
        """Whether it runs now."""
        return self.process is not None and self.process.poll() is None

    def start(self, environment: Mapping[str, str], log: Path) -> None:
        """Start it; its output goes to `log`."""
        self.before_start()
        self.process = spawn(self.command, {**environment, PROCESS: self.name}, log)
        self._started_at = time.monotonic()

    def has_ended(self) -> bool:
        """True once for each end: what it left behind is gone then, and the time of its next start is set."""
        if self.process is None or self.is_alive():
            return False
        end_session(self.process)
        self.process = None
        healthy = time.monotonic() - self._started_at > HEALTHY_SECONDS
        self._short_lives = 0 if healthy else self._short_lives + 1
        self._start_again_at = time.monotonic() + self.back_off_seconds
        return True

    @property
    def back_off_seconds(self) -> float:
        """How long to wait before the next start: the first time not at all."""
        return min(LONGEST_BACK_OFF_SECONDS, 2.0 ** (self._short_lives - 2)) if self._short_lives > 1 else 0.0

    def is_due(self) -> bool:
        """Whether it ended and its time to start again has come."""
        return self.process is None and time.monotonic() >= self._start_again_at
