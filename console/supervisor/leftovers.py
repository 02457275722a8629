"""Processes of an earlier start that outlived it.

They should not: the kernel stops children when their supervisor dies. But a child's own child has no such tie, and one
that is stuck ignores its signal. Each carries our mark in its environment: there is no list of numbers to go stale.
"""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from console.supervisor.environment import MARK

TERMINATE_SECONDS = 10
KILL_SECONDS = 10


def end_leftovers(home: Path, pause: Callable[[float], None]) -> int:
    """Stop every process that an earlier start of this home left behind. Returns: how many there were."""
    found = _marked(home)
    for pid in found:
        _signal(pid, signal.SIGTERM)
    _wait_until_gone(home, TERMINATE_SECONDS, pause)
    for pid in _marked(home):
        _signal(pid, signal.SIGKILL)
    _wait_until_gone(home, KILL_SECONDS, pause)  # until then it may still hold the port
    return len(found)


def _wait_until_gone(home: Path, seconds: float, pause: Callable[[float], None]) -> None:
    deadline = time.monotonic() + seconds
    while _marked(home) and time.monotonic() < deadline:
        pause(0.1)


def _marked(home: Path) -> list[int]:
    mark = f"{MARK}={home}".encode()
    return [
        int(process.name)
        for process in Path("/proc").iterdir()
        if process.name.isdigit() and int(process.name) != os.getpid() and mark in _environment(process)
    ]


def _environment(process: Path) -> list[bytes]:
    try:
        return (process / "environ").read_bytes().split(b"\0")
    except OSError:  # it ended meanwhile, or is somebody else's
        return []


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
