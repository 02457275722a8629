"""The ledger alone: `python -m bench.ledger`. Pairs of a hold and a charge, through the gateway's own code.

PostgreSQL is one of its own with fsync on. Each process does what a gateway's ledger does, with so many requests in
flight; each admits, settles and begins anew. Rows are real ones: three budgets and two limits on each request's path,
the whole description, a cost below the hold.
"""

import argparse
import asyncio
import contextlib
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import uvloop

from billing.pricing import Amounts, Quantities
from gateway.relay.config import config_from_environment
from gateway.relay.ids import new_request_id
from gateway.relay.ledger import Admission, Description, Ledger, Settlement

KEYS, PROJECTS = 200, 8
WARM_S = 1.0
MOST_TIMES = 1_500  # told: a pipe takes 64 KB at once
TICKS_S = os.sysconf("SC_CLK_TCK")
AMOUNT = 600_000  # nano-EUR
USED = Quantities(input=420, cached=256, output=180)
COST = Amounts(input=63_000, cached=12_800, output=108_000)


class Order(msgspec.Struct):
    """What one process does: `keys` are (id, version) pairs."""

    in_flight: int
    seconds: float
    keys: list[tuple[int, int]]
    tenant_version: int
    model_id: int
    model: str
    price_version_id: int


class Told(msgspec.Struct):
    """What one process measured; times in ms, CPU in seconds."""

    pairs: int
    seconds: float
    cpu_s: float
    admit: list[float]
    settle: list[float]
    calls: int


@dataclass(frozen=True)
class Measured:
    """One row. Times are ms (p50 and p99 of a request's wait for its call, queueing included), CPU us a pair."""

    processes: int
    in_flight: int
    pairs_per_s: float
    admit_p50: float
    admit_p99: float
    settle_p50: float
    settle_p99: float
    batch: float
    backends_us: float
    clients_us: float
    wal_bytes: float

    def cells(self) -> list[str]:
        """A line of the table."""
        return [
            str(self.processes),
            str(self.in_flight),
            f"{self.pairs_per_s:,.0f}",
            f"{self.admit_p50:.2f} / {self.admit_p99:.1f}",
            f"{self.settle_p50:.2f} / {self.settle_p99:.1f}",
            *(f"{figure:,.0f}" for figure in (self.batch, self.backends_us, self.clients_us, self.wal_bytes)),
        ]


HEAD = [
    "processes",
    "in flight, each",
    "pairs/s",
    "admit p50 / p99, ms",
    "settle p50 / p99, ms",
    "batch",
    "backends' CPU, us a pair",
    "clients' CPU, us a pair",
    "WAL bytes a pair",
]
SHAPES = ((1, 1), (1, 256), (2, 256), (4, 256))


def measure(seconds: float = 4, rounds: int = 3, shapes: tuple[tuple[int, int], ...] = SHAPES) -> list[Measured]:
    """The medians of several rounds in turn, a row for each (processes, requests in flight in each)."""
    with _house() as (environment, order):
        found: dict[tuple[int, int], list[Measured]] = {shape: [] for shape in shapes}
        for _ in range(rounds):
            for processes, in_flight in shapes:
                told = msgspec.structs.replace(order, in_flight=in_flight, seconds=seconds)
                found[processes, in_flight].append(_round(environment, processes, told))
        _check(environment)
        return [_median(rows) for rows in found.values()]


def _median(rows: list[Measured]) -> Measured:
    """The middle of each figure; all rows are of one shape."""
    figures = [name for name in Measured.__dataclass_fields__ if name not in ("processes", "in_flight")]
    return replace(rows[0], **{name: statistics.median(getattr(row, name) for row in rows) for name in figures})


@contextlib.contextmanager
def _house() -> Iterator[tuple[dict[str, str], Order]]:
    """A PostgreSQL with a tenant, its keys, budgets and limits."""
    import django

    from tests.support.outage import OwnPostgres

    django.setup()
    from billing.models import Scope
    from identity.models import Tenant
    from tests.support.ledger import make_house

    with OwnPostgres() as postgres, postgres.used_by_django():
        house = make_house()
        projects = [house.project_called(f"project {number}") for number in range(PROJECTS)]
        keys = [house.key(project=projects[number % PROJECTS]).row for number in range(KEYS)]
        house.budget(Scope.TENANT, house.tenant.pk, 10**17)
        house.limit(Scope.TENANT, house.tenant.pk, "requests", "minute", 10**9)
        for project in projects:
            house.budget(Scope.PROJECT, project.pk, 10**16)
        for key in keys:
            house.budget(Scope.KEY, key.pk, 10**15)
            house.limit(Scope.KEY, key.pk, "tokens", "minute", 10**9)
        for key in keys:
            key.refresh_from_db()
        tenant = Tenant.objects.get(pk=house.tenant.pk)
        environment = os.environ | postgres.environment
        yield environment, Order(
            in_flight=0, seconds=0, keys=[(key.pk, key.policy_version) for key in keys],
            tenant_version=tenant.policy_version, model_id=house.model.pk, model=house.model.name,
            price_version_id=house.price_version.pk,
        )  # fmt: skip


def _round(environment: dict[str, str], processes: int, order: Order) -> Measured:
    """One round of so many processes."""
    clients = [
        subprocess.Popen(
            [sys.executable, "-m", "bench.ledger", "--client"],
            env=environment | {"BEFFROI_DJANGO_SOCKET": "none"}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        for _ in range(processes)
    ]  # fmt: skip
    with psycopg.connect(environment["DATABASE_OWNER_URL"], autocommit=True) as owner:
        wal, cpu = _wal(owner), _backends_s(owner)
        for client in clients:
            assert client.stdin is not None
            client.stdin.write(msgspec.json.encode(order))
            client.stdin.close()
            client.stdin = None
        told = []
        for client in clients:
            answer = client.communicate()[0]
            assert client.returncode == 0, "a client of the ledger failed; it said why"
            told.append(msgspec.json.decode(answer, type=Told))
        used, written = _backends_s(owner) - cpu, _wal(owner) - wal
    return _row(processes, order.in_flight, told, used, written)


def _row(processes: int, in_flight: int, told: list[Told], backends_s: float, wal: int) -> Measured:
    pairs = sum(client.pairs for client in told)
    admit = sorted(time for client in told for time in client.admit)
    settle = sorted(time for client in told for time in client.settle)
    share = sum(client.seconds / (client.seconds + WARM_S) for client in told) / len(told)
    return Measured(
        processes=processes,
        in_flight=in_flight,
        pairs_per_s=sum(client.pairs / client.seconds for client in told),
        admit_p50=_quantile(admit, 0.5),
        admit_p99=_quantile(admit, 0.99),
        settle_p50=_quantile(settle, 0.5),
        settle_p99=_quantile(settle, 0.99),
        batch=2 * pairs / sum(client.calls for client in told),
        backends_us=1e6 * backends_s * share / pairs,
        clients_us=1e6 * sum(client.cpu_s for client in told) / pairs,
        wal_bytes=wal * share / pairs,
    )


def _quantile(times: list[float], part: float) -> float:
    return times[int(len(times) * part)]


def _wal(owner: psycopg.Connection[Any]) -> int:
    row = owner.execute("select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint").fetchone()
    assert row is not None
    return int(row[0])


def _backends_s(owner: psycopg.Connection[Any]) -> float:
    """CPU seconds of the server and all its processes, those that ended included."""
    row = owner.execute("select pg_backend_pid()").fetchone()
    assert row is not None
    postmaster = int(Path(f"/proc/{row[0]}/stat").read_text().rpartition(")")[2].split()[1])
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(stat.parent.name) == postmaster:
                total += sum(int(field) for field in fields[11:15])
            elif int(fields[1]) == postmaster:
                total += sum(int(field) for field in fields[11:13])
    return total / TICKS_S


def _check(environment: dict[str, str]) -> None:
    """The sums are those of the rows, and nothing is held."""
    with psycopg.connect(environment["DATABASE_OWNER_URL"]) as owner:
        row = owner.execute(
            """select (select sum(spent_nano_eur) / 3 from billing_budget_period) = sum(cost_nano_eur),
                (select count(*) from billing_hold) + (select sum(held_nano_eur) from billing_budget_period),
                (select sum(requests) from billing_usage_hour) = count(*),
                (select sum(requests) from billing_usage_day) = count(*) from billing_usage_record"""
        ).fetchone()
        assert row == (True, 0, True, True), row


class Client:
    """One gateway's ledger, and requests that come as fast as they are answered."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.dice = random.Random(os.getpid())  # noqa: S311  # spreads work
        self.ledger = Ledger(config_from_environment(), lambda: sys.exit("fenced"))
        self.calls = 0
        self.admit: list[float] = []
        self.settle: list[float] = []
        self.ends_at = 0.0

    async def run(self) -> Told:
        """Warm up, then measure."""
        await self.ledger.begin()
        tasks = [asyncio.create_task(queue.run()) for queue in (self.ledger.admissions, self.ledger.settlements)]
        for line in (self.ledger._admit_line, self.ledger._settle_line):  # noqa: SLF001  # only counted
            line.call = self._counted(line.call)  # type: ignore[method-assign]
        await self._ask_for(WARM_S)
        self.calls, self.admit, self.settle = 0, [], []
        began, cpu = time.monotonic(), time.process_time()
        await self._ask_for(self.order.seconds)
        seconds, cpu = time.monotonic() - began, time.process_time() - cpu
        await self.ledger.end()
        for task in tasks:
            task.cancel()
        every = 1 + len(self.admit) // MOST_TIMES
        return Told(len(self.admit), seconds, cpu, self.admit[::every], self.settle[::every], self.calls)

    def _counted(self, call: Any) -> Any:
        async def counted(*arguments: Any) -> Any:
            self.calls += 1
            return await call(*arguments)

        return counted

    async def _ask_for(self, seconds: float) -> None:
        self.ends_at = time.monotonic() + seconds
        await asyncio.gather(*[self._ask() for _ in range(self.order.in_flight)])

    async def _ask(self) -> None:
        while time.monotonic() < self.ends_at:
            admission = self._admission()
            before = time.perf_counter()
            verdict = await self.ledger.admit(admission)
            admitted = time.perf_counter()
            assert verdict.verdict == "admitted", verdict
            charge = await self.ledger.settle(_settlement(admission))
            assert charge.cost_nano_eur == sum(COST), charge
            self.admit.append(1000 * (admitted - before))
            self.settle.append(1000 * (time.perf_counter() - admitted))

    def _admission(self) -> Admission:
        key, version = self.dice.choice(self.order.keys)
        return Admission(
            request_id=new_request_id(), key_id=key, key_version=version, tenant_version=self.order.tenant_version,
            model_id=self.order.model_id, mode="standard", price_version_id=self.order.price_version_id, amount=AMOUNT,
            tokens=1_700, output_tokens=1_000, idempotency=None,
            description=Description(
                model=self.order.model, alias=self.order.model, endpoint="/v1/chat/completions", stream=True,
                max_tokens_asked=1_000, max_tokens_given=1_000, kwh_per_million_tokens="0.412", label="team-a",
            ),
        )  # fmt: skip


def _settlement(admission: Admission) -> Settlement:
    return Settlement(
        request_id=admission.request_id, status="completed", http_status=200, finish_reason="stop", pool="pool-a",
        replica="pool-a-1", node="node-1", site="site-1", ttft_ms=210, duration_ms=4_100, quantities=USED, amounts=COST,
    )  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.ledger")
    parser.add_argument("--client", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.client:
        told = uvloop.run(Client(msgspec.json.decode(sys.stdin.buffer.read(), type=Order)).run())
        sys.stdout.buffer.write(msgspec.json.encode(told))
        return
    rows = [HEAD, ["---"] * len(HEAD), *(row.cells() for row in measure(arguments.seconds, arguments.rounds))]
    sys.stdout.write("".join(f"| {' | '.join(row)} |\n" for row in rows))


if __name__ == "__main__":
    main()
