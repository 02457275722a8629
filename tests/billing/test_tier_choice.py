"""A tenant takes another tier by itself: up at once, down from its next month; and sees first what it would cost."""

import os
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from django.utils import timezone

from billing.contracts.agreements import AgreementWish, put_agreement
from billing.contracts.contracts import contract_in_force, start_contract
from billing.contracts.tier_choice import (
    Hindrance,
    choice_open,
    choose_tier,
    next_month,
    start_chosen_tiers,
    withdraw_choice,
)
from billing.contracts.tier_comparison import TierOffer, compare_tiers
from billing.credit.account import account_of
from billing.models import CreditOrder, Limit, RateCard, Tier, TierChoice
from billing.prices.price_book import add_price_version, add_rate_card
from billing.pricing import METERS, Quantities
from identity.errors import Conflict, Forbidden, Invalid
from identity.models import AuditEvent, Notice, Role, Tenant
from models_catalog.models import LanguageModel
from tests.support.credit import pay
from tests.support.ledger import make_model, unique
from tests.support.operators import RUNS
from tests.support.people import TESTS, Cast, as_member, default_project, make_cast, make_person

pytestmark = pytest.mark.usefixtures("database")
EUR = 10**9
PRICES = {"input": EUR, "output": 4 * EUR}
SMALL, LARGE = 60, 600  # requests a minute


@pytest.fixture
def model() -> LanguageModel:
    return make_model(visibility="everybody", published_at=timezone.now())


@pytest.fixture
def card(model: LanguageModel) -> RateCard:
    card = add_rate_card(name=unique("card"), actor=TESTS)
    add_price_version(rate_card=card, model=model, prices=PRICES, actor=TESTS)
    return card


def make_tier(card: RateCard, requests: int, cap_eur: int | None = None, **more: Any) -> Tier:
    limits = [{"what": "requests", "window": "minute", "amount": requests}]
    cap = None if cap_eur is None else cap_eur * EUR
    code = unique("t")[:32]
    return Tier.objects.create(code=code, name=code, limits=limits, monthly_cap_nano_eur=cap, rate_card=card, **more)


@pytest.fixture
def cast(card: RateCard) -> Cast:
    """A house on a small tier of 100 EUR a month."""
    cast = make_cast()
    start_contract(tenant=cast.tenant, tier=make_tier(card, SMALL, 100), actor=TESTS)
    return cast


def tier_of(tenant: Tenant) -> Tier:
    contract = contract_in_force(tenant)
    assert contract is not None
    return contract.tier


def told(tenant: Tenant, kind: str) -> int:
    return Notice.objects.filter(tenant=tenant, kind=kind).count()


def test_up_is_at_once_and_told(cast: Cast, card: RateCard) -> None:
    large = make_tier(card, LARGE, 200)
    chosen = choose_tier(by=as_member(cast.alice, cast.tenant), tier=large)
    assert (chosen.is_in_force, tier_of(cast.tenant)) == (True, large)
    assert Limit.objects.get(tenant_id=cast.tenant.pk, is_active=True).amount == LARGE
    assert told(cast.tenant, "contract.changed") == 1
    operators = Notice.objects.filter(tenant=None, kind="tier.chosen", context__tier=large.name)
    assert [one.context["organisation"] for one in operators] == [cast.tenant.name]
    assert AuditEvent.objects.filter(tenant=cast.tenant, action="contract.started").exists()


@pytest.mark.parametrize(("requests", "cap"), [(SMALL, 99), (SMALL - 1, None), (LARGE, 1)])
def test_down_waits_for_the_next_month_of_the_tenant(cast: Cast, card: RateCard, requests: int, cap: int) -> None:
    before, lower = tier_of(cast.tenant), make_tier(card, requests, cap)
    chosen = choose_tier(by=as_member(cast.alice, cast.tenant), tier=lower)
    assert chosen.starts_at is not None
    begins = chosen.starts_at.astimezone(ZoneInfo(cast.tenant.time_zone))
    assert (chosen.is_in_force, tier_of(cast.tenant)) == (False, before)
    assert (begins.day, begins.hour, begins > timezone.now()) == (1, 0, True)
    start_chosen_tiers()
    assert tier_of(cast.tenant) == before
    TierChoice.objects.filter(tenant=cast.tenant).update(starts_at=timezone.now())
    start_chosen_tiers()
    assert tier_of(cast.tenant) == lower
    assert choice_open(cast.tenant) is None
    assert (told(cast.tenant, "contract.change_scheduled"), told(cast.tenant, "contract.changed")) == (1, 1)
    start_chosen_tiers()
    assert told(cast.tenant, "contract.changed") == 1


def test_a_month_begins_in_the_tenants_time_zone(cast: Cast) -> None:
    Tenant.objects.filter(pk=cast.tenant.pk).update(time_zone="Pacific/Auckland")
    cast.tenant.refresh_from_db()
    late = datetime(2026, 11, 30, 12, tzinfo=UTC)  # the first of December there
    assert next_month(cast.tenant, late) == datetime(2027, 1, 1, tzinfo=ZoneInfo("Pacific/Auckland"))


def test_what_was_chosen_is_replaced_withdrawn_or_forgotten(cast: Cast, card: RateCard) -> None:
    alice = as_member(cast.alice, cast.tenant)
    first, second = make_tier(card, 10), make_tier(card, 20)
    choose_tier(by=alice, tier=first)
    choose_tier(by=alice, tier=second)
    found = choice_open(cast.tenant)
    assert found is not None
    assert found.tier == second
    assert withdraw_choice(by=alice) is True
    assert withdraw_choice(by=alice) is False
    assert choice_open(cast.tenant) is None
    choose_tier(by=alice, tier=first)
    choose_tier(by=alice, tier=make_tier(card, LARGE, 200))
    assert choice_open(cast.tenant) is None
    assert AuditEvent.objects.filter(tenant=cast.tenant, action="contract.change_withdrawn").count() == 1


def test_a_tier_that_is_withdrawn_meanwhile_does_not_begin(cast: Cast, card: RateCard) -> None:
    before, lower = tier_of(cast.tenant), make_tier(card, 10)
    choose_tier(by=as_member(cast.alice, cast.tenant), tier=lower)
    Tier.objects.filter(pk=lower.pk).update(withdrawn_at=timezone.now())
    TierChoice.objects.filter(tenant=cast.tenant).update(starts_at=timezone.now())
    start_chosen_tiers()
    assert (tier_of(cast.tenant), told(cast.tenant, "contract.change_lapsed")) == (before, 1)
    assert choice_open(cast.tenant) is None


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"by_agreement": True}, "by agreement"),
        ({"withdrawn_at": timezone.now()}, "not offered any more"),
    ],
)
def test_what_takes_the_operators_word_is_not_taken(
    cast: Cast, card: RateCard, more: dict[str, Any], words: str
) -> None:
    before = tier_of(cast.tenant)
    with pytest.raises(Invalid, match=words):
        choose_tier(by=as_member(cast.alice, cast.tenant), tier=make_tier(card, LARGE, **more))
    assert tier_of(cast.tenant) == before


def test_a_prepaid_tier_is_ordered_with_its_credit_and_begins_when_that_is_paid(cast: Cast, card: RateCard) -> None:
    before, prepaid = tier_of(cast.tenant), make_tier(card, LARGE, 200, prepaid_nano_eur=50 * EUR)
    alice = as_member(cast.alice, cast.tenant)
    chosen = choose_tier(by=alice, tier=prepaid)
    assert (chosen.is_in_force, chosen.starts_at, tier_of(cast.tenant)) == (False, None, before)
    assert chosen.order is not None
    assert (chosen.order.amount_nano_eur, chosen.order.tier) == (50 * EUR, prepaid)
    choose_tier(by=alice, tier=prepaid)  # once more: the order before is cancelled
    [order] = CreditOrder.objects.filter(tenant=cast.tenant, state="open")
    with pytest.raises(Conflict, match="closed"):
        pay(cast.tenant, 50 * EUR, order=chosen.order)
    pay(cast.tenant, 50 * EUR, order=order)
    assert tier_of(cast.tenant) == prepaid
    account = account_of(cast.tenant)
    assert account is not None
    assert (account.is_in_use, account.free_nano_eur) == (True, 50 * EUR)
    assert told(cast.tenant, "contract.changed") == 1


def test_a_tier_that_was_ordered_does_not_end_what_was_agreed_since(cast: Cast, card: RateCard) -> None:
    before, prepaid = tier_of(cast.tenant), make_tier(card, LARGE, 200, prepaid_nano_eur=50 * EUR)
    order = choose_tier(by=as_member(cast.alice, cast.tenant), tier=prepaid).order
    put_agreement(by=RUNS, tenant=cast.tenant, wish=AgreementWish(reference="C-12"))
    with pytest.raises(Conflict, match="agreed since"):
        pay(cast.tenant, 50 * EUR, order=order)
    pay(cast.tenant, 50 * EUR)
    account = account_of(cast.tenant)
    assert account is not None
    assert (tier_of(cast.tenant), account.balance_nano_eur) == (before, 50 * EUR)


def test_a_lower_prepaid_tier_that_is_paid_begins_with_the_next_month(cast: Cast, card: RateCard) -> None:
    before, prepaid = tier_of(cast.tenant), make_tier(card, 10, 50, prepaid_nano_eur=50 * EUR)
    chosen = choose_tier(by=as_member(cast.alice, cast.tenant), tier=prepaid)
    assert chosen.order is not None
    pay(cast.tenant, 50 * EUR, order=chosen.order)
    found = choice_open(cast.tenant)
    assert found is not None
    assert (found.tier, tier_of(cast.tenant)) == (prepaid, before)


def test_credit_that_is_there_begins_a_prepaid_tier_at_once(cast: Cast, card: RateCard) -> None:
    first, second = (make_tier(card, LARGE, cap, prepaid_nano_eur=50 * EUR) for cap in (200, 300))
    alice = as_member(cast.alice, cast.tenant)
    order = choose_tier(by=alice, tier=first).order
    pay(cast.tenant, 50 * EUR, order=order)
    assert choose_tier(by=alice, tier=second).is_in_force
    assert tier_of(cast.tenant) == second


def test_agreed_prices_are_not_left_without_the_operators_word(cast: Cast, card: RateCard) -> None:
    own = add_rate_card(name=unique("own"), actor=TESTS)
    start_contract(tenant=cast.tenant, tier=tier_of(cast.tenant), rate_card=own, actor=TESTS)
    with pytest.raises(Invalid, match="agreed with the operator"):
        choose_tier(by=as_member(cast.alice, cast.tenant), tier=make_tier(card, LARGE))


def test_only_an_owner_of_an_active_organisation_chooses(cast: Cast, card: RateCard) -> None:
    large = make_tier(card, LARGE, 200)
    for role in (Role.ADMINISTRATOR, Role.FINANCE, Role.DEVELOPER):
        somebody = make_person(f"some-{role}", cast.tenant, role)
        with pytest.raises(Forbidden):
            choose_tier(by=as_member(somebody, cast.tenant), tier=large)
        with pytest.raises(Forbidden):
            withdraw_choice(by=as_member(somebody, cast.tenant))
    alice = as_member(cast.alice, cast.tenant)
    Tenant.objects.filter(pk=cast.tenant.pk).update(status=Tenant.Status.SUSPENDED)
    with pytest.raises(Conflict, match="suspended"):
        choose_tier(by=alice, tier=large)


def use(tenant: Tenant, model: LanguageModel, quantities: Quantities) -> None:
    """A sum of a day of last month."""
    first = timezone.now().astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    day = (first - timedelta(days=1)).replace(day=3)
    columns = [f"{meter}_quantity" for meter in METERS]
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as owner:
        owner.execute(
            "insert into billing_usage_day (day, tenant_id, project_id, model_id, mode, requests, failed_requests,"
            f" {', '.join(columns)}, cost_nano_eur, uncharged_nano_eur)"
            f" values (%s, %s, %s, %s, 'standard', 10, 0, {', '.join(['%s'] * len(columns))}, 1, 0)",
            [day, tenant.pk, default_project(tenant).pk, model.pk, *quantities],
        )


def offers_of(tenant: Tenant) -> dict[str, TierOffer]:
    return {offer.tier.code: offer for offer in compare_tiers(tenant).offers}


def test_last_month_is_shown_on_each_tier_at_its_prices(cast: Cast, card: RateCard, model: LanguageModel) -> None:
    dear = add_rate_card(name=unique("dear"), actor=TESTS)
    add_price_version(rate_card=dear, model=model, prices={"input": 2 * EUR, "output": 8 * EUR}, actor=TESTS)
    double, low = make_tier(dear, LARGE, 200), make_tier(card, LARGE, 9)
    use(cast.tenant, model, Quantities(input=2_000_000, output=2_000_000))
    offers, comparison = offers_of(cast.tenant), compare_tiers(cast.tenant)
    assert comparison.offers[0].is_current
    assert comparison.requests == 10
    current = offers[tier_of(cast.tenant).code]
    assert (current.bill_nano_eur, current.more_nano_eur, current.hindrance) == (10 * EUR, 0, Hindrance.SAME)
    assert (offers[double.code].bill_nano_eur, offers[double.code].more_nano_eur) == (20 * EUR, 10 * EUR)
    assert (offers[double.code].starts_at, offers[double.code].is_over_cap) == (None, False)
    assert offers[low.code].is_over_cap
    assert offers[low.code].starts_at is not None


def test_a_model_that_a_tier_lacks_is_named_and_not_in_its_bill(
    cast: Cast, card: RateCard, model: LanguageModel
) -> None:
    hidden = make_model(visibility="chosen", visible_tiers=[tier_of(cast.tenant).pk], published_at=timezone.now())
    add_price_version(rate_card=card, model=hidden, prices=PRICES, actor=TESTS)
    empty = add_rate_card(name=unique("empty"), actor=TESTS)
    without_model, without_price = make_tier(card, LARGE), make_tier(empty, LARGE)
    for one in (model, hidden):
        use(cast.tenant, one, Quantities(input=1_000_000))
    offers = offers_of(cast.tenant)
    assert (offers[without_model.code].bill_nano_eur, offers[without_model.code].missing) == (EUR, [hidden.name])
    assert offers[without_price.code].bill_nano_eur == 0
    assert set(offers[without_price.code].missing) == {model.name, hidden.name}
    assert offers[tier_of(cast.tenant).code].missing == []
