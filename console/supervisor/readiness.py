"""How a process of ours shows that it is ready: it says so through a pipe."""

import os
import time
from collections.abc import Callable

READY_SECONDS = 90  # loading Django on a small, busy machine takes 10


class NotReadyError(Exception):
    """A process ended or did not get ready in time."""


class ReadyPipe:
    """A pipe into which a process writes a byte as soon as it serves: where several share a socket only it can tell."""

    def __init__(self) -> None:
        self._reader, self.writer = os.pipe()
        os.set_blocking(self._reader, False)

    def clear(self) -> None:
        """Forget what earlier processes said."""
        while self._has_news():
            pass

    def wait_until_ready(self, is_alive: Callable[[], bool], pause: Callable[[float], None]) -> None:
        """Return once the byte came. Raises: NotReadyError."""
        _wait_for(self._has_news, is_alive, pause)

    def _has_news(self) -> bool:
        try:
            return bool(os.read(self._reader, 1))
        except BlockingIOError:
            return False


def _wait_for(is_ready: Callable[[], bool], is_alive: Callable[[], bool], pause: Callable[[float], None]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while is_alive() and time.monotonic() < deadline:
        if is_ready():
            return
        pause(0.1)
    raise NotReadyError("it ended" if not is_alive() else f"it was not ready after {READY_SECONDS} seconds")
