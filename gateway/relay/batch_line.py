"""The ledger's two busy connections: statements that are prepared once, through libpq itself.

A cursor of psycopg weighs anew what each parameter and each statement is, which costs more than the ledger's own work
for a small batch: 60 us of CPU a call, 10 this way. Errors, rows and lost connections are psycopg's as before.
"""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import psycopg
from psycopg.adapt import Transformer
from psycopg.pq import ExecStatus, Format
from psycopg.pq.abc import PGconn, PGresult

from gateway.relay.database import Line


class BatchLine(Line):
    """A line whose statements with `$1`, `$2` get their parameters as they are: UUIDs, or bytes in text format."""

    _prepared: tuple[object, dict[str, bytes]] = (None, {})

    async def _run(
        self, connection: psycopg.AsyncConnection[tuple[Any, ...]], query: str, parameters: Sequence[object]
    ) -> list[tuple[Any, ...]]:
        if "$1" not in query:
            return await super()._run(connection, query, parameters)
        try:
            name = await self._prepare(connection, query)
            values = [value.bytes if isinstance(value, UUID) else value for value in parameters]
            formats = [Format.BINARY if isinstance(value, UUID) else Format.TEXT for value in parameters]
            connection.pgconn.send_query_prepared(name, values, formats, Format.BINARY)  # type: ignore[arg-type]
            result = await _answer(connection.pgconn)
        except asyncio.CancelledError:
            await self.close()  # what it will still answer must not be taken for the answer to the next call
            raise
        rows = Transformer.from_context(connection)
        rows.set_pgresult(result)
        return rows.load_rows(0, result.ntuples, tuple)

    async def _prepare(self, connection: psycopg.AsyncConnection[tuple[Any, ...]], query: str) -> bytes:
        """The name by which this connection knows the statement."""
        owner, names = self._prepared
        if owner is not connection:
            names = {}
            self._prepared = connection, names
        if query not in names:
            name = f"batch_{len(names)}".encode()
            connection.pgconn.send_prepare(name, query.encode())
            await _answer(connection.pgconn)
            names[query] = name
        return names[query]


async def _answer(server: PGconn) -> PGresult:
    """Send what waits, then wait for the one result. Raises psycopg.Error as a cursor does."""
    loop, socket = asyncio.get_running_loop(), server.socket
    while server.flush():
        await _turn(loop.add_writer, loop.remove_writer, socket)
        server.consume_input()
    results = []
    while True:
        while server.is_busy():
            await _turn(loop.add_reader, loop.remove_reader, socket)
            server.consume_input()
        result = server.get_result()
        if result is None:
            break
        results.append(result)
    if results[0].status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
        raise psycopg.errors.error_from_result(results[0])
    return results[0]


async def _turn(add: Any, remove: Any, socket: int) -> None:
    """Wait until the socket takes or gives bytes."""
    ready = asyncio.get_running_loop().create_future()
    add(socket, _wake, ready)
    try:
        await ready
    finally:
        remove(socket)


def _wake(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
