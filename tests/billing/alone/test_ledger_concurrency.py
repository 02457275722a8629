"""I3: `spent + held <= cap` at every instant, with several processes at once and no deadlock."""

import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from django.db import connection

from billing.models import BudgetPeriod, Hold, UsageRecord
from billing.models import Scope as Holder
from billing.pricing import Quantities, price_of
from gateway.relay.ids import new_request_id
from tests.billing.raw_ledger import RawLedger, request_of, settlement_of, standing_of, used_of
from tests.support.ledger import House, make_house


@pytest.fixture
def house(database: None) -> House:
    return make_house()


@pytest.fixture
def ledgers(database: None, gateway_database_url: str) -> Any:
    """Four gateways."""
    ledgers = [RawLedger.open(gateway_database_url) for _ in range(4)]
    yield ledgers
    for ledger in ledgers:
        ledger.close()


def at_once(ledgers: list[RawLedger], work: Any) -> list[Any]:
    """Run `work(ledger, number)` in a thread for each gateway."""
    with ThreadPoolExecutor(len(ledgers)) as threads:
        return list(threads.map(work, ledgers, range(len(ledgers))))


def test_I3_a_budget_that_allows_exactly_k_admits_exactly_k(house: House, ledgers: list[RawLedger]) -> None:
    key = house.key().row
    budget = house.budget(Holder.KEY, key.pk, 100 * 1_000_000 + 999_999)
    template = request_of(house, key)

    def work(ledger: RawLedger, number: int) -> Counter[str]:
        verdicts: Counter[str] = Counter()
        for size in (1, 7, 30, 2, 60):
            batch = [template | {"request_id": str(new_request_id())} for _ in range(size)]
            verdicts.update(verdict.verdict for verdict in ledger.admit(*batch))
        return verdicts

    total: Counter[str] = sum(at_once(ledgers, work), Counter())
    assert total == {"admitted": 100, "budget": 300}
    assert standing_of(budget.pk) == (0, 100_000_000)
    assert Hold.objects.filter(key_id=key.pk).count() == 100


def test_a_limit_of_n_a_window_admits_exactly_n(house: House, ledgers: list[RawLedger]) -> None:
    key = house.key().row
    limit = house.limit(Holder.KEY, key.pk, "requests", "month", 77)
    template = request_of(house, key)

    def work(ledger: RawLedger, number: int) -> int:
        batches = [[template | {"request_id": str(new_request_id())} for _ in range(size)] for size in (10, 1, 40)]
        return sum(verdict.verdict == "admitted" for batch in batches for verdict in ledger.admit(*batch))

    assert sum(at_once(ledgers, work)) == 77
    assert used_of(limit.pk) == 77


def test_I3_the_cap_holds_at_every_instant_and_nothing_deadlocks(
    house: House, ledgers: list[RawLedger], owner_database_url: str
) -> None:
    """Four gateways admit and settle over the same three budgets and two limits, while a budget is changed."""
    keys = [house.key().row for _ in range(3)]
    budgets = [house.budget(Holder.TENANT, house.tenant.pk, 40_000_000)]
    budgets += [house.budget(Holder.KEY, key.pk, 15_000_000) for key in keys[:2]]
    house.limit(Holder.TENANT, house.tenant.pk, "concurrent", "none", 25)
    house.limit(Holder.PROJECT, house.project.pk, "tokens", "month", 10**9)
    templates = [request_of(house, key) for key in keys]
    stop = threading.Event()
    overshoots: list[Any] = []

    def watch() -> None:
        with psycopg.connect(owner_database_url, autocommit=True) as owner:
            while not stop.is_set():
                overshoots.extend(
                    owner.execute(
                        "select * from billing_budget_period where budget_id = any(%s)"
                        " and spent_nano_eur + held_nano_eur > cap_nano_eur",
                        [[budget.pk for budget in budgets]],
                    ).fetchall()
                )

    def meddle() -> None:
        dice = random.Random(1)
        with psycopg.connect(owner_database_url, autocommit=True) as owner:
            while not stop.is_set():
                owner.execute("select set_budget_limit_v1(%s, %s)", [budgets[0].pk, dice.randrange(1, 60_000_000)])

    def work(ledger: RawLedger, number: int) -> None:
        dice = random.Random(number)
        held: list[str] = []
        for _ in range(60):
            batch = [
                dice.choice(templates) | {"request_id": str(new_request_id())} for _ in range(dice.randrange(1, 8))
            ]
            held += [str(v.request_id) for v in ledger.admit(*batch) if v.verdict == "admitted"]
            dice.shuffle(held)
            done, held = held[: dice.randrange(1, 9)], held[9:] if len(held) > 30 else held
            quantities = Quantities(dice.randrange(200), 0, dice.randrange(3_000))
            if done:
                told = ledger.settle(*[settlement_of(house, request_id, quantities) for request_id in done])
                assert {verdict for verdict, _, _ in told.values()} <= {"settled", "exists"}

    others = [threading.Thread(target=watch), threading.Thread(target=meddle)]
    for thread in others:
        thread.start()
    try:
        at_once(ledgers, work)
    finally:
        stop.set()
        for thread in others:
            thread.join(20)
    assert not overshoots
    assert_conserved(house, [budget.pk for budget in budgets])


def assert_conserved(house: House, budget_ids: list[int]) -> None:
    """What budgets say is spent and held is what the rows say."""
    for budget_id in budget_ids:
        period = BudgetPeriod.objects.get(budget_id=budget_id)
        assert period.held_nano_eur == held_in(period.pk)
    tenant = BudgetPeriod.objects.get(budget_id=budget_ids[0])
    records = UsageRecord.objects.filter(tenant_id=house.tenant.pk)
    assert tenant.spent_nano_eur == sum(record.cost_nano_eur for record in records)
    for record in records:
        quantities = Quantities(record.input_quantity, record.cached_quantity, record.output_quantity)
        assert record.cost_nano_eur + record.uncharged_nano_eur == price_of(quantities, house.prices)[0]


def held_in(period_id: int) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "select coalesce(sum(amount_nano_eur), 0) from billing_hold where %s = any(period_ids)", [period_id]
        )
        row = cursor.fetchone()
    assert row is not None
    return int(row[0])
