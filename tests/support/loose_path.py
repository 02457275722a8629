"""A way to a PostgreSQL on which connections can be lost without a word to either end, as behind a firewall."""

import shutil
import socket
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.outage import OwnPostgres

SOCKET = ".s.PGSQL.5432"


class LoosePath:
    """A socket before the server's own; `environment` leads there."""

    def __init__(self, postgres: OwnPostgres) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="beffroi-path-", dir="/tmp"))
        sockets = postgres.folder / "sockets"
        self._server = str(sockets / SOCKET)
        self.environment = {
            name: url.replace(str(sockets), str(self._folder)) for name, url in postgres.environment.items()
        }
        self._ends: list[socket.socket] = []
        self._lost: set[socket.socket] = set()
        self._is_broken = False
        self._listening = socket.socket(socket.AF_UNIX)

    def __enter__(self) -> Self:
        self._listening.bind(str(self._folder / SOCKET))
        self._listening.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.close()
        for end in self._ends:
            end.close()
        shutil.rmtree(self._folder)

    def lose(self) -> None:
        """Whatever is sent on today's connections arrives nowhere from now on; new ones work."""
        self._lost.update(self._ends)

    def break_off(self) -> None:
        """Nothing arrives, also on connections that are made now."""
        self._is_broken = True
        self.lose()

    def mend(self) -> None:
        """New connections work again."""
        self._is_broken = False

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            self._ends += [client, server]
            if self._is_broken:
                continue
            try:
                server.connect(self._server)
            except OSError:
                client.close()
                continue
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=self._carry, args=(source, target), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65_536):
                if source in self._lost:
                    return
                target.sendall(data)
            if source not in self._lost:
                target.shutdown(socket.SHUT_WR)
        except OSError:
            pass
