"""A budget raised for a time is as it was before when the time is over, whoever looks or does not."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.utils import timezone

from billing.limits.budget_raises import end_raise, raise_budget, running_raises, tell_of_ended_raises
from billing.limits.budgets import change_limit, remove_budget, set_budget
from billing.models import Budget, BudgetPeriod, BudgetRaise
from identity.errors import Conflict, Invalid
from identity.models import AuditEvent, Notice
from tests.support.ledger import A_CHAT, House, LedgerGateway, ledger_gateway, make_house
from tests.support.people import TESTS

A_CHAT_COSTS = 45_000
EUR = 10**9


@pytest.fixture
def gateway(database: None, gateway_database_url: str) -> Iterator[LedgerGateway]:
    with ledger_gateway(gateway_database_url) as gateway:
        yield gateway


@pytest.fixture
def house(database: None) -> House:
    return make_house()


@pytest.fixture
def budget(house: House) -> Budget:
    return set_budget(on=house.tenant, period="month", limit_nano_eur=EUR, actor=TESTS)


def soon() -> Any:
    return timezone.now() + timedelta(days=7)


def let_time_pass(budget: Budget, gateway: LedgerGateway) -> None:
    """The raise's time is over, and gateways sweep."""
    BudgetRaise.objects.filter(budget_id=budget.pk).update(raised_until=timezone.now() - timedelta(seconds=1))
    while gateway.connection.execute("select end_raise_v1()").fetchone() == (True,):
        pass


def limit_of(budget: Budget) -> int:
    return Budget.objects.get(pk=budget.pk).limit_nano_eur


def test_a_raise_ends_by_itself_and_what_was_spent_meanwhile_stops_the_holder(
    gateway: LedgerGateway, house: House, budget: Budget
) -> None:
    key = house.key().row
    gateway.complete(house, key)
    change_limit(budget=budget, limit_nano_eur=A_CHAT_COSTS, actor=TESTS)
    assert gateway.admit(house, key).verdict == "budget"
    raise_budget(budget=budget, limit_nano_eur=EUR, until=soon(), actor=TESTS)
    running = gateway.admit(house, key)
    assert running.verdict == "admitted"
    let_time_pass(budget, gateway)
    period = BudgetPeriod.objects.get(budget_id=budget.pk)
    assert (limit_of(budget), period.limit_nano_eur) == (A_CHAT_COSTS, A_CHAT_COSTS)
    assert period.cap_nano_eur == period.spent_nano_eur + period.held_nano_eur  # what runs ends as it would
    assert gateway.admit(house, key).verdict == "budget"
    assert running_raises([budget.pk]) == {}


def test_its_end_is_told_and_audited_once(gateway: LedgerGateway, house: House, budget: Budget) -> None:
    raise_budget(budget=budget, limit_nano_eur=5 * EUR, until=soon(), actor=TESTS)
    tell_of_ended_raises()
    assert not Notice.objects.filter(tenant=house.tenant, kind="budget.raise_ended").exists()
    let_time_pass(budget, gateway)
    for _ in range(2):
        tell_of_ended_raises()
    [notice] = Notice.objects.filter(tenant=house.tenant, kind="budget.raise_ended")
    assert (notice.context["base_nano_eur"], notice.context["raised_nano_eur"]) == (EUR, 5 * EUR)
    actions = AuditEvent.objects.filter(tenant=house.tenant, action__startswith="budget.raise").order_by("sequence")
    assert [event.action for event in actions] == ["budget.raised_until", "budget.raise_ended"]
    assert actions[0].detail["before"] == {"limit_nano_eur": EUR}
    assert actions[0].detail["after"] == {"limit_nano_eur": 5 * EUR}


def test_another_raise_keeps_the_base_and_a_change_of_the_limit_ends_it(
    gateway: LedgerGateway, house: House, budget: Budget
) -> None:
    raise_budget(budget=budget, limit_nano_eur=5 * EUR, until=soon(), actor=TESTS)
    raise_budget(budget=budget, limit_nano_eur=3 * EUR, until=soon(), actor=TESTS)
    assert (running_raises([budget.pk])[budget.pk].base_nano_eur, limit_of(budget)) == (EUR, 3 * EUR)
    assert end_raise(budget=budget, actor=TESTS)
    assert not end_raise(budget=budget, actor=TESTS)
    assert limit_of(budget) == EUR
    raise_budget(budget=budget, limit_nano_eur=5 * EUR, until=soon(), actor=TESTS)
    set_budget(on=house.tenant, period="month", limit_nano_eur=2 * EUR, actor=TESTS)
    let_time_pass(budget, gateway)
    assert limit_of(budget) == 2 * EUR
    tell_of_ended_raises()
    assert not Notice.objects.filter(tenant=house.tenant, kind="budget.raise_ended").exists()


def test_a_budget_that_is_removed_takes_its_raise_with_it(gateway: LedgerGateway, house: House, budget: Budget) -> None:
    raise_budget(budget=budget, limit_nano_eur=5 * EUR, until=soon(), actor=TESTS)
    remove_budget(budget=budget, actor=TESTS)
    let_time_pass(budget, gateway)
    tell_of_ended_raises()
    assert not Notice.objects.filter(tenant=house.tenant, kind="budget.raise_ended").exists()


def test_a_raise_that_makes_no_sense_is_refused(house: House, budget: Budget) -> None:
    for limit, until in ((EUR, soon()), (2 * EUR, timezone.now()), (2 * EUR, timezone.now() + timedelta(days=400))):
        with pytest.raises(Invalid):
            raise_budget(budget=budget, limit_nano_eur=limit, until=until, actor=TESTS)
    telling = set_budget(on=house.project, period="day", limit_nano_eur=EUR, is_hard=False, actor=TESTS)
    with pytest.raises(Invalid, match="only tells"):
        raise_budget(budget=telling, limit_nano_eur=2 * EUR, until=soon(), actor=TESTS)
    remove_budget(budget=budget, actor=TESTS)
    with pytest.raises(Conflict, match="ended"):
        raise_budget(budget=budget, limit_nano_eur=2 * EUR, until=soon(), actor=TESTS)


def test_two_sweepers_end_a_raise_once(house: House, budget: Budget, gateway_database_url: str) -> None:
    raise_budget(budget=budget, limit_nano_eur=5 * EUR, until=soon(), actor=TESTS)
    BudgetRaise.objects.filter(budget_id=budget.pk).update(raised_until=timezone.now() - timedelta(days=900))
    with psycopg.connect(gateway_database_url) as first, psycopg.connect(gateway_database_url) as second:
        assert first.execute("select end_raise_v1()").fetchone() == (True,)
        second.execute("set statement_timeout = 2000")
        second.execute("select end_raise_v1()")  # it does not wait for the first
        first.commit()
    assert limit_of(budget) == EUR


def test_a_key_that_moves_to_another_project_leaves_its_past_spend_behind(gateway: LedgerGateway, house: House) -> None:
    second = house.project_called("Second")
    budgets = [set_budget(on=on, period="month", limit_nano_eur=EUR, actor=TESTS) for on in (house.project, second)]
    key = house.key().row
    gateway.complete(house, key)
    running = gateway.admit(house, key)
    type(key).objects.filter(pk=key.pk).update(project=second)  # what `move_keys` does
    gateway.complete(house, key)
    gateway.settle(house, running.request_id, A_CHAT)
    spent = [BudgetPeriod.objects.get(budget_id=one.pk).spent_nano_eur for one in budgets]
    assert spent == [2 * A_CHAT_COSTS, A_CHAT_COSTS]
