"""Asks a process of ours whether it is ready, over TCP or a Unix socket."""

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ASK_SECONDS = 5  # a process that does not answer a health question within this is not ready
READY_SECONDS = 90  # loading Django on a small, busy machine takes 10


class NotReadyError(Exception):
    """A process ended or did not get ready in time."""


@dataclass(frozen=True)
class HealthCheck:
    """A GET that is answered once the process is ready; a status from 500 on is a "not yet"."""

    address: tuple[str, int] | Path
    path: str

    def wait_until_ready(self, is_alive: Callable[[], bool], pause: Callable[[float], None]) -> None:
        """Return once it is ready. Raises: NotReadyError."""
        deadline = time.monotonic() + READY_SECONDS
        while is_alive() and time.monotonic() < deadline:
            if 200 <= self.status() < 500:
                return
            pause(0.1)
        raise NotReadyError("it ended" if not is_alive() else f"it was not ready after {READY_SECONDS} seconds")

    def status(self) -> int:
        """The HTTP status, or 0 where nobody answers."""
        family = socket.AF_UNIX if isinstance(self.address, Path) else socket.AF_INET
        if isinstance(self.address, tuple) and ":" in self.address[0]:
            family = socket.AF_INET6
        with socket.socket(family) as connection:
            connection.settimeout(ASK_SECONDS)
            try:
                connection.connect(str(self.address) if isinstance(self.address, Path) else self.address)
                connection.sendall(f"GET {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
                first_line = connection.makefile("rb").readline(200)
            except OSError:
                return 0
        words = first_line.split()
        return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
