"""The ledger's busy connections: rows and errors as a cursor gives them, and no answer taken for another call's."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID, uuid4

import psycopg
import pytest

from gateway.relay.batch_line import BatchLine
from gateway.relay.database import LOST
from tests.gateway.simulated_engine.process import eventually

SAME = "select $1::uuid, $2::jsonb, 7::bigint, null::text"


def use(url: str, work: Callable[[BatchLine], Awaitable[None]], call_s: float = 10) -> None:
    """Run `work` with a line of its own."""

    async def main() -> None:
        line = BatchLine(url, "batch", call_s)
        try:
            await work(line)
        finally:
            await line.close()

    asyncio.run(main())


def test_rows_are_those_of_a_cursor_also_in_a_batch_of_megabytes(gateway_database_url: str) -> None:
    async def work(line: BatchLine) -> None:
        for size in (1, 3_000_000):
            it, batch = uuid4(), [{"a": "é" * size}]
            told = await line.call(SAME, (it, f'[{{"a": "{"é" * size}"}}]'.encode()))
            assert told == [(it, batch, 7, None)]
        assert await line.call("select %s::int", (5,)) == [(5,)]  # and what has no `$1` goes through a cursor

    use(gateway_database_url, work)


def test_an_error_is_psycopgs_and_the_connection_goes_on(gateway_database_url: str) -> None:
    async def work(line: BatchLine) -> None:
        connection = await line.connection()
        with pytest.raises(psycopg.errors.InvalidTextRepresentation) as error:
            await line.call(SAME, (uuid4(), b"no json"))
        assert error.value.sqlstate == "22P02"
        assert await line.call(SAME, (UUID(int=1), b"1")) == [(UUID(int=1), 1, 7, None)]
        assert await line.connection() is connection

    use(gateway_database_url, work)


def test_a_cut_connection_is_lost_and_the_next_call_has_another(gateway_database_url: str) -> None:
    async def work(line: BatchLine) -> None:
        pid = (await line.connection()).info.backend_pid
        sleeping = asyncio.create_task(line.call("select pg_sleep(60), $1::uuid", (UUID(int=1),)))
        async with await psycopg.AsyncConnection.connect(gateway_database_url, autocommit=True) as other:
            await asyncio.sleep(0.1)  # so that it is under way; lost it is in either case
            await other.execute("select pg_terminate_backend(%s)", [pid])
        with pytest.raises(LOST):
            await sleeping
        assert await line.call("select $1::uuid", (UUID(int=2),)) == [(UUID(int=2),)]

    use(gateway_database_url, work)


def test_a_call_that_takes_too_long_has_lost_its_server(gateway_database_url: str) -> None:
    async def work(line: BatchLine) -> None:
        with pytest.raises(LOST):
            await line.call("select pg_sleep(60), $1::uuid", (UUID(int=1),))
        assert await line.call("select $1::uuid", (UUID(int=2),)) == [(UUID(int=2),)]

    use(gateway_database_url, work, call_s=0.5)


def test_the_answer_to_a_call_that_was_given_up_is_nobody_elses(gateway_database_url: str) -> None:
    async def work(line: BatchLine) -> None:
        await line.call("select $1::uuid", (UUID(int=1),))
        given_up = asyncio.create_task(line.call("select $1::uuid, pg_sleep(0.5)", (UUID(int=1),)))
        await asyncio.sleep(0.1)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        assert await line.call("select $1::uuid", (UUID(int=2),)) == [(UUID(int=2),)]

    use(gateway_database_url, work)


def test_the_server_gives_up_what_we_gave_up(gateway_database_url: str) -> None:
    """Not even a lock that is free at last lets a call go on that was made again meanwhile."""
    waiting = "select from pg_stat_activity where application_name = 'beffroi batch' and wait_event_type = 'Lock'"
    with psycopg.connect(gateway_database_url, autocommit=True) as other:
        other.execute("select pg_advisory_lock(40)")

        async def work(line: BatchLine) -> None:
            with pytest.raises(LOST):
                await line.call("select pg_advisory_lock($1::bigint)::text, $2::text", (b"40", b"mine"))
            assert eventually(lambda: not other.execute(waiting).rowcount, 5)

        use(gateway_database_url, work, call_s=0.5)
