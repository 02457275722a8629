"""Connections of the relay to PostgreSQL: one for each purpose, opened anew when lost. Queries are text with `%s`."""

import asyncio
import logging
import os
import socket
from collections.abc import Sequence
from typing import Any

import msgspec
import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.json import set_json_loads

logger = logging.getLogger("beffroi.database")
set_json_loads(msgspec.json.decode)

# Outcome unknown or server away: try again on a new connection with the same ids.
LOST = (
    psycopg.OperationalError, psycopg.InterfaceError, OSError, asyncio.TimeoutError,
    psycopg.errors.ReadOnlySqlTransaction,  # after a failover: the server that we reached is the standby now
)  # fmt: skip
# Nothing was done, and the same call may succeed now.
ONCE_MORE = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)
# A server whose machine is gone closes nothing: the kernel finds out within this, before a request gave up waiting.
PROBES: dict[str, Any] = {
    "tcp_user_timeout": 5000, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3,
}  # fmt: skip

FENCED = "BF001"


class Line:
    """One connection, used by one task at a time. `call_s`: a call that takes longer has lost its server."""

    def __init__(self, url: str, name: str, call_s: float) -> None:
        self._url, self._name, self._call_s = url, name, call_s
        # The server gives a call up when we do: what waited there for a lock must not be done once it was repeated.
        self._options = f"{conninfo_to_dict(url).get('options') or ''} -c statement_timeout={round(call_s * 1000)}"
        self._connection: psycopg.AsyncConnection[tuple[Any, ...]] | None = None

    async def connection(self) -> psycopg.AsyncConnection[tuple[Any, ...]]:
        """The open connection, made where there is none; raises one of LOST."""
        if self._connection is None or self._connection.closed:
            self._connection = await psycopg.AsyncConnection.connect(
                self._url,
                autocommit=True,
                connect_timeout=5,
                application_name=f"beffroi {self._name}",
                options=self._options,
                **PROBES,
            )
        return self._connection

    async def call(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run one statement, answer its rows. Where the connection is lost one of LOST is raised: outcome unknown."""
        try:
            connection = await self.connection()
            # Not a cancellation, for which psycopg would ask the same silent server and wait for it again.
            overdue = asyncio.get_running_loop().call_later(self._call_s, _break_off, connection)
            try:
                return await self._run(connection, query, parameters)
            finally:
                overdue.cancel()
        except LOST as error:
            if not isinstance(error, ONCE_MORE):
                await self.close()
            raise

    async def _run(
        self, connection: psycopg.AsyncConnection[tuple[Any, ...]], query: str, parameters: Sequence[object]
    ) -> list[tuple[Any, ...]]:
        cursor = await connection.execute(query, parameters, prepare=True, binary=True)
        return await cursor.fetchall() if cursor.description else []

    async def close(self) -> None:
        """Close the connection, if one is open."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


def _break_off(connection: psycopg.AsyncConnection[tuple[Any, ...]]) -> None:
    """End a connection from our side: whoever waits on it hears that it is lost."""
    if not connection.closed:
        with socket.socket(fileno=os.dup(connection.fileno())) as ours:
            ours.shutdown(socket.SHUT_RDWR)
