"""A proxy between gateways and PostgreSQL that can keep the answer of a commit to itself.

It knows the wire protocol (PostgreSQL's documentation, "Message Flow") only as far as it has to: the parameters of the
start-up message, the type and length of each message, Bind (a statement begins), ReadyForQuery (it is committed).
"""

import asyncio
import re
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

PORT = 5432
_BIND, _READY, _ERROR, _KEY = b"BZEK"
_LIFE = re.compile(rb"crash\.life=(\d+)")
_LENGTH = 4
MOST_AT_ONCE = 64 * 1024

# Told which life of a gateway asked and which process of PostgreSQL answers; says whether the answer may go on.
OnCommit = Callable[[int, int], Awaitable[bool]]


def messages(unread: bytearray) -> list[bytes]:
    """The complete messages at the beginning of what came, which they are taken from."""
    found = []
    while len(unread) > _LENGTH:
        (length,) = struct.unpack_from("!I", unread, 1)
        if len(unread) <= length:
            break
        found.append(bytes(unread[: 1 + length]))
        del unread[: 1 + length]
    return found


@dataclass
class _Connection:
    """One connection of a gateway: what it is for, and what is kept back of its answers."""

    line: str
    life: int
    backend: int = 0
    is_watched: bool = False
    kept: list[bytes] = field(default_factory=list)


class PostgresProxy:
    """Listens in a folder of its own as PostgreSQL does; a connection there is one to the server behind."""

    def __init__(self, server: Path, folder: Path) -> None:
        self._server, self._folder = server / f".s.PGSQL.{PORT}", folder
        self._awaited: tuple[str, OnCommit] | None = None
        self._listening: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen."""
        self._folder.mkdir(mode=0o700)
        self._listening = await asyncio.start_unix_server(self._begin, self._folder / f".s.PGSQL.{PORT}")

    async def stop(self) -> None:
        """Listen no more, and end what is open."""
        if self._listening is not None:
            self._listening.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def await_commit(self, line: str, on_commit: OnCommit) -> None:
        """With the next commit on a gateway's connection `line` ("admit", "settle"), ask `on_commit`, once."""
        self._awaited = (line, on_commit)

    def await_none(self) -> None:
        """Pass everything."""
        self._awaited = None

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            begin = await reader.readexactly(_LENGTH)
            begin += await reader.readexactly(struct.unpack("!I", begin)[0] - _LENGTH)
            behind_reader, behind_writer = await asyncio.open_unix_connection(self._server)
        except (OSError, asyncio.IncompleteReadError):
            writer.close()
            return
        behind_writer.write(begin)
        life = _LIFE.search(begin)
        name = re.search(rb"application_name\0beffroi ([^\0]*)\0", begin)
        connection = _Connection(name[1].decode() if name else "", int(life[1]) if life else 0)
        pumps = [
            asyncio.ensure_future(self._ask(connection, reader, behind_writer)),
            asyncio.ensure_future(self._answer(connection, behind_reader, writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            writer.close()
            behind_writer.close()

    async def _ask(self, connection: _Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """From the gateway to the server, watching for the beginning of an awaited statement."""
        unread = bytearray()
        while data := await reader.read(MOST_AT_ONCE):
            unread += data
            begins = any(message[0] == _BIND for message in messages(unread))
            if begins and self._awaited is not None and self._awaited[0] == connection.line:
                connection.is_watched = True
            writer.write(data)
            await writer.drain()

    async def _answer(
        self, connection: _Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """From the server to the gateway, keeping back the answer of a watched statement until it is whole."""
        unread = bytearray()
        while data := await reader.read(MOST_AT_ONCE):
            unread += data
            for message in messages(unread):
                connection.kept.append(message)
                if message[0] == _KEY:
                    (connection.backend,) = struct.unpack_from("!I", message, 1 + _LENGTH)
                if connection.is_watched and message[0] == _READY and not await self._may_pass(connection):
                    return
            if not connection.is_watched:
                writer.write(b"".join(connection.kept))
                connection.kept.clear()
                await writer.drain()

    async def _may_pass(self, connection: _Connection) -> bool:
        """What the campaign says of this commit; a statement that failed is none, and the next one is awaited."""
        connection.is_watched = False
        awaited = self._awaited
        if awaited is None or any(message[0] == _ERROR for message in connection.kept):
            return True
        self._awaited = None
        return await awaited[1](connection.life, connection.backend)
