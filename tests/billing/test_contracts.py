"""Contracts: one in force a tenant, with its tier's limits and cap."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from django.db import connections

from billing.contracts.contracts import contract_in_force, start_contract
from billing.contracts.tiers import load_tiers, tier_by_code
from billing.limits.budgets import set_budget
from billing.limits.limits import set_limit
from billing.models import Budget, BudgetPeriod, Contract, Limit
from billing.prices.price_book import add_rate_card, load_prices, reference_rate_card
from identity.audit import Actor
from identity.models import AuditEvent, Tenant
from tests.support.credit import pay
from tests.support.ledger import ledger_gateway, make_house, unique

ALICE = Actor.system("test")


@pytest.fixture
def tenant(database: None) -> Tenant:
    load_prices(actor=ALICE)
    load_tiers(actor=ALICE)
    return Tenant.objects.create(slug=unique("t"), name="Alice's")


def start(tenant: Tenant, code: str) -> Contract:
    return start_contract(tenant=tenant, tier=tier_by_code(code), actor=ALICE)


def limits_of(tenant: Tenant) -> set[tuple[str, str, int, str]]:
    rows = Limit.objects.filter(tenant_id=tenant.pk, is_active=True)
    return set(rows.values_list("what", "window", "amount", "source"))


def budgets_of(tenant: Tenant) -> set[tuple[str, int, str]]:
    rows = Budget.objects.filter(tenant_id=tenant.pk, is_active=True)
    return set(rows.values_list("period", "limit_nano_eur", "source"))


def test_a_contract_brings_its_tiers_limits_and_cap(tenant: Tenant) -> None:
    assert contract_in_force(tenant) is None
    contract = start(tenant, "tier-1")
    assert contract_in_force(tenant) == contract
    assert contract.rate_card == reference_rate_card()
    assert limits_of(tenant) == {
        ("requests", "minute", 1_000, "tier"),
        ("output_tokens", "hour", 150_000, "tier"),
        ("output_tokens", "day", 3_600_000, "tier"),
    }
    assert budgets_of(tenant) == {("month", 1_000 * 10**9, "tier"), ("once", 0, "credit")}


def test_a_new_contract_ends_the_old_one_at_the_instant_it_starts(tenant: Tenant) -> None:
    old, new = start(tenant, "tier-1"), start(tenant, "standard")
    old.refresh_from_db()
    assert old.ends_at == new.starts_at
    assert contract_in_force(tenant) == new
    assert limits_of(tenant) == {("requests", "minute", 1_000, "tier")}
    assert budgets_of(tenant) == set()


def test_what_members_set_themselves_stays(tenant: Tenant) -> None:
    start(tenant, "tier-1")
    set_limit(on=tenant, what="requests", window="minute", amount=5, actor=ALICE)
    set_budget(on=tenant, period="month", limit_nano_eur=7, actor=ALICE)
    start(tenant, "unlimited")
    assert limits_of(tenant) == {("requests", "minute", 5, "set")}
    assert budgets_of(tenant) == {("month", 7, "set")}


def test_the_same_tier_again_goes_on_and_renews_its_limits(tenant: Tenant) -> None:
    first = start(tenant, "tier-1")
    Limit.objects.filter(tenant_id=tenant.pk, what="requests").update(amount=1)
    assert start(tenant, "tier-1") == first
    assert ("requests", "minute", 1_000, "tier") in limits_of(tenant)
    assert Contract.objects.filter(tenant=tenant).count() == 1


def test_other_prices_make_another_contract(tenant: Tenant) -> None:
    first = start(tenant, "standard")
    card = add_rate_card(name=unique("card"), actor=ALICE)
    second = start_contract(tenant=tenant, tier=tier_by_code("standard"), rate_card=card, actor=ALICE)
    assert second != first
    assert second.rate_card == card


def test_money_spent_under_one_cap_counts_under_the_next(tenant: Tenant, gateway_database_url: str) -> None:
    house = make_house()
    start(house.tenant, "tier-1")
    pay(house.tenant, 10**9)
    start_contract(
        tenant=house.tenant, tier=tier_by_code("tier-1"), rate_card=house.price_version.rate_card, actor=ALICE
    )
    with ledger_gateway(gateway_database_url) as gateway:
        gateway.complete(house, house.key().row)
    start_contract(
        tenant=house.tenant, tier=tier_by_code("tier-2"), rate_card=house.price_version.rate_card, actor=ALICE
    )
    budget = Budget.objects.get(tenant_id=house.tenant.pk, is_active=True, source="tier")
    period = BudgetPeriod.objects.get(budget_id=budget.pk)
    assert (period.spent_nano_eur, period.cap_nano_eur) == (45_000, 3_000 * 10**9)


def test_of_contracts_started_at_once_one_is_in_force(tenant: Tenant) -> None:
    def start_and_hang_up(code: str) -> None:
        try:
            start(tenant, code)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as people:
        list(people.map(start_and_hang_up, ["tier-1", "tier-2", "tier-3", "tier-4"]))
    running = contract_in_force(tenant)
    assert running is not None
    assert Contract.objects.filter(tenant=tenant).count() == 4
    assert budgets_of(tenant) == {("month", running.tier.monthly_cap_nano_eur, "tier"), ("once", 0, "credit")}


def test_a_contract_is_audited_and_told_to_gateways(tenant: Tenant, gateway_database_url: str) -> None:
    with psycopg.connect(gateway_database_url, autocommit=True) as gateway:
        gateway.execute("listen beffroi_policy")
        start(tenant, "standard")
        assert [told.payload for told in gateway.notifies(timeout=5, stop_after=1)] == [f"tenant:{tenant.pk}"]
    link = AuditEvent.objects.get(tenant=tenant, action="contract.started")
    assert link.detail["after"] == {"tier": "standard", "rate_card": "Reference"}
