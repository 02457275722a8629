"""Agreements: single values of a contract that are not its tier's, exactly for their time."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connections
from django.utils import timezone

from billing.contracts.agreements import AgreementWish, agreements_of, end_agreement, last_day_of, put_agreement
from billing.contracts.contracts import contract_in_force, start_contract, terms_brought, terms_with, turn_contract
from billing.contracts.tier_changes import renew_contracts
from billing.contracts.tier_choice import Hindrance, hindrance_of
from billing.contracts.turning import remind_of_ends, tell_of_turns, turn_due_contracts
from billing.models import Agreement, Budget, BudgetPeriod, Contract, RateCard, Tier, UsageRecord
from billing.models.agreements import WHOLE
from billing.prices.price_book import add_rate_card
from billing.tenants.changes import agreement_change, contract_change, move_tenant
from identity.errors import Conflict, Forbidden, Invalid, NotFound
from identity.models import AuditEvent, Notice, Tenant
from identity.operators import Operator
from tests.support.ledger import House, ledger_gateway, make_house, make_price, unique
from tests.support.operators import RUNS
from tests.support.people import TESTS, make_tenant

pytestmark = pytest.mark.usefixtures("database")
EUR = 10**9
LIMITS = [
    {"what": "requests", "window": "minute", "amount": 60},
    {"what": "tokens", "window": "day", "amount": 5_000},
    {"what": "concurrent", "window": "none", "amount": 9},
]
AGREED: list[dict[str, Any]] = [
    {"what": "requests", "window": "minute", "amount": 600},
    {"what": "tokens", "window": "day", "amount": None},
    {"what": "output_tokens", "window": "hour", "amount": 77},
]
BY_TIER = {("requests", "minute", 60), ("tokens", "day", 5_000), ("concurrent", "none", 9)}
BY_AGREEMENT = {("requests", "minute", 600), ("output_tokens", "hour", 77), ("concurrent", "none", 9)}


def make_tier(card: RateCard, cap: int | None = 100 * EUR) -> Tier:
    code = unique("t")[:32]
    return Tier.objects.create(code=code, name=code, limits=LIMITS, monthly_cap_nano_eur=cap, rate_card=card)


@pytest.fixture
def card() -> RateCard:
    return add_rate_card(name=unique("card"), actor=TESTS)


@pytest.fixture
def tenant(card: RateCard) -> Tenant:
    tenant = make_tenant()
    start_contract(tenant=tenant, tier=make_tier(card), actor=TESTS)
    return tenant


def running(tenant: Tenant) -> Contract:
    contract = contract_in_force(tenant)
    assert contract is not None
    return contract


def agree(tenant: Tenant, **wish: Any) -> Agreement:
    return put_agreement(by=RUNS, tenant=tenant, wish=AgreementWish(**({"reference": "C-12"} | wish)))[0]


def bound(tenant: Tenant) -> tuple[int | None, set[tuple[str, str, int]]]:
    cap, limits = terms_brought(tenant)
    return cap, {(one["what"], one["window"], one["amount"]) for one in limits}


def today(tenant: Tenant, later: int = 0) -> date:
    return timezone.localdate(timezone=ZoneInfo(tenant.time_zone)) + timedelta(days=later)


def let_pass(tenant: Tenant, at: datetime) -> None:
    """As if it were later: what was to come at the turn of a day came at that instant."""
    contract = running(tenant)
    Agreement.objects.filter(contracts=contract).update(starts_at=at - timedelta(days=1), ends_at=at)
    Agreement.objects.filter(tenant=tenant, begun_at=None, closed_at=None).update(starts_at=at)
    Contract.objects.filter(pk=contract.pk).update(turns_at=at, starts_at=at - timedelta(hours=1))


def test_what_is_agreed_binds_and_the_rest_is_the_tiers(tenant: Tenant) -> None:
    before = running(tenant)
    agreement = agree(tenant, limits=AGREED, is_cap_agreed=True, monthly_cap_nano_eur=5_000 * EUR)
    assert bound(tenant) == (5_000 * EUR, BY_AGREEMENT)
    contract = running(tenant)
    assert (contract.agreement, contract.tier, contract.rate_card) == (agreement, before.tier, before.rate_card)
    before.refresh_from_db()
    assert before.ends_at == contract.starts_at
    end_agreement(by=RUNS, tenant=tenant, agreement_id=agreement.pk)
    assert bound(tenant) == (100 * EUR, BY_TIER)
    assert (running(tenant).agreement, Contract.objects.filter(tenant=tenant).count()) == (None, 3)


def test_no_cap_can_be_agreed(tenant: Tenant) -> None:
    agree(tenant, is_cap_agreed=True)
    assert bound(tenant) == (None, BY_TIER)
    agree(tenant, reference="only a paper")
    assert bound(tenant) == (100 * EUR, BY_TIER)


def test_own_prices_go_with_the_agreement(tenant: Tenant, card: RateCard) -> None:
    own = add_rate_card(name=unique("own"), actor=TESTS)
    agree(tenant, rate_card=own.name)
    assert running(tenant).rate_card == own
    again = agree(tenant, rate_card=own.name, support_class="Day and night")
    end_agreement(by=RUNS, tenant=tenant, agreement_id=again.pk)
    assert running(tenant).rate_card == card


def test_prices_that_a_contract_had_before_stay_without_others_in_the_agreement(tenant: Tenant) -> None:
    own = add_rate_card(name=unique("own"), actor=TESTS)
    start_contract(tenant=tenant, tier=running(tenant).tier, rate_card=own, actor=TESTS)
    end_agreement(by=RUNS, tenant=tenant, agreement_id=agree(tenant).pk)
    assert running(tenant).rate_card == own


def test_the_same_again_changes_nothing_another_value_makes_another_contract(tenant: Tenant) -> None:
    wish = AgreementWish(limits=AGREED, last_day=today(tenant, 90))
    first, is_new = put_agreement(by=RUNS, tenant=tenant, wish=wish)
    assert (is_new, put_agreement(by=RUNS, tenant=tenant, wish=wish)) == (True, (first, False))
    assert Contract.objects.filter(tenant=tenant).count() == 2
    agree(tenant, limits=AGREED, last_day=today(tenant, 91))
    assert Contract.objects.filter(tenant=tenant).count() == 3
    assert Notice.objects.filter(tenant=tenant, kind="contract.agreed").count() == 2
    links = AuditEvent.objects.filter(tenant=tenant, action="contract.agreed").order_by("sequence")
    assert [link.detail["after"]["reference"] for link in links] == ["", "C-12"]


def test_a_renewed_tier_reaches_the_contract_and_leaves_what_was_agreed(tenant: Tenant) -> None:
    agreement = agree(tenant, limits=AGREED)
    tier = running(tenant).tier
    Tier.objects.filter(pk=tier.pk).update(version=2, monthly_cap_nano_eur=7 * EUR, limits=[])
    assert renew_contracts(by=RUNS, tier=tier).done == 1
    assert bound(tenant) == (7 * EUR, {("requests", "minute", 600), ("output_tokens", "hour", 77)})
    assert running(tenant).agreement == agreement


def test_another_tier_ends_the_agreement_the_same_tier_does_not(tenant: Tenant, card: RateCard) -> None:
    own = add_rate_card(name=unique("own"), actor=TESTS)
    agreement = agree(tenant, rate_card=own.name, limits=AGREED)
    tier = running(tenant).tier
    assert contract_change(tenant=tenant, tier=tier).ending is None
    assert not move_tenant(by=RUNS, tenant=tenant, tier=tier)
    other = make_tier(card)
    assert contract_change(tenant=tenant, tier=other).ending == agreement
    assert move_tenant(by=RUNS, tenant=tenant, tier=other)
    agreement.refresh_from_db()
    assert agreement.closed_at == running(tenant).starts_at
    assert bound(tenant) == (100 * EUR, BY_TIER)


def test_who_agreed_on_something_takes_no_tier_by_itself(tenant: Tenant, card: RateCard) -> None:
    other = make_tier(card)
    assert hindrance_of(running(tenant), other, None) is None
    planned = agree(tenant, first_day=today(tenant, 5))
    assert hindrance_of(running(tenant), other, None) == Hindrance.AGREED_NOW
    end_agreement(by=RUNS, tenant=tenant, agreement_id=planned.pk)
    assert hindrance_of(running(tenant), other, None) is None
    agree(tenant)
    assert hindrance_of(running(tenant), other, None) == Hindrance.AGREED_NOW


def test_a_change_is_seen_before_it_is_made(tenant: Tenant) -> None:
    wish = Agreement(limits=AGREED, is_cap_agreed=True, monthly_cap_nano_eur=EUR)
    change = agreement_change(running=running(tenant), agreement=wish)
    assert (change.cap_before, change.cap_after) == (100 * EUR, EUR)
    assert {(one.what, one.before, one.after) for one in change.changed_limits} == {
        ("requests", 60, 600),
        ("tokens", 5_000, None),
        ("output_tokens", None, 77),
    }
    assert bound(tenant) == (100 * EUR, BY_TIER)


# ---- validity
@pytest.mark.parametrize(
    ("field", "wish"),
    [
        ("first_day", {"first": -1}),
        ("last_day", {"last": -1}),
        ("last_day", {"first": 9, "last": 8}),
        ("first_day", {"first": 10_000}),
        ("last_day", {"last": 10_000}),
        ("agreement", {"reference": ""}),
        ("rate_card", {"rate_card": "no such list"}),
        ("monthly_cap_nano_eur", {"is_cap_agreed": True, "monthly_cap_nano_eur": -1}),
        ("amount", {"limits": [{"what": "requests", "window": "minute", "amount": -1}]}),
        ("window", {"limits": [{"what": "requests", "window": "none", "amount": 1}]}),
        ("limits", {"limits": AGREED + AGREED}),
        ("availability", {"availability_millionths": WHOLE + 1}),
        ("availability", {"availability_millionths": 0}),
        ("document_url", {"document_url": "javascript:alert(1)"}),
        ("reference", {"reference": "x" * 201}),
    ],
)
def test_what_makes_no_sense_is_refused_at_its_field(tenant: Tenant, field: str, wish: dict[str, Any]) -> None:
    for name, days in (("first_day", wish.pop("first", None)), ("last_day", wish.pop("last", None))):
        if days is not None:
            wish[name] = today(tenant, days)
    with pytest.raises(Invalid) as refused:
        agree(tenant, **wish)
    assert refused.value.field == field
    assert agreements_of(tenant) == []


def test_agreements_follow_each_other_and_never_overlap(tenant: Tenant) -> None:
    def days(first: int | None, last: int | None) -> dict[str, date | None]:
        return {
            "first_day": None if first is None else today(tenant, first),
            "last_day": None if last is None else today(tenant, last),
        }

    agree(tenant, **days(None, 9))
    agree(tenant, **days(20, 29))
    agree(tenant, **days(10, 19))
    for first, last, field in ((5, 12, "first_day"), (30, None, ""), (25, 27, "first_day"), (None, 10, "last_day")):
        if not field:
            agree(tenant, **days(first, last))
            continue
        with pytest.raises(Invalid) as refused:
            agree(tenant, **days(first, last), support_class="other")
        assert refused.value.field == field
    with pytest.raises(Invalid, match="no end"):
        agree(tenant, **days(40, None))
    shown = [
        (one.starts_at.astimezone(ZoneInfo(tenant.time_zone)).date(), last_day_of(one, tenant))
        for one in agreements_of(tenant)
    ]
    assert shown == [
        (today(tenant, first), None if last is None else today(tenant, last))
        for first, last in ((0, 9), (10, 19), (20, 29), (30, None))
    ]
    assert running(tenant).turns_at == agreements_of(tenant)[1].starts_at


def test_without_a_contract_nothing_is_agreed() -> None:
    with pytest.raises(Conflict):
        agree(make_tenant())


def test_only_who_may_change_contracts_agrees(tenant: Tenant) -> None:
    nobody = Operator(RUNS.actor, frozenset())
    with pytest.raises(Forbidden):
        put_agreement(by=nobody, tenant=tenant, wish=AgreementWish(reference="x"))
    with pytest.raises(Forbidden):
        end_agreement(by=nobody, tenant=tenant, agreement_id=1)
    with pytest.raises(NotFound):
        end_agreement(by=RUNS, tenant=tenant, agreement_id=agree(make_other(), reference="theirs").pk)


def make_other() -> Tenant:
    other = make_tenant()
    card = add_rate_card(name=unique("card"), actor=TESTS)
    start_contract(tenant=other, tier=make_tier(card), actor=TESTS)
    return other


# ---- the turn
def test_at_its_end_the_tiers_values_are_in_force_from_that_instant(tenant: Tenant, card: RateCard) -> None:
    own = add_rate_card(name=unique("own"), actor=TESTS)
    agree(tenant, limits=AGREED, is_cap_agreed=True, rate_card=own.name, last_day=today(tenant, 3))
    Tier.objects.filter(pk=running(tenant).tier_id).update(version=3, monthly_cap_nano_eur=50 * EUR)
    at = timezone.now() - timedelta(minutes=7)
    let_pass(tenant, at)
    assert turn_contract(tenant.pk)
    contract = running(tenant)
    assert (contract.starts_at, contract.agreement, contract.rate_card, contract.turns_at) == (at, None, card, None)
    assert (contract.tier_version, bound(tenant)) == (3, (50 * EUR, BY_TIER))
    assert not turn_contract(tenant.pk)


def test_what_is_planned_begins_as_the_one_before_ends(tenant: Tenant) -> None:
    agree(tenant, limits=AGREED, last_day=today(tenant, 3))
    following = agree(tenant, first_day=today(tenant, 4), is_cap_agreed=True, monthly_cap_nano_eur=EUR)
    at = timezone.now() - timedelta(seconds=1)
    let_pass(tenant, at)
    assert turn_contract(tenant.pk)
    assert (running(tenant).agreement, running(tenant).starts_at) == (following, at)
    assert bound(tenant) == (EUR, BY_TIER)
    following.refresh_from_db()
    assert (following.begun_at, following.closed_at) == (at, None)


def test_the_database_puts_values_together_as_we_do(tenant: Tenant) -> None:
    planned = agree(tenant, first_day=today(tenant, 4), limits=AGREED, is_cap_agreed=True, monthly_cap_nano_eur=3)
    let_pass(tenant, timezone.now())
    assert turn_contract(tenant.pk)
    cap, limits = terms_with(running(tenant).tier, planned)
    assert bound(tenant) == (cap, {(one["what"], one["window"], one["amount"]) for one in limits})


def test_two_that_were_missed_both_count_from_their_instants(tenant: Tenant) -> None:
    agree(tenant, limits=AGREED, last_day=today(tenant, 3))
    agree(tenant, first_day=today(tenant, 5), last_day=today(tenant, 6))
    now = timezone.now()
    let_pass(tenant, now - timedelta(hours=3))
    later = Agreement.objects.filter(tenant=tenant, begun_at=None)
    later.update(starts_at=now - timedelta(hours=2), ends_at=now - timedelta(hours=1))
    assert turn_contract(tenant.pk)
    history = Contract.objects.filter(tenant=tenant).order_by("id")
    assert [contract.agreement_id is not None for contract in history] == [False, True, False, True, False]
    assert [contract.ends_at for contract in history][:-1][1:] == [now - timedelta(hours=ago) for ago in (3, 2, 1)]
    assert agreements_of(tenant) == []


def test_of_those_who_turn_a_contract_at_once_one_does(tenant: Tenant) -> None:
    agree(tenant, limits=AGREED, last_day=today(tenant, 3))
    let_pass(tenant, timezone.now())

    def turn(_: int) -> bool:
        try:
            return turn_contract(tenant.pk)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as gateways:
        assert sum(gateways.map(turn, range(4))) == 1
    assert Contract.objects.filter(tenant=tenant).count() == 3


def test_the_worker_turns_tells_and_keeps_the_audit_once(tenant: Tenant) -> None:
    agree(tenant, limits=AGREED, last_day=today(tenant, 3))
    let_pass(tenant, timezone.now())
    for _ in range(2):
        turn_due_contracts()
        tell_of_turns()
    assert running(tenant).agreement is None
    assert Notice.objects.filter(tenant=tenant, kind="contract.agreement_ended").count() == 1
    assert AuditEvent.objects.filter(tenant=tenant, action="contract.agreement_ended").count() == 1


@pytest.mark.parametrize(("days", "told"), [(40, 0), (20, 1), (5, 1)])
def test_an_end_is_told_in_time(tenant: Tenant, days: int, told: int) -> None:
    agree(tenant, last_day=today(tenant, days))
    for _ in range(2):
        remind_of_ends()
    assert Notice.objects.filter(tenant=tenant, kind="contract.agreement_ends").count() == told
    about = Notice.objects.filter(tenant=None, kind="agreement.ends", context__slug=tenant.slug)
    assert about.count() == told


# ---- at admission
@pytest.fixture
def house() -> House:
    """A house on a tier of 100 EUR a month."""
    house = make_house()
    contract = running(house.tenant)
    Tier.objects.filter(pk=contract.tier_id).update(
        limits=[{"what": "requests", "window": "month", "amount": 2}],
        monthly_cap_nano_eur=100 * EUR,
        rate_card=contract.rate_card,
    )
    return house


def test_nothing_is_admitted_under_a_contract_whose_time_is_over(house: House, gateway_database_url: str) -> None:
    tenant, key = house.tenant, house.key().row
    own = add_rate_card(name=unique("own"), actor=TESTS)
    free = make_price(own, house.model, {"input": 0, "output": 0})
    agree(tenant, rate_card=own.name, is_cap_agreed=True, limits=[], last_day=today(tenant, 3))
    agreed = running(tenant)
    with ledger_gateway(gateway_database_url) as gateway:
        told = gateway.admit(house, key)
        assert told.verdict == "stale"  # at the prices of the tier
        cheap = House(house.tenant, house.project, house.model, free, house.prices)
        assert gateway.admit(cheap, key).verdict == "admitted"
        let_pass(tenant, timezone.now())
        assert [gateway.admit(one, key).verdict for one in (cheap, house)] == ["stale", "stale"]
        gateway.connection.execute("select turn_contract_v1(%s)", [tenant.pk])
        assert gateway.admit(cheap, key).verdict == "stale"
        request_id = gateway.complete(house, key)
    record = UsageRecord.objects.get(request_id=request_id)
    assert record.contract_id == running(tenant).pk != agreed.pk


def test_money_spent_under_the_agreed_cap_counts_under_the_tiers(house: House, gateway_database_url: str) -> None:
    tenant, key = house.tenant, house.key().row
    agree(tenant, is_cap_agreed=True, monthly_cap_nano_eur=200 * EUR, last_day=today(tenant, 3))
    with ledger_gateway(gateway_database_url) as gateway:
        gateway.complete(house, key)
        let_pass(tenant, timezone.now())
        gateway.connection.execute("select turn_contract_v1(%s)", [tenant.pk])
        gateway.complete(house, key)
    budget = Budget.objects.get(tenant_id=tenant.pk, is_active=True)
    period = BudgetPeriod.objects.get(budget_id=budget.pk)
    assert (period.spent_nano_eur, period.cap_nano_eur) == (90_000, 100 * EUR)
