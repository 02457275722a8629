"""How long the two calls of the ledger take at rest: `python -m bench.commits COUNT`, in an installation's environment.

A process of its own on the gateway's core does what a gateway does for one request after another, with the gateway's
own code: it admits a request and settles it. It prints, in ms, the medians of the two calls and of their sum. Timed is
the call on the connection, from the statement to its answer; what the gateway does around it is the gateway's.
"""

import asyncio
import os
import statistics
import sys
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any, cast

import msgspec
import psycopg
import uvloop
from psycopg.rows import namedtuple_row

from billing.pricing import METERS, Amounts, Quantities
from gateway.relay.config import config_from_environment
from gateway.relay.ids import new_request_id
from gateway.relay.ledger import Admission, Description, Ledger, Settlement

LABEL = "bench-commits"
"""Marks the usage records that this makes."""
WARM = 20

Call = Callable[..., Awaitable[list[tuple[Any, ...]]]]


class Took(msgspec.Struct):
    """Medians, in ms."""

    admit: float
    settle: float
    both: float


class Timed:
    """A connection's `call`, and how long its last one took."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self.last_s = 0.0

    async def __call__(self, *arguments: object) -> list[tuple[Any, ...]]:
        began = perf_counter()
        answer = await self._call(*arguments)
        self.last_s = perf_counter() - began
        return answer


async def measure(count: int) -> Took:
    """Admit and settle so many requests, one after the other."""
    config = config_from_environment()
    model, like = await _models(os.environ["DATABASE_URL"])  # the gateway's own role may not read them
    ledger = Ledger(config, lambda: sys.exit("fenced"))
    admit, settle = Timed(ledger._admit_line.call), Timed(ledger._settle_line.call)  # noqa: SLF001  # only timed
    ledger._admit_line.call = cast("Any", admit)  # type: ignore[method-assign]  # noqa: SLF001
    ledger._settle_line.call = cast("Any", settle)  # type: ignore[method-assign]  # noqa: SLF001
    await ledger.begin()
    tasks = [asyncio.create_task(queue.run()) for queue in (ledger.admissions, ledger.settlements)]
    times = []
    for _ in range(WARM + count):
        request_id = new_request_id()
        verdict = await ledger.admit(msgspec.structs.replace(model, request_id=request_id))
        assert verdict.verdict == "admitted", verdict
        charge = await ledger.settle(msgspec.structs.replace(like, request_id=request_id))
        assert charge.cost_nano_eur == model.amount, charge
        times.append((admit.last_s, settle.last_s))
    await ledger.end()
    for task in tasks:
        task.cancel()
    return Took(*(1000 * statistics.median(column(pair) for pair in times[WARM:]) for column in (_first, _second, sum)))


async def _models(url: str) -> tuple[Admission, Settlement]:
    """What the last request that was charged held and was charged; it is done again and again with other ids."""
    async with await psycopg.AsyncConnection.connect(url) as connection:
        cursor = connection.cursor(row_factory=namedtuple_row)
        await cursor.execute(
            """select r.*, k.policy_version as key_version, t.policy_version as tenant_version
            from billing_usage_record r join identity_apikey k on k.id = r.key_id
            join identity_tenant t on t.id = r.tenant_id
            where r.status = 'completed' order by r.request_id desc limit 1"""
        )
        row = await cursor.fetchone()
    assert row is not None  # it is asked for after requests were made
    return _admission(row), _settlement(row)


def _admission(row: Any) -> Admission:
    return Admission(
        request_id=row.request_id,
        key_id=row.key_id,
        key_version=row.key_version,
        tenant_version=row.tenant_version,
        model_id=row.model_id,
        mode=row.mode,
        price_version_id=row.price_version_id,
        amount=row.cost_nano_eur,
        tokens=row.max_tokens_given,
        output_tokens=row.max_tokens_given,
        idempotency=None,
        description=Description(
            model=row.model,
            alias=row.alias,
            endpoint=row.endpoint,
            stream=row.stream,
            max_tokens_asked=row.max_tokens_asked,
            max_tokens_given=row.max_tokens_given,
            kwh_per_million_tokens=None,
            label=LABEL,
        ),
    )


def _settlement(row: Any) -> Settlement:
    return Settlement(
        request_id=row.request_id,
        status=row.status,
        http_status=row.http_status,
        finish_reason=row.finish_reason,
        pool=row.pool,
        replica=row.replica,
        node=row.node,
        site=row.site,
        ttft_ms=row.ttft_ms,
        duration_ms=row.duration_ms,
        quantities=Quantities(*(getattr(row, f"{meter}_quantity") for meter in METERS)),
        amounts=Amounts(*(getattr(row, f"{meter}_nano_eur") for meter in METERS)),
    )


def _first(pair: tuple[float, float]) -> float:
    return pair[0]


def _second(pair: tuple[float, float]) -> float:
    return pair[1]


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(measure(int(sys.argv[1])))))
