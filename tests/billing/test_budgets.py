"""Budgets as people set them; that they hold is the ledger's test."""

from typing import Any

import pytest

from billing.limits.budgets import change_limit, put_budget, remove_budget, set_budget
from billing.limits.places import Holder, Source, place_of
from billing.models import Budget, BudgetPeriod
from identity.audit import Actor
from identity.errors import Invalid
from identity.models import AuditEvent
from tests.support.ledger import House, ledger_gateway, make_house

ALICE = Actor.system("test")
A_CHAT_NANO_EUR = 45_000


@pytest.fixture
def house(database: None) -> House:
    return make_house()


@pytest.mark.parametrize("level", ["tenant", "project", "key"])
def test_a_budget_sits_on_an_organisation_a_project_or_a_key(house: House, level: str) -> None:
    holders: dict[str, Holder] = {"tenant": house.tenant, "project": house.project, "key": house.key().row}
    budget = set_budget(on=holders[level], period="month", limit_nano_eur=10**9, actor=ALICE)
    budget.refresh_from_db()
    assert (budget.tenant_id, budget.scope, budget.scope_id) == (house.tenant.pk, level, holders[level].pk)
    assert (budget.limit_nano_eur, budget.is_hard, budget.source) == (10**9, True, "set")


def test_setting_it_again_changes_the_same_budget(house: House) -> None:
    first = set_budget(on=house.project, period="day", limit_nano_eur=5, actor=ALICE)
    again = set_budget(
        on=house.project, period="day", limit_nano_eur=7, is_hard=False, may_lower_output=True, actor=ALICE
    )
    assert again.pk == first.pk
    again.refresh_from_db()
    assert (again.limit_nano_eur, again.is_hard, again.may_lower_output) == (7, False, True)
    assert set_budget(on=house.project, period="month", limit_nano_eur=7, actor=ALICE).pk != first.pk


def test_ones_own_budget_and_the_contracts_stand_side_by_side(house: House) -> None:
    place = place_of(house.tenant)
    contracts = put_budget(place, period="month", limit_nano_eur=10**12, source=Source.TIER)
    own = set_budget(on=house.tenant, period="month", limit_nano_eur=10**9, actor=ALICE)
    assert own.pk != contracts.pk
    contracts.refresh_from_db()
    assert contracts.limit_nano_eur == 10**12


def test_lowered_below_what_is_spent_it_stops_the_holder_now(house: House, gateway_database_url: str) -> None:
    key = house.key().row
    budget = set_budget(on=house.tenant, period="month", limit_nano_eur=10**9, actor=ALICE)
    with ledger_gateway(gateway_database_url) as gateway:
        gateway.complete(house, key)
        change_limit(budget=budget, limit_nano_eur=0, actor=ALICE)
        period = BudgetPeriod.objects.get(budget_id=budget.pk)
        assert (period.limit_nano_eur, period.cap_nano_eur, period.spent_nano_eur) == (
            0,
            A_CHAT_NANO_EUR,
            A_CHAT_NANO_EUR,
        )
        assert gateway.admit(house, key).verdict != "admitted"
        change_limit(budget=budget, limit_nano_eur=10**9, actor=ALICE)
        gateway.complete(house, key)
    period.refresh_from_db()
    assert (period.cap_nano_eur, period.spent_nano_eur) == (10**9, 2 * A_CHAT_NANO_EUR)


def test_a_removed_budget_binds_no_more(house: House, gateway_database_url: str) -> None:
    key = house.key().row
    budget = set_budget(on=key, period="month", limit_nano_eur=0, actor=ALICE)
    with ledger_gateway(gateway_database_url) as gateway:
        assert gateway.admit(house, key).verdict != "admitted"
        remove_budget(budget=budget, actor=ALICE)
        gateway.complete(house, key)


def test_what_the_contract_brings_is_not_changed_by_members(house: House) -> None:
    budget = put_budget(place_of(house.tenant), period="month", limit_nano_eur=5, source=Source.TIER)
    with pytest.raises(Invalid, match="contract"):
        change_limit(budget=budget, limit_nano_eur=6, actor=ALICE)
    with pytest.raises(Invalid, match="contract"):
        remove_budget(budget=budget, actor=ALICE)


@pytest.mark.parametrize(
    "changes",
    [
        {"period": "decade"},
        {"limit_nano_eur": -1},
        {"limit_nano_eur": 10**18 + 1},
        {"limit_nano_eur": 1.5},
        {"limit_nano_eur": True},
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(house: House, changes: dict[str, Any]) -> None:
    sane: dict[str, Any] = {"on": house.tenant, "period": "month", "limit_nano_eur": 1, "actor": ALICE}
    with pytest.raises(Invalid):
        set_budget(**(sane | changes))
    assert not Budget.objects.filter(tenant_id=house.tenant.pk).exists()


def test_every_change_is_in_the_tenants_audit_chain(house: House) -> None:
    budget = set_budget(on=house.tenant, period="month", limit_nano_eur=5, actor=ALICE)
    change_limit(budget=budget, limit_nano_eur=9, actor=ALICE)
    change_limit(budget=budget, limit_nano_eur=3, actor=ALICE)
    remove_budget(budget=budget, actor=ALICE)
    links = AuditEvent.objects.filter(tenant=house.tenant, target=str(budget.pk)).order_by("sequence")
    assert [link.action for link in links] == ["budget.set", "budget.raised", "budget.lowered", "budget.removed"]
    assert links[2].detail["before"] == {"limit_nano_eur": 9}
    assert links[2].detail["after"] == {"limit_nano_eur": 3}
    assert links[3].detail["before"]["limit_nano_eur"] == 3
