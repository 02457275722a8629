"""I3 under fire: thousands of requests in flight over four gateway processes, and budgets that allow exactly K.

In flight means: the whole request was sent, and nothing of its answer was received. What is admitted stays so until the
others have their refusals, because the engine is stopped meanwhile. Every request here costs exactly what is held for
it (a prompt of token ids, an answer as long as its limit), so that K is the same however holds and charges interleave.
"""

import os
import resource
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psycopg
import pytest
from pytest_django import DjangoDbBlocker

from billing.limits.budgets import change_limit
from billing.models import Budget, BudgetPeriod, UsageRecord
from billing.models import Scope as Holder
from tests.gateway.relay.bills import assert_exact, await_model
from tests.gateway.relay.conftest import MODELS
from tests.gateway.relay.crowd import Ask, Rush, many_files, rush
from tests.gateway.simulated_engine.process import EngineProcess
from tests.support.gateway import GatewayProcess, serve
from tests.support.ledger import HeldKey, House, make_house
from tests.support.people import TESTS
from tests.support.wire import request

GATEWAYS = 4
# Patience: ten thousand requests wait for their turn on two busy cores.
LIMITS = "admit_wait_s=80,head_wait_s=80,money_wait_s=0.01,heartbeat_s=2"
PROMPT, ANSWER = 20, 5
COST = PROMPT * 150 + ANSWER * 600  # nano-EUR: the hold and the charge


@dataclass
class Arena:
    """Four gateways before one engine that can be stopped."""

    house: House
    gateways: list[GatewayProcess]
    engine: EngineProcess

    def key(self, **policy: Any) -> HeldKey:
        """A key that all gateways know."""
        key = self.house.key(**policy)
        for gateway in self.gateways:
            gateway.await_key(key.text)
        return key

    def asks(self, key: HeldKey, count: int) -> list[Ask]:
        """So many requests of the key, dealt out over the gateways."""
        body = b'{"model":"%b","prompt":[%b],"max_tokens":%d,"simulate":{"output_tokens":50}}' % (
            self.house.model.name.encode(),
            b",".join([b"7"] * PROMPT),
            ANSWER,
        )
        data = request("POST", "/v1/completions", body, f"authorization: Bearer {key.text}")
        return [Ask(self.gateways[number % len(self.gateways)].port, data) for number in range(count)]

    def with_three_budgets(self) -> tuple["Arena", list[HeldKey], list[Budget]]:
        """The same with a new house: a key of 40 requests in a project of 100 in a tenant of 150; another key of the
        project, and one of another project.
        """
        house = make_house()
        serve(house.model, self.engine)
        one = Arena(house, self.gateways, self.engine)
        keys = [one.key(), one.key(), one.key(project=house.project_called("another"))]
        for gateway in self.gateways:
            await_model(gateway, house)
        return (
            one,
            keys,
            [
                house.budget(Holder.KEY, keys[0].row.pk, 40 * COST),
                house.budget(Holder.PROJECT, house.project.pk, 100 * COST + 1),
                house.budget(Holder.TENANT, house.tenant.pk, 150 * COST + COST // 2),
            ],
        )

    def stop_engine(self) -> None:
        """Whatever it is sent from now on waits in the kernel."""
        self.engine.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """The engine answers what waits."""
        self.engine.process.send_signal(signal.SIGCONT)

    def cpu_seconds(self) -> dict[str, float]:
        """CPU of the gateways, the engine and the clients so far."""
        here = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "gateways": sum(cpu_of(gateway.process.pid) for gateway in self.gateways),
            "engine": cpu_of(self.engine.process.pid),
            "clients": here.ru_utime + here.ru_stime,
        }


def cpu_of(pid: int) -> float:
    """User and system seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Watch(threading.Thread):
    """Looks at budgets all the time, from a connection of its own; `seen` is (spent, held, cap) by budget."""

    def __init__(self, *budgets: Budget) -> None:
        super().__init__(daemon=True)
        self._ids = [budget.pk for budget in budgets]
        self._is_over = threading.Event()
        self.samples = 0
        self.overshoots: list[tuple[int, int, int, int]] = []
        self.most: Counter[int] = Counter()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self.join()

    def run(self) -> None:
        query = """select budget_id, spent_nano_eur, held_nano_eur, cap_nano_eur from billing_budget_period
            where budget_id = any(%s)"""
        with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
            while not self._is_over.wait(0.005):
                for budget, spent, held, cap in connection.execute(query, [self._ids]).fetchall():
                    self.samples += 1
                    self.most[budget] = max(self.most[budget], spent + held)
                    if spent + held > cap:
                        self.overshoots.append((budget, spent, held, cap))


@pytest.fixture(scope="module")
def arena(
    django_db_setup: None, tmp_path_factory: pytest.TempPathFactory, django_db_blocker: DjangoDbBlocker
) -> Iterator[Arena]:
    folder = tmp_path_factory.mktemp("arena")
    flags = ("--tokens-per-second=0", "--first-token-ms=0", "--max-model-len=8192")
    with many_files(), EngineProcess(MODELS, folder / "journal.jsonl", "engine-key", *flags) as engine:
        with django_db_blocker.unblock():
            house = make_house()
            serve(house.model, engine)
        gateways = [GatewayProcess(folder, LIMITS) for _ in range(GATEWAYS)]
        try:
            for gateway in gateways:
                gateway.wait_until_ready()
            yield Arena(house, gateways, engine)
        finally:
            engine.process.send_signal(signal.SIGCONT)
            for gateway in gateways:
                gateway.close()


def race(arena: Arena, asks: list[Ask], staying: int, *budgets: Budget) -> Rush:
    """All of them at once while the engine stands still; what it took is printed."""
    before, journal = arena.cpu_seconds(), len(arena.engine.journal())
    arena.stop_engine()
    with Watch(*budgets) as watch:
        rushed = rush(asks, staying=staying, then=arena.go_on)
    spent = {name: seconds - before[name] for name, seconds in arena.cpu_seconds().items()}
    statuses = Counter(told.status for told in rushed.told)
    print(
        f"{len(asks)} requests, at most {rushed.most_in_flight} in flight: {dict(statuses)} in {rushed.seconds:.1f} s; "
        f"CPU seconds {', '.join(f'{name} {seconds:.1f}' for name, seconds in spent.items())}; {watch.samples} samples"
    )
    assert watch.overshoots == []
    assert watch.samples > 20
    served = {told.header("x-request-id") for told in rushed.of(200)}
    starts = [line["id"] for line in arena.engine.journal()[journal:] if line["e"] == "start"]
    assert len(starts) == len(served)
    assert set(starts) == served
    return rushed


def admitted(rushed: Rush, count: int) -> None:
    """Exactly so many were served, for what they cost, and all others refused by a budget that says so."""
    served, refused = rushed.of(200), rushed.of(429)
    assert (len(served), len(refused)) == (count, len(rushed.told) - count)
    assert {told.header("x-beffroi-cost-nano-eur") for told in served} == {str(COST)}
    for told in refused:
        error = told.error
        assert (error["code"], error["type"]) == ("insufficient_quota", "insufficient_quota")
        assert "/api/budgets" in error["message"]


def standing(budget: Budget) -> tuple[int, int]:
    """Spent and held."""
    period = BudgetPeriod.objects.get(budget_id=budget.pk)
    return period.spent_nano_eur, period.held_nano_eur


@pytest.mark.parametrize(("requests", "allowed"), [(10_000, 137), (10_000, 3_000)])
def test_I3_of_ten_thousand_requests_in_flight_exactly_those_that_a_budget_covers_are_admitted(
    database: None, arena: Arena, requests: int, allowed: int
) -> None:
    key = arena.key()
    budget = arena.house.budget(Holder.KEY, key.row.pk, allowed * COST + COST - 1)
    rushed = race(arena, arena.asks(key, requests), allowed, budget)
    admitted(rushed, allowed)
    records = UsageRecord.objects.filter(key_id=key.row.pk)
    assert records.count() == allowed
    assert set(records.values_list("status", flat=True)) == {"completed"}
    assert standing(budget) == (allowed * COST, 0)
    assert_exact(arena.house, key.row)


def test_I3_of_three_budgets_on_the_way_each_binds_in_its_turn(database: None, arena: Arena) -> None:
    """A key of 40 requests in a project of 100 in an organisation of 150; a crowd of each, one after the other."""
    one, keys, budgets = arena.with_three_budgets()
    words = ("The budget of this key ", "The budget of this key's project ", "The budget of your organisation ")
    for key, count, word in zip(keys, (40, 60, 50), words, strict=True):
        rushed = race(one, one.asks(key, 500), count, *budgets)
        admitted(rushed, count)
        assert all(told.error["message"].startswith(word) for told in rushed.of(429))
    assert [standing(budget) for budget in budgets] == [(40 * COST, 0), (100 * COST, 0), (150 * COST, 0)]


def test_I3_three_budgets_are_kept_at_once(database: None, arena: Arena) -> None:
    one, keys, budgets = arena.with_three_budgets()
    crowds = [one.asks(key, 700) for key in keys]
    admitted(race(one, [ask for three in zip(*crowds, strict=True) for ask in three], 150, *budgets), 150)
    of_key, of_project, of_tenant = (standing(budget)[0] for budget in budgets)
    assert of_key == COST * UsageRecord.objects.filter(key_id=keys[0].row.pk).count() <= 40 * COST
    assert of_project == COST * UsageRecord.objects.filter(project_id=one.house.project.pk).count() <= 100 * COST
    assert of_tenant == COST * UsageRecord.objects.filter(tenant_id=one.house.tenant.pk).count() == 150 * COST


def test_I3_a_budget_raised_and_lowered_during_the_race_is_never_passed(database: None, arena: Arena) -> None:
    """What is lowered below what is held stops at once; what is raised is there at once; at the end exactly K."""
    key = arena.key()
    budget = arena.house.budget(Holder.KEY, key.row.pk, 10 * COST)
    shut: list[tuple[int, int]] = []
    is_over = threading.Event()
    changing = threading.Thread(target=raise_and_lower, args=(budget, shut, is_over))
    with Watch(budget) as watch:
        changing.start()
        rushed = rush(arena.asks(key, 4_000))
        is_over.set()
        changing.join()
        change_limit(budget=budget, limit_nano_eur=1_234 * COST, actor=TESTS)
        rest = rush(arena.asks(key, 2_000))
    print(f"{len(rushed.of(200))} admitted while the limit changed {len(shut)} times, {len(rest.of(200))} afterwards")
    assert watch.overshoots == []
    assert len(shut) > 5
    assert [(before, after) for before, after in shut if after > before] == []
    assert 0 < len(rushed.of(200)) <= 500
    assert len(rushed.of(200)) + len(rest.of(200)) == 1_234
    assert {told.status for told in rushed.told + rest.told} == {200, 429}
    assert standing(budget) == (1_234 * COST, 0)
    assert_exact(arena.house, key.row)


def raise_and_lower(budget: Budget, shut: list[tuple[int, int]], is_over: threading.Event) -> None:
    """Raise the limit step by step to 500 requests, lowering it to nothing before each; `shut` gets what was spent and
    held at the beginning and at the end of each time that it was nothing.
    """
    change = "select set_budget_limit_v1(%s, %s)"
    used = "select spent_nano_eur + held_nano_eur from billing_budget_period where budget_id = %s"
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        limit = 10
        while not is_over.is_set():
            connection.execute(change, [budget.pk, 0])
            [before] = connection.execute(used, [budget.pk]).fetchone() or (0,)
            is_over.wait(0.02)
            [after] = connection.execute(used, [budget.pk]).fetchone() or (0,)
            shut.append((before, after))
            limit = min(limit + 20, 500)
            connection.execute(change, [budget.pk, limit * COST])
            is_over.wait(0.02)


def test_a_gateway_opens_as_many_files_as_the_system_lets_it(tmp_path: Path, database: None) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1_024, hard))
    try:
        gateway = GatewayProcess(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with gateway:
        limits = Path(f"/proc/{gateway.process.pid}/limits").read_text()
    [files] = [line for line in limits.splitlines() if line.startswith("Max open files")]
    assert files.split()[3] == files.split()[4]
