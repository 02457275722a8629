"""Group commit: one call for all that arrived, one item's fault its own, and nobody waits for ever."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import psycopg
import pytest

from gateway.relay.group_commit import GroupCommit, LedgerRefused, LedgerUnavailable

Execute = Callable[[list[int], bool], Awaitable[list[int]]]


class Fenced(psycopg.DatabaseError):
    sqlstate = "BF001"


class Committer:
    """A group commit that runs while a test does."""

    def __init__(self, execute: Execute, batch: int = 10) -> None:
        self.fenced: list[bool] = []
        self.too_late: list[tuple[int, int]] = []
        self.queue = GroupCommit[int, int](
            execute,
            batch=batch,
            on_fenced=lambda: self.fenced.append(True),
            on_too_late=lambda item, result: self.too_late.append((item, result)),
        )

    async def __aenter__(self) -> "Committer":
        self._task = asyncio.create_task(self.queue.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def ask(self, *items: int, wait_s: float = 5) -> list[int | BaseException]:
        waiting = [self.queue.submit(item, wait_s) for item in items]
        return await asyncio.gather(*waiting, return_exceptions=True)


def test_what_arrives_while_a_call_runs_is_the_next_call() -> None:
    calls: list[list[int]] = []

    async def execute(items: list[int], again: bool) -> list[int]:
        calls.append(items)
        await asyncio.sleep(0.05)
        return [item * 2 for item in items]

    async def main() -> None:
        async with Committer(execute, batch=3) as committer:
            first = committer.queue.submit(1, 5)
            await asyncio.sleep(0.01)
            assert await committer.ask(2, 3, 4, 5) == [4, 6, 8, 10]
            assert await first == 2
            await committer.queue.drained()

    asyncio.run(main())
    assert calls == [[1], [2, 3, 4], [5]]


def test_one_item_that_the_database_does_not_like_fails_alone() -> None:
    async def execute(items: list[int], again: bool) -> list[int]:
        if 13 in items:
            raise psycopg.errors.NumericValueOutOfRange("13")
        return items

    async def main() -> list[int | BaseException]:
        async with Committer(execute) as committer:
            return await committer.ask(1, 13, 2)

    first, poison, last = asyncio.run(main())
    assert (first, last) == (1, 2)
    assert isinstance(poison, LedgerRefused)


def test_a_lost_answer_is_asked_for_again_with_the_hint() -> None:
    hints: list[bool] = []

    async def execute(items: list[int], again: bool) -> list[int]:
        hints.append(again)
        if len(hints) == 1:
            raise psycopg.OperationalError("the connection is lost")
        return items

    async def main() -> list[int | BaseException]:
        async with Committer(execute) as committer:
            return await committer.ask(1, 2)

    assert asyncio.run(main()) == [1, 2]
    assert hints == [False, True]


def test_a_call_that_went_on_after_its_answer_was_lost_is_no_error() -> None:
    hints: list[bool] = []

    async def execute(items: list[int], again: bool) -> list[int]:
        hints.append(again)
        if not again:
            raise psycopg.errors.UniqueViolation("its hold is there")
        return items

    async def main() -> list[int | BaseException]:
        async with Committer(execute) as committer:
            return await committer.ask(1, 2)

    assert asyncio.run(main()) == [1, 2]
    assert hints == [False, True]


def test_a_call_that_ends_while_it_is_being_repeated_is_no_error() -> None:
    calls: list[bool] = []

    async def execute(items: list[int], again: bool) -> list[int]:
        calls.append(again)
        if len(calls) == 1:
            raise psycopg.OperationalError("the answer was lost")
        if len(calls) == 2:
            raise psycopg.errors.UniqueViolation("the first call ended only now")
        return items

    async def main() -> list[int | BaseException]:
        async with Committer(execute) as committer:
            return await committer.ask(1, 2)

    assert asyncio.run(main()) == [1, 2]
    assert calls == [False, True, True]


def test_what_always_clashes_is_refused() -> None:
    async def execute(items: list[int], again: bool) -> list[int]:
        raise psycopg.errors.UniqueViolation("another item's")

    async def main() -> list[int | BaseException]:
        async with Committer(execute) as committer:
            return await committer.ask(1)

    [refused] = asyncio.run(main())
    assert isinstance(refused, LedgerRefused)


def test_who_waited_long_enough_is_told_though_the_call_hangs_and_what_it_did_is_known() -> None:
    async def execute(items: list[int], again: bool) -> list[int]:
        await asyncio.sleep(1.5)
        return items

    async def main() -> tuple[list[int | BaseException], list[tuple[int, int]]]:
        async with Committer(execute) as committer:
            began = time.monotonic()
            told = await committer.ask(1, 2, wait_s=0.2)
            assert time.monotonic() - began < 1
            await committer.queue.drained()
            return told, committer.too_late

    told, too_late = asyncio.run(main())
    assert all(isinstance(each, LedgerUnavailable) for each in told)
    assert too_late == [(1, 1), (2, 2)]


def test_a_fenced_process_is_told_and_everybody_waiting_fails() -> None:
    async def execute(items: list[int], again: bool) -> list[int]:
        raise Fenced("fenced")

    async def main() -> tuple[list[int | BaseException], list[bool]]:
        async with Committer(execute) as committer:
            return await committer.ask(1, 2), committer.fenced

    told, fenced = asyncio.run(main())
    assert all(isinstance(each, LedgerUnavailable) for each in told)
    assert fenced == [True]


@pytest.mark.parametrize("error", [RuntimeError("a defect"), psycopg.errors.DeadlockDetected("try again")])
def test_no_error_ends_the_queue(error: Exception) -> None:
    calls: list[int] = []

    async def execute(items: list[int], again: bool) -> list[int]:
        calls.append(1)
        if len(calls) == 1:
            raise error
        return items

    async def main() -> int:
        async with Committer(execute) as committer:
            await committer.ask(1)
            return await committer.queue.submit(2, 5)

    assert asyncio.run(main()) == 2
