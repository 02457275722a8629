"""How a process of ours shows that it is ready: it answers over TCP, or it says so through a pipe."""

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

ASK_SECONDS = 5  # a process that does not answer a health question within this is not ready
READY_SECONDS = 90  # loading Django on a small, busy machine takes 10


class NotReadyError(Exception):
    """A process ended or did not get ready in time."""


@dataclass(frozen=True)
class HealthCheck:
    """A GET that is answered once the process is ready; a status from 500 on is a "not yet"."""

    address: tuple[str, int]
    path: str

    def wait_until_ready(self, is_alive: Callable[[], bool], pause: Callable[[float], None]) -> None:
        """Return once it is ready. Raises: NotReadyError."""
        _wait_for(lambda: 200 <= self.status() < 500, is_alive, pause)

    def status(self) -> int:
        """The HTTP status, or 0 where nobody answers."""
        with socket.socket() as connection:
            connection.settimeout(ASK_SECONDS)
            try:
                connection.connect(self.address)
                connection.sendall(f"GET {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
                first_line = connection.makefile("rb").readline(200)
            except OSError:
                return 0
        words = first_line.split()
        return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0


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
