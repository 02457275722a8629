"""Group commit: one call to the ledger for all that arrived while the last one ran. Batches become small by themselves at rest."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import psycopg

from gateway.relay.database import FENCED, LOST

logger = logging.getLogger("beffroi.ledger")

RETRY_S = 0.2

Item = TypeVar("Item")
Result = TypeVar("Result")


class LedgerUnavailable(Exception):
    """The database did not answer in time; whether it did the work is unknown."""


class LedgerRefused(Exception):
    """The database answered with an error for this very item."""


@dataclass(slots=True, eq=False)
class Waiting(Generic[Item, Result]):
    """An item on its way. `deadline`: a monotonic clock's seconds after which nobody waits; `again`: its outcome may be unknown."""

    item: Item
    result: asyncio.Future[Result]
    deadline: float
    again: bool = False


class GroupCommit(Generic[Item, Result]):
    """A queue of items and the task that commits them.

    execute: does a batch and answers a result an item, in order; `again` says that some of it may have been done before.
    on_fenced: called once when the ledger refuses this incarnation.
    """

    def __init__(
        self,
        execute: Callable[[list[Item], bool], Awaitable[list[Result]]],
        *,
        batch: int,
        on_fenced: Callable[[], None],
    ) -> None:
        self._execute, self._batch, self._on_fenced = execute, batch, on_fenced
        self._queue: deque[Waiting[Item, Result]] = deque()
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        return len(self._queue)

    def submit(self, item: Item, wait_s: float) -> asyncio.Future[Result]:
        """Queue an item. The future has its result, or LedgerUnavailable after `wait_s` seconds, or LedgerRefused."""
        result: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._queue.append(Waiting(item, result, time.monotonic() + wait_s))
        self._idle.clear()
        self._arrived.set()
        return result

    async def drained(self) -> None:
        """Wait until nothing is queued or under way."""
        await self._idle.wait()

    async def run(self) -> None:
        """Commit batch after batch, for ever."""
        while True:
            await self._arrived.wait()
            batch = [self._queue.popleft() for _ in range(min(self._batch, len(self._queue)))]
            if not self._queue:
                self._arrived.clear()
            await self._commit(batch)
            if not self._queue:
                self._idle.set()

    async def _commit(self, batch: list[Waiting[Item, Result]]) -> None:
        """Commit a batch: again while the database is away, one by one when it does not like something in it."""
        while batch:
            try:
                results = await self._execute(
                    [waiting.item for waiting in batch], any(waiting.again for waiting in batch)
                )
            except psycopg.errors.DeadlockDetected:
                continue
            except LOST as error:
                logger.warning("the database is away: %s; %d wait", type(error).__name__, len(batch) + len(self._queue))
                batch = self._give_up_late_ones(batch)
                for waiting in batch:
                    waiting.again = True
                await asyncio.sleep(RETRY_S)
            except psycopg.Error as error:
                if error.sqlstate == FENCED:
                    self._on_fenced()
                    return self._fail(batch, LedgerUnavailable("this process was fenced"))
                if len(batch) == 1:
                    logger.error("the ledger refused an item: %s", error.sqlstate)
                    return self._fail(batch, LedgerRefused(error.sqlstate or "?"))
                for waiting in batch:
                    await self._commit([waiting])
                return
            else:
                for waiting, result in zip(batch, results, strict=True):
                    if not waiting.result.done():
                        waiting.result.set_result(result)
                return

    def _give_up_late_ones(self, batch: list[Waiting[Item, Result]]) -> list[Waiting[Item, Result]]:
        """Fail those whose time is over, queued ones too; answers the others of the batch."""
        now = time.monotonic()
        late = LedgerUnavailable("the database did not answer in time")
        self._fail([waiting for waiting in batch if waiting.deadline <= now], late)
        self._fail([waiting for waiting in self._queue if waiting.deadline <= now], late)
        self._queue = deque(waiting for waiting in self._queue if waiting.deadline > now)
        return [waiting for waiting in batch if waiting.deadline > now]

    @staticmethod
    def _fail(batch: list[Waiting[Item, Result]], error: Exception) -> None:
        for waiting in batch:
            if not waiting.result.done():
                waiting.result.set_exception(error)
