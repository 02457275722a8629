"""Four processes call the ledger over the same three budgets, in the worst orders: no deadlock, and every sum is exact.

`LEDGER_BATCHES=100000` makes it as many calls instead of a few thousand.
"""

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from typing import Any

import psycopg
import pytest

from billing.models import Scope as Holder
from tests.billing.ledger_racer import Racer
from tests.billing.raw_ledger import RawLedger, request_of
from tests.support.ledger import make_house
from tests.support.servers import ROOT

BATCHES = int(os.environ.get("LEDGER_BATCHES", "3000"))
RACERS = 4
LONGEST_S = 100 + BATCHES / 50
HARMLESS = {
    "batches", "fenced", "admitted", "budget", "limit", "repeated", "stale", "settled", "settled at the end",
    "exists at the end", "unknown at the end", "SerializationFailure",
}  # fmt: skip


class Arena:
    """Two tenants: three budgets shared by everybody of the first, none at all in the second."""

    def __init__(self) -> None:
        self.house, self.free_house = make_house(), make_house()
        keys = [self.house.key().row, self.house.key().row]
        self.free_keys = [self.free_house.key().row, self.free_house.key().row]
        self.budgets = [
            self.house.budget(Holder.TENANT, self.house.tenant.pk, 30_000_000, period="day"),
            self.house.budget(Holder.PROJECT, self.house.project.pk, 10**15, is_hard=False),
            self.house.budget(Holder.KEY, keys[0].pk, 10**15),
        ]
        self.at_once = self.house.limit(Holder.TENANT, self.house.tenant.pk, "concurrent", "none", 90)
        self.requests = self.house.limit(Holder.PROJECT, self.house.project.pk, "requests", "month", 10**9)
        self.tokens = self.free_house.limit(Holder.KEY, self.free_keys[0].pk, "tokens", "minute", 10**9)
        self.templates = [request_of(self.house, key) | {"tenant": self.house.tenant.pk} for key in keys]
        self.templates += [
            request_of(self.free_house, key) | {"tenant": self.free_house.tenant.pk} for key in self.free_keys
        ]

    @property
    def tenants(self) -> list[int]:
        """Their ids."""
        return [self.house.tenant.pk, self.free_house.tenant.pk]


def orders(arena: Arena, url: str, seed: int) -> str:
    return json.dumps({"url": url, "seed": seed, "batches": BATCHES // RACERS, "templates": arena.templates})


class Meddlers:
    """Whoever else writes meanwhile: people who change a budget, time that ends periods, sweepers, housekeeping."""

    def __init__(self, arena: Arena, owner_url: str, gateway_url: str) -> None:
        self.arena, self.owner_url, self.gateway_url = arena, owner_url, gateway_url
        self.errors: list[str] = []
        self.turns: Counter[str] = Counter()
        self._stop = threading.Event()
        works = (self.change_budgets, self.end_periods, self.fence, self.refuse)
        self._threads = [threading.Thread(target=self._run, args=(work,)) for work in works]

    def __enter__(self) -> "Meddlers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self, work: Any) -> None:
        with psycopg.connect(self.owner_url, autocommit=True) as owner:
            dice = random.Random(work.__name__)
            while not self._stop.is_set():
                try:
                    work(owner, dice)
                except psycopg.Error as error:
                    self.errors.append(f"{work.__name__}: {error}")
                self.turns[work.__name__] += 1

    def change_budgets(self, owner: psycopg.Connection, dice: random.Random) -> None:
        budget = dice.choice(self.arena.budgets[::2])
        owner.execute("select set_budget_limit_v1(%s, %s)", [budget.pk, dice.randrange(1_000_000, 60_000_000)])
        time.sleep(0.005)

    def end_periods(self, owner: psycopg.Connection, dice: random.Random) -> None:
        """The day's period and the minute's window are over: the next admission opens new ones."""
        owner.execute(
            "update billing_budget_period set ends_at = clock_timestamp() where budget_id = %s and ends_at > now()",
            [self.arena.budgets[0].pk],
        )
        owner.execute("update billing_limit_window set ends_at = now() where limit_id = %s", [self.arena.tokens.pk])
        time.sleep(0.05)

    def fence(self, owner: psycopg.Connection, dice: random.Random) -> None:
        """One of the racers was not heard of for a minute."""
        owner.execute(
            "update billing_incarnation set heartbeat_at = now() - interval '1 minute' where id in"
            " (select id from billing_incarnation where host = 'racer' and fenced_at is null order by random() limit 1)"
        )
        owner.execute("select fence_silent_v1('30 s', '0 s')")
        owner.execute("select tidy_v1(1000, '24 hours')")
        time.sleep(0.1)

    def refuse(self, owner: psycopg.Connection, dice: random.Random) -> None:
        refused = Racer(self.gateway_url, dice.randrange(10**9), self.arena.templates)
        refused.refuse()
        refused.connection.close()
        time.sleep(0.05)


@pytest.mark.timeout(LONGEST_S + 60)
def test_four_processes_over_the_same_budgets_never_deadlock_and_every_sum_is_exact(
    database: None, owner_database_url: str, gateway_database_url: str
) -> None:
    arena = Arena()
    with psycopg.connect(owner_database_url, autocommit=True) as owner:
        before = deadlocks(owner)
        with Meddlers(arena, owner_database_url, gateway_database_url) as meddlers:
            told = race(arena, gateway_database_url)
        assert meddlers.errors == []
        assert set(told) <= HARMLESS, told
        assert told["batches"] >= BATCHES
        assert told["fenced"] > 0
        assert told["budget"] > 0
        assert deadlocks(owner) == before
        assert_exact(arena, owner, told)
        settle_the_rest(arena, gateway_database_url)
        assert_exact(arena, owner, told)
        assert rows(owner, "select used from billing_limit_window where limit_id = %s", arena.at_once.pk) == [(0,)]
    print(dict(told), dict(meddlers.turns))


def test_a_call_that_began_before_a_period_turned_is_counted_in_one_period(
    database: None, owner_database_url: str, gateway_database_url: str
) -> None:
    """While it was beginning, another call opened the next period: both had not ended by its time."""
    house = make_house()
    key = house.key().row
    budget = house.budget(Holder.KEY, key.pk, 10**9)
    early, late = RawLedger.open(gateway_database_url), RawLedger.open(gateway_database_url)
    with psycopg.connect(owner_database_url, autocommit=True) as owner:
        assert late.admit(request_of(house, key))[0].verdict == "admitted"
        with early.connection.transaction():
            early.connection.execute("select now()")  # its time is this, whenever it calls
            owner.execute(
                "update billing_budget_period set ends_at = clock_timestamp() where budget_id = %s", [budget.pk]
            )
            assert late.admit(request_of(house, key))[0].verdict == "admitted"
            assert early.admit(request_of(house, key))[0].verdict == "admitted"
        held = rows(
            owner, "select held_nano_eur from billing_budget_period where budget_id = %s order by id", budget.pk
        )
    assert held == [(2_000_000,), (1_000_000,)]
    early.close()
    late.close()


def race(arena: Arena, url: str) -> Counter[str]:
    """Run the processes; what all of them were told."""
    command = [sys.executable, "-m", "tests.billing.ledger_racer"]
    racers = [
        subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(RACERS)
    ]
    try:
        for seed, racer in enumerate(racers):
            assert racer.stdin is not None
            racer.stdin.write(orders(arena, url, seed))
            racer.stdin.close()
        total: Counter[str] = Counter()
        for racer in racers:
            assert racer.wait(LONGEST_S) == 0
            assert racer.stdout is not None
            total += Counter(json.loads(racer.stdout.read()))
        return total
    finally:
        for racer in racers:
            racer.kill()
            racer.wait()
            for pipe in (racer.stdin, racer.stdout):
                if pipe:
                    pipe.close()


def settle_the_rest(arena: Arena, url: str) -> None:
    """What was held at the end: its owners are gone."""
    sweeper = Racer(url, 0, arena.templates)
    while left := sweeper.others(500):
        sweeper.settle_these(left)
    sweeper.connection.close()


def assert_exact(arena: Arena, owner: psycopg.Connection, told: Counter[str]) -> None:
    """What budgets and rollups say is what the rows say, and each admitted request is one row."""
    records, spent = rows(
        owner, "select count(*), sum(cost_nano_eur) from billing_usage_record where tenant_id = any(%s)", arena.tenants
    )[0]
    [(holds,)] = rows(owner, "select count(*) from billing_hold where tenant_id = any(%s)", arena.tenants)
    assert records + holds == told["admitted"]
    [(rolled, rolled_cost)] = rows(
        owner,
        "select sum(requests), sum(cost_nano_eur) from billing_usage_hour where tenant_id = any(%s)",
        arena.tenants,
    )
    assert (rolled, rolled_cost) == (records, spent)
    for budget, holder in zip(arena.budgets, ("tenant_id", "project_id", "key_id"), strict=True):
        [(written,)] = rows(
            owner,
            f"select coalesce(sum(cost_nano_eur), 0) from billing_usage_record where {holder} = %s",
            budget.scope_id,
        )
        periods = rows(
            owner,
            "select id, spent_nano_eur, held_nano_eur, cap_nano_eur from billing_budget_period where budget_id = %s",
            budget.pk,
        )
        assert sum(period[1] for period in periods) == written
        for number, period_spent, held, cap in periods:
            assert cap is None or period_spent + held <= cap  # I3
            assert rows(
                owner, "select coalesce(sum(amount_nano_eur), 0) from billing_hold where %s = any(period_ids)", number
            ) == [(held,)]
    [(admitted,)] = rows(
        owner,
        "select (select count(*) from billing_usage_record where project_id = %(p)s)"
        " + (select count(*) from billing_hold where project_id = %(p)s)",
        {"p": arena.house.project.pk},
    )
    assert rows(owner, "select used from billing_limit_window where limit_id = %s", arena.requests.pk) == [(admitted,)]


def deadlocks(owner: psycopg.Connection) -> int:
    """How many PostgreSQL has seen in this database. Its counters come late: wait until they stand still."""
    seen = -1
    for _ in range(20):
        owner.execute("select pg_stat_clear_snapshot()")
        [(now,)] = rows(owner, "select deadlocks from pg_stat_database where datname = current_database()")
        if now == seen:
            return int(now)
        seen = now
        time.sleep(1.1)
    raise AssertionError("the counter of deadlocks does not stand still")


def rows(owner: psycopg.Connection[Any], query: str, value: Any = None) -> list[tuple[Any, ...]]:
    values = value if isinstance(value, dict) else [value] if value is not None else []
    return owner.execute(query, values).fetchall()
