"""What needs attention: found, weighed, linked, and told to nobody who could neither see nor mend it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from billing.models import Scope
from billing.usage.overview import overview
from billing.usage.records import reader_of_member
from console import formats
from console.attention import SHOWN_MAX, Facts, Item, attention, full_budgets
from gateway.pools.models import Replica
from gateway.pools.registry import register_pool, register_replica, set_state
from gateway.pools.serving import models_with_state
from identity.concerns import concerns_of
from identity.models import ApiKey, Membership, Person, Role
from identity.tenants import suspend_tenant
from tests.support.console import page, signed_in
from tests.support.history import History, history_of
from tests.support.ledger import House, LedgerGateway, ledger_gateway, make_house
from tests.support.operators import RUNS
from tests.support.people import TESTS, as_member, make_person

NOW = datetime.now(UTC)


@pytest.fixture
def house(database: None) -> House:
    return make_house(time_zone="UTC")


@pytest.fixture
def alice(house: House) -> Person:
    return make_person("alice", house.tenant, Role.OWNER)


@pytest.fixture
def history(house: House, owner_database_url: str) -> Iterator[History]:
    with history_of(house, owner_database_url) as history:
        yield history


@pytest.fixture
def gateway(database: None, gateway_database_url: str) -> Iterator[LedgerGateway]:
    with ledger_gateway(gateway_database_url) as gateway:
        yield gateway


def items(person: Person, house: House) -> list[Item]:
    caller = as_member(person, house.tenant)
    found = overview(reader_of_member(caller), now=NOW)
    named = [budget.scope_id for budget in full_budgets(found) if budget.scope == "project"]
    concerns = concerns_of(caller, now=timezone.now(), projects_named=named)
    models = list(models_with_state([name for name, _ in found.models]))
    return attention(Facts(caller, found, concerns, models))


def serve(house: House) -> None:
    pool = register_pool(model=house.model, served_name="m", actor=TESTS)
    replica = register_replica(pool=pool, url="http://127.0.0.1:9", actor=TESTS)
    set_state(replica=replica, state=Replica.State.READY, reason="", actor=TESTS)


def answered_for(house: House, alice: Person, **changes: Any) -> ApiKey:
    key = house.key().row
    ApiKey.objects.filter(pk=key.pk).update(responsible=alice, **changes)
    return key


def test_nothing_is_the_matter_with_a_tenant_that_is_well(house: House, alice: Person, history: History) -> None:
    serve(house)
    history.record(answered_for(house, alice), NOW - timedelta(hours=1))
    assert items(alice, house) == []


def test_a_suspension_comes_first_with_its_reason(house: House, alice: Person) -> None:
    suspend_tenant(house.tenant, by=RUNS, reason="unpaid since May")
    first = items(alice, house)[0]
    assert (first.title, first.tone) == ("The organisation is suspended: its keys are refused.", "red")
    assert first.note == "unpaid since May"


def test_a_budget_above_four_fifths_leads_to_its_project(house: House, alice: Person, gateway: LedgerGateway) -> None:
    serve(house)
    key = answered_for(house, alice)
    budget = house.budget(Scope.PROJECT, house.project.pk, 10**9)
    gateway.complete(house, key)
    type(budget).objects.filter(pk=budget.pk).update(limit_nano_eur=50_000)
    [item] = items(alice, house)
    assert item.title == "“Default” has used 90 % of its budget."
    assert item.tone == "yellow"


def test_keys_that_expire_or_that_nobody_answers_for_or_uses(house: House, alice: Person, history: History) -> None:
    old = NOW - timedelta(days=120)
    answered_for(house, alice, expires_at=NOW + timedelta(days=3, hours=1))
    answered_for(house, alice, expires_at=NOW + timedelta(days=60))
    answered_for(house, alice, created_at=old)
    answered_for(house, alice, created_at=old, revoked_at=NOW)
    house.key()
    titles = [item.title for item in items(alice, house)]
    assert titles == [
        "1 key expires within 14 days.",
        "1 key has nobody who answers for it.",
        "1 key was not used for 90 days.",
    ]


def test_a_model_that_ends_names_its_successor_and_one_without_engine_comes_first(
    house: House, alice: Person, history: History
) -> None:
    history.record(answered_for(house, alice), NOW - timedelta(hours=1))
    [away] = items(alice, house)
    assert (away.title, away.tone) == (f"No engine serves {house.model.name} at the moment.", "red")
    serve(house)
    ends = (NOW + timedelta(days=30)).date()
    type(house.model).objects.filter(pk=house.model.pk).update(deprecated_on=NOW.date(), retired_on=ends)
    [ending] = items(alice, house)
    assert (ending.title, ending.tone) == (f"{house.model.name} ends on {formats.day(ends, 'en')}.", "yellow")


def test_refusals_that_double_lead_to_those_refusals(house: House, alice: Person, history: History) -> None:
    key = answered_for(house, alice)
    for number in range(30):
        history.refusal(key, NOW - timedelta(minutes=number + 1), is_listed=False)
    for number in range(14):
        history.refusal(key, NOW - timedelta(hours=30, minutes=number), is_listed=False)
    [item] = items(alice, house)
    assert item.title == "30 requests were refused in 24 hours."
    assert item.note == "The day before: 14. Most often: limit reached."
    assert item.address.endswith("/requests?ended=code%3Arate_limit_exceeded&days=1")


def test_finance_is_told_of_money_and_not_of_keys_it_may_not_see(
    house: House, alice: Person, gateway: LedgerGateway
) -> None:
    serve(house)
    budget = house.budget(Scope.TENANT, house.tenant.pk, 10**9)
    gateway.complete(house, house.key().row)
    type(budget).objects.filter(pk=budget.pk).update(limit_nano_eur=45_000)
    finance = make_person("fatima", house.tenant, Role.FINANCE)
    assert [item.title for item in items(finance, house)] == ["100 % of the organisation's budget is used."]
    assert len(items(alice, house)) == 2


def test_a_member_of_one_project_is_told_only_of_it_I6(house: House, gateway: LedgerGateway) -> None:
    serve(house)
    mine, bob = house.project_called("Mine"), make_person("bob", house.tenant)
    membership = Membership.objects.get(person=bob)
    membership.in_all_projects = False
    membership.save()
    membership.projects.add(mine)
    budget = house.budget(Scope.PROJECT, house.project.pk, 10**9)
    gateway.complete(house, house.key().row)
    type(budget).objects.filter(pk=budget.pk).update(limit_nano_eur=45_000)
    assert items(bob, house) == []


def test_at_most_five_the_weightiest_first(house: House, alice: Person) -> None:
    caller = as_member(alice, house.tenant)
    found, concerns = overview(reader_of_member(caller), now=NOW), concerns_of(caller, now=NOW)
    from console import attention as module

    def rule(_facts: Facts) -> Iterator[Item]:
        for weight in (3, 9, 1, 7, 5, 8):
            yield Item(weight, "red", "key", "", "", "", "")

    facts = Facts(caller, found, concerns, [])
    before = module.RULES
    try:
        module.RULES = (rule,)
        assert [item.weight for item in attention(facts)] == [9, 8, 7, 5, 3]
        assert SHOWN_MAX == 5
    finally:
        module.RULES = before


def test_a_new_organisation_sees_three_steps_each_ticked_when_done(
    house: House, alice: Person, gateway: LedgerGateway
) -> None:
    address = f"/t/{house.tenant.slug}/"
    text = page(signed_in(alice).get(address))
    assert "Three steps to the first answer" in text
    assert text.count("is-done") == 0
    key = house.key().row
    house.budget(Scope.TENANT, house.tenant.pk, 10**9)
    assert page(signed_in(alice).get(address)).count("is-done") == 2
    gateway.complete(house, key)
    assert "Three steps" not in page(signed_in(alice).get(address))
