"""Connections of the relay to PostgreSQL: one for each purpose, opened anew when lost. Queries are text with `%s`."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import msgspec
import psycopg
from psycopg.types.json import set_json_loads

logger = logging.getLogger("beffroi.database")
set_json_loads(msgspec.json.decode)

# Outcome unknown or server away: try again on a new connection with the same ids.
LOST = (
    psycopg.OperationalError, psycopg.InterfaceError, OSError, asyncio.TimeoutError,
    psycopg.errors.ReadOnlySqlTransaction,  # after a failover: the server that we reached is the standby now
)  # fmt: skip
CALL_S = 20  # longer than any wait for a lock; a call that hangs longer lost its server

FENCED = "BF001"


class Line:
    """One connection, used by one task at a time."""

    def __init__(self, url: str, name: str) -> None:
        self._url, self._name = url, name
        self._connection: psycopg.AsyncConnection[tuple[Any, ...]] | None = None

    async def connection(self) -> psycopg.AsyncConnection[tuple[Any, ...]]:
        """The open connection, made where there is none; raises one of LOST."""
        if self._connection is None or self._connection.closed:
            self._connection = await psycopg.AsyncConnection.connect(
                self._url, autocommit=True, connect_timeout=5, application_name=f"beffroi {self._name}"
            )
        return self._connection

    async def call(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run one statement, answer its rows. Where the connection is lost one of LOST is raised: outcome unknown."""
        try:
            connection = await self.connection()
            async with asyncio.timeout(CALL_S):
                cursor = await connection.execute(query, parameters, prepare=True, binary=True)
                return await cursor.fetchall() if cursor.description else []
        except LOST as error:
            if not isinstance(error, psycopg.errors.DeadlockDetected):
                await self.close()
            raise

    async def close(self) -> None:
        """Close the connection, if one is open."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
