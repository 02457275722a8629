"""Group commit: one call to the ledger for all that arrived while the last one ran. At rest batches are small."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import psycopg

from gateway.relay.database import FENCED, LOST, ONCE_MORE
from gateway.relay.failures import log_failure

logger = logging.getLogger("beffroi.ledger")

RETRY_S = 0.2
CLASHES_MOST = 3  # one call whose answer was lost makes one; the database may be lost several times
WATCH_S = 0.5  # how late a late one may be given up while a call hangs

Item = TypeVar("Item")
Result = TypeVar("Result")


class LedgerUnavailable(Exception):
    """The database did not answer in time; whether it did the work is unknown."""


class LedgerRefused(Exception):
    """The database answered with an error for this very item."""


@dataclass(slots=True, eq=False)
class Waiting(Generic[Item, Result]):
    """An item on its way. Nobody waits after `deadline` (monotonic seconds); `again`: its outcome may be unknown;
    `clashes`: how often it met an earlier call of its own.
    """

    item: Item
    result: asyncio.Future[Result]
    deadline: float
    again: bool = False
    clashes: int = 0


class GroupCommit(Generic[Item, Result]):
    """A queue of items and the task that commits them.

    execute: does a batch and answers a result an item, in order; `again`: some of it may have been done before.
    on_fenced: called when the ledger refuses this incarnation.
    on_too_late: told of what was done after all for an item that was given up.
    """

    def __init__(
        self,
        execute: Callable[[list[Item], bool], Awaitable[list[Result]]],
        *,
        batch: int,
        on_fenced: Callable[[], None],
        on_too_late: Callable[[Item, Result], None] | None = None,
    ) -> None:
        self._execute, self._batch, self._on_fenced, self._on_too_late = execute, batch, on_fenced, on_too_late
        self._queue: deque[Waiting[Item, Result]] = deque()
        self._under_way: list[Waiting[Item, Result]] = []
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
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch())
            while True:
                await self._arrived.wait()
                batch = [self._queue.popleft() for _ in range(min(self._batch, len(self._queue)))]
                if not self._queue:
                    self._arrived.clear()
                self._under_way = batch
                try:
                    await self._commit(batch)
                except Exception as error:  # noqa: BLE001  # were this task to end, everybody would wait for ever
                    log_failure(logger, "ledger call", error)
                    self._fail(batch, LedgerRefused("internal"))
                self._under_way = []
                if not self._queue:
                    self._idle.set()

    async def _watch(self) -> None:
        """Give up the late ones in time, also while a call hangs: a server that is stopped closes no connection."""
        while True:
            await asyncio.sleep(WATCH_S)
            if self._under_way:
                self._give_up_late_ones(self._under_way)

    async def _commit(self, batch: list[Waiting[Item, Result]]) -> None:
        """Commit a batch: again while the database is away, one by one when it does not like something in it."""
        while batch:
            items = [waiting.item for waiting in batch]
            try:
                results = await self._execute(items, any(waiting.again for waiting in batch))
            except ONCE_MORE:
                continue
            except LOST as error:
                logger.warning("the database is away: %s; %d wait", type(error).__name__, len(batch) + len(self._queue))
                batch = self._give_up_late_ones(batch)
                for waiting in batch:
                    waiting.again = True
                await asyncio.sleep(RETRY_S)
            except psycopg.Error as error:
                batch = await self._answer_objection(batch, error)
            else:
                self._hand_over(batch, results)
                return

    async def _answer_objection(
        self, batch: list[Waiting[Item, Result]], error: psycopg.Error
    ) -> list[Waiting[Item, Result]]:
        """What the database has against a batch; answers those that are to be tried again."""
        if error.sqlstate == FENCED:
            self._on_fenced()
            self._fail(batch, LedgerUnavailable("this process was fenced"))
            return []
        if isinstance(error, psycopg.errors.UniqueViolation) and min(one.clashes for one in batch) < CLASHES_MOST:
            # An earlier call, whose answer was lost, went on and did it after all: while this one waited for a lock, or
            # just before it would have been done twice. The next one finds it done.
            for waiting in batch:
                waiting.again = True
                waiting.clashes += 1
            return batch
        await self._commit_one_by_one(batch, error.sqlstate or "?")
        return []

    def _hand_over(self, batch: list[Waiting[Item, Result]], results: list[Result]) -> None:
        for waiting, result in zip(batch, results, strict=True):
            if not waiting.result.done():
                waiting.result.set_result(result)
            elif self._on_too_late is not None:
                self._on_too_late(waiting.item, result)

    async def _commit_one_by_one(self, batch: list[Waiting[Item, Result]], sqlstate: str) -> None:
        """Find out which item the database does not like: only that one fails."""
        if len(batch) == 1:
            logger.error("the ledger refused an item: %s", sqlstate)
            self._fail(batch, LedgerRefused(sqlstate))
            return
        for waiting in batch:
            await self._commit([waiting])

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
