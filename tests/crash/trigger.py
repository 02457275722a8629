"""The file that arms a round: the campaign writes it, the first gateway that comes to the point takes it and strikes.

Taking is a rename, so that of two processes that come there together one strikes. What was struck is written down
before it is struck: the one who strikes may be the victim.
"""

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SELF, ENGINE, BACKEND = "self", "engine", "backend"


@dataclass(frozen=True, slots=True)
class Order:
    """What to do at a point, to a request whose label begins with `prefix`.

    target: SELF, ENGINE (the one that serves the request, by its port in `engines`), BACKEND (the one that serves the
    gateway's own connection), or process numbers separated by spaces.
    """

    point: str
    prefix: str
    signal: int
    target: str
    engines: dict[str, int]


@dataclass(frozen=True, slots=True)
class Hit:
    """That it was done: Unix seconds, by which process, to which ones."""

    at: float
    by: int
    pids: list[int]
    label: str


class Trigger:
    """The armed file and its answer, in a folder that campaign and gateways share."""

    def __init__(self, folder: Path) -> None:
        self._armed, self._taken, self._hit = folder / "armed", folder / "taken", folder / "hit"

    def arm(self, order: Order) -> None:
        """Wait for it."""
        self.disarm()
        written = self._armed.with_suffix(".new")
        written.write_text(json.dumps({name: getattr(order, name) for name in Order.__slots__}))
        written.rename(self._armed)

    def disarm(self) -> None:
        """Wait no more; forget what was hit."""
        for path in (self._armed, self._taken, self._hit):
            path.unlink(missing_ok=True)

    @property
    def hit(self) -> Hit | None:
        """What was struck, None until then."""
        try:
            return Hit(**json.loads(self._hit.read_text()))
        except FileNotFoundError:
            return None

    def take(self, point: str, label: str) -> Order | None:
        """The order, if this is what it waits for and nobody else took it."""
        try:
            order = Order(**json.loads(self._armed.read_text()))
        except (FileNotFoundError, ValueError):
            return None
        if order.point != point or not label.startswith(order.prefix):
            return None
        try:
            self._armed.rename(self._taken)
        except FileNotFoundError:
            return None
        return order

    def strike(self, pids: list[int], number: int, label: str) -> None:
        """Write it down, then send the signal."""
        told: dict[str, Any] = {"at": time.time(), "by": os.getpid(), "pids": pids, "label": label}
        written = self._hit.with_suffix(".new")
        written.write_text(json.dumps(told))
        written.rename(self._hit)
        for pid in pids:
            os.kill(pid, number)
