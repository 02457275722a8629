"""Hears whose access changed (`identity/access_news.py`), so that a socket ends with its session and not a check later.

One connection to PostgreSQL a process, while somebody listens. Without it, or behind a pooler that swallows the news,
the sockets' own checks find out.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import psycopg

from console.database_line import line_options
from identity.access_news import CHANNEL

RETRY_S = 5.0
# So often the line is tried: one at whose other end nobody is any more says nothing by itself.
TRY_EVERY_S = 30.0
_LISTEN = f"listen {CHANNEL}"

Ask = Callable[[], Awaitable[None]]
logger = logging.getLogger(__name__)


class AccessNews:
    """The process's one ear. Lives in the server's event loop."""

    def __init__(self) -> None:
        self._asks: dict[int, set[Ask]] = {}
        self._task: asyncio.Task[None] | None = None

    def add(self, person_id: int, ask: Ask) -> None:
        """Call `ask` whenever the person's access may have changed, from now on."""
        self._asks.setdefault(person_id, set()).add(ask)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    def remove(self, person_id: int, ask: Ask) -> None:
        """No more."""
        asks = self._asks.get(person_id, set())
        asks.discard(ask)
        if not asks:
            self._asks.pop(person_id, None)

    async def _run(self) -> None:
        while self._asks:
            try:
                await self._hear()
            except psycopg.Error as error:
                logger.warning("live pages: no news of sign-outs for a moment (%s)", type(error).__name__)
                await asyncio.sleep(RETRY_S)

    async def _hear(self) -> None:
        options = line_options("beffroi live pages")
        async with await psycopg.AsyncConnection.connect(**options, autocommit=True) as line:
            await line.execute(_LISTEN)
            for person_id in list(self._asks):  # what was said before we listened
                await self._tell(person_id)
            while self._asks:
                async for news in line.notifies(timeout=TRY_EVERY_S):
                    await self._tell(int(news.payload))
                await line.execute(_LISTEN)

    async def _tell(self, person_id: int) -> None:
        for ask in list(self._asks.get(person_id, ())):
            await ask()
