"""Prices that operators change: from now, from a day to come, taken back before it, all of a table or nothing."""

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.utils import timezone

from billing.contracts.agreements import AgreementWish, put_agreement
from billing.invoices.settings import change_billing_settings
from billing.models import Contract, PriceVersion, RateCard, WithdrawnPrice
from billing.prices.changes import (
    Outcome,
    PriceWish,
    ShortNotice,
    changes_of,
    plan_prices,
    put_prices,
    short_notice,
    withdraw_price,
)
from billing.prices.price_book import add_rate_card, price_in_force, prices_of
from billing.prices.price_lists import make_price_list
from identity.errors import Conflict, Forbidden, Invalid, NotFound
from identity.models import AuditEvent, AuditName, Notice, OperatorRole, Tenant
from identity.operators import operator_for_person
from tests.support.ledger import (
    PRICES,
    House,
    LedgerGateway,
    ledger_gateway,
    make_house,
    make_model,
    make_price,
    unique,
)
from tests.support.operators import RUNS
from tests.support.people import TESTS, make_operator

pytestmark = pytest.mark.usefixtures("database")
DEAR = {"input": 300_000_000, "output": 1_200_000_000}


@pytest.fixture
def house() -> House:
    return make_house()


@pytest.fixture
def gateway(database: None, gateway_database_url: str) -> Iterator[LedgerGateway]:
    with ledger_gateway(gateway_database_url) as gateway:
        yield gateway


def card_of(house: House) -> RateCard:
    return house.price_version.rate_card


def in_days(days: int) -> datetime:
    return timezone.now() + timedelta(days=days)


def put(house: House, *wishes: PriceWish) -> list[Outcome]:
    return [plan.outcome for plan in put_prices(by=RUNS, rate_card=card_of(house), wishes=wishes)]


def prices_at(house: House, at: datetime | None = None) -> dict[str, int]:
    version = price_in_force(rate_card=card_of(house), model=house.model, at=at)
    assert version is not None
    return dict(prices_of(version).nano_eur_per_million)


def told(tenant: Tenant, kind: str) -> list[Any]:
    return list(Notice.objects.filter(tenant=tenant, kind=kind).values_list("context", flat=True))


def scheduled(house: House, days: int = 40) -> PriceVersion:
    starts = in_days(days)
    assert put(house, PriceWish(house.model.name, DEAR, valid_from=starts)) == [Outcome.ADDED]
    return PriceVersion.objects.get(rate_card=card_of(house), valid_from=starts)


def test_a_scheduled_price_counts_from_its_day_and_is_told_once(house: House) -> None:
    wish = PriceWish(house.model.name, DEAR, valid_from=in_days(40))
    assert put(house, wish) == [Outcome.ADDED]
    assert prices_at(house) == PRICES
    assert prices_at(house, in_days(41)) == DEAR
    assert put(house, wish) == [Outcome.SAME]
    assert put(house, replace(wish, valid_from=in_days(41))) == [Outcome.SAME]
    assert len(told(house.tenant, "price.changed")) == 1
    assert short_notice(card_of(house), plan_prices(by=RUNS, rate_card=card_of(house), wishes=[wish])) is None


def test_the_ledger_bills_by_the_old_price_until_the_new_one_begins(house: House, gateway: LedgerGateway) -> None:
    key = house.key().row
    starts = timezone.now() + timedelta(seconds=2)
    wish = PriceWish(house.model.name, DEAR, valid_from=starts)
    put_prices(by=RUNS, rate_card=card_of(house), wishes=[wish], reason="dearer at once")
    assert gateway.admit(house, key).verdict == "admitted"
    time.sleep(max((starts - timezone.now()).total_seconds(), 0) + 0.1)
    assert gateway.admit(house, key).verdict == "stale"
    version = price_in_force(rate_card=card_of(house), model=house.model)
    assert version is not None
    assert gateway.admit(replace(house, price_version=version, prices=prices_of(version)), key).verdict == ("admitted")


def test_a_withdrawn_price_leaves_the_book_stays_listed_and_is_told(house: House) -> None:
    version = scheduled(house)
    withdraw_price(by=RUNS, rate_card=card_of(house), version_id=version.pk)
    assert prices_at(house, in_days(60)) == PRICES
    [kept] = WithdrawnPrice.objects.filter(rate_card_id=card_of(house).pk)
    assert (kept.version_id, kept.model_id, kept.prices) == (version.pk, house.model.pk, DEAR)
    assert [one["model"] for one in told(house.tenant, "price.withdrawn")] == [house.model.name]
    assert AuditEvent.objects.filter(action="price_version.withdrawn", target=str(version.pk)).count() == 1
    assert put(house, PriceWish(house.model.name, DEAR, valid_from=version.valid_from)) == [Outcome.ADDED]
    with pytest.raises(NotFound):
        withdraw_price(by=RUNS, rate_card=card_of(house), version_id=version.pk)


def test_gateways_hear_that_a_price_is_withdrawn(house: House, gateway_database_url: str) -> None:
    version = scheduled(house)
    with psycopg.connect(gateway_database_url, autocommit=True) as gateway:
        gateway.execute("listen beffroi_policy")
        withdraw_price(by=RUNS, rate_card=card_of(house), version_id=version.pk)
        assert "catalog" in [heard.payload for heard in gateway.notifies(timeout=5, stop_after=1)]


def test_I4_a_price_that_begins_within_a_minute_is_never_withdrawn(house: House) -> None:
    soon = make_price(card_of(house), house.model, DEAR, starts=timedelta(seconds=50))
    for version in (house.price_version, soon):
        with pytest.raises(Conflict, match="have begun"):
            withdraw_price(by=RUNS, rate_card=card_of(house), version_id=version.pk)
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
        assert owner.execute("select withdraw_price_v1(%s)", [soon.pk]).fetchone() == (False,)
        for table, column in (("billing_meterprice", "version_id"), ("billing_priceversion", "id")):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                owner.execute(f"delete from {table} where {column} = {soon.pk}")
    assert not WithdrawnPrice.objects.filter(rate_card_id=card_of(house).pk).exists()


def test_a_price_of_another_list_is_not_withdrawn(house: House) -> None:
    version = scheduled(house)
    with pytest.raises(NotFound):
        withdraw_price(by=RUNS, rate_card=card_of(make_house()), version_id=version.pk)


def test_one_wrong_line_keeps_all_from_being_written(house: House) -> None:
    name = house.model.name
    outcomes = put(
        house,
        PriceWish(name, DEAR, valid_from=in_days(40)),
        PriceWish(name, DEAR, valid_from=in_days(-3)),
        PriceWish("nobody", DEAR),
        PriceWish(name, {"input": -1}),
        PriceWish(name, DEAR, mode="turbo"),
        PriceWish(name, {"input": 1}, valid_from=in_days(4000)),
        PriceWish(name, PRICES),
    )
    assert outcomes == [Outcome.ADDED, *[Outcome.REFUSED] * 5, Outcome.SAME]
    assert PriceVersion.objects.filter(rate_card=card_of(house)).count() == 1
    assert told(house.tenant, "price.changed") == []


def test_only_a_list_that_no_contract_ever_had_is_given_a_past(house: House) -> None:
    model = make_model()
    card = add_rate_card(name=unique("card"), actor=TESTS)
    wishes = [PriceWish(model.name, {"input": day}, valid_from=in_days(-day)) for day in (30, 20, 10)]
    assert [plan.outcome for plan in put_prices(by=RUNS, rate_card=card, wishes=wishes)] == [Outcome.ADDED] * 3
    assert price_in_force(rate_card=card, model=model, at=in_days(-15)) is not None
    Contract.objects.filter(tenant=house.tenant).update(ends_at=timezone.now())
    Contract.objects.create(
        tenant=house.tenant, tier=house.tenant.contracts.get().tier, rate_card=card, starts_at=timezone.now()
    )
    late = PriceWish(model.name, {"input": 5}, valid_from=in_days(-5))
    [plan] = put_prices(by=RUNS, rate_card=card, wishes=[late])
    assert (plan.outcome, str(plan.error)[:6]) == (Outcome.REFUSED, "Prices")


def test_a_rise_within_a_month_is_short_notice_and_a_fall_is_none(house: House) -> None:
    def notice(prices: dict[str, int], days: int) -> int | None:
        wish = PriceWish(house.model.name, prices, valid_from=in_days(days) + timedelta(hours=1))
        short = short_notice(card_of(house), plan_prices(by=RUNS, rate_card=card_of(house), wishes=[wish]))
        return short.days if short else None

    assert notice(DEAR, 10) == 10
    assert notice(DEAR, 30) is None
    assert notice({"input": 1, "cached": 1, "output": 1}, 10) is None


def test_a_cached_price_that_falls_away_is_a_rise_where_input_is_dearer(house: House) -> None:
    cached = {meter: price for meter, price in PRICES.items() if meter != "cached"} | {"cached": 1}
    assert put(house, PriceWish(house.model.name, cached)) == [Outcome.ADDED]
    without = {meter: price for meter, price in PRICES.items() if meter != "cached"}
    with pytest.raises(Invalid):
        put(house, PriceWish(house.model.name, without))


def test_a_rise_at_short_notice_needs_a_reason_that_is_kept_and_audited(house: House) -> None:
    starts = in_days(10)
    wish = PriceWish(house.model.name, DEAR, valid_from=starts)
    with pytest.raises(Invalid) as refused:
        put(house, wish)
    assert refused.value.field == "reason"
    assert PriceVersion.objects.filter(rate_card=card_of(house)).count() == 1
    put_prices(by=RUNS, rate_card=card_of(house), wishes=[wish], reason=" the grid \n costs more ")
    version = PriceVersion.objects.get(rate_card=card_of(house), valid_from=starts)
    assert version.reason == "the grid costs more"
    assert said_in_the_audit("price_version.added", version) == "the grid costs more"
    withdraw_price(by=RUNS, rate_card=card_of(house), version_id=version.pk)
    assert said_in_the_audit("price_version.withdrawn", version) == "the grid costs more"


def said_in_the_audit(action: str, version: PriceVersion) -> str:
    link = AuditEvent.objects.get(action=action, target=str(version.pk))
    return str(AuditName.objects.get(event=link, part="detail").content["reason"])


def test_to_count_started_minutes_instead_of_exact_time_is_a_rise_and_back_is_none(house: House) -> None:
    model = make_model(kind="transcription")
    exact = PriceWish(model.name, {"audio_ms": 200})
    by_minute = replace(exact, audio_by_started_minute=True)
    assert put(house, exact) == [Outcome.ADDED]
    [plan] = plan_prices(by=RUNS, rate_card=card_of(house), wishes=[by_minute])
    assert (plan.outcome, plan.rises, plan.rounds_otherwise) == (Outcome.ADDED, True, True)
    put_prices(by=RUNS, rate_card=card_of(house), wishes=[by_minute], reason="as agreed")
    assert put(house, by_minute) == [Outcome.SAME]
    [plan] = plan_prices(by=RUNS, rate_card=card_of(house), wishes=[exact])
    assert (plan.rises, plan.rounds_otherwise) == (False, True)
    copy = make_price_list(by=RUNS, name=unique("copy"), copy_of=card_of(house))
    version = price_in_force(rate_card=copy, model=model)
    assert version is not None
    assert version.audio_by_started_minute


def test_how_long_a_notice_is_the_operator_says(house: House) -> None:
    def rises_within(days: int) -> ShortNotice | None:
        plans = plan_prices(by=RUNS, rate_card=card_of(house), wishes=[PriceWish(house.model.name, DEAR)])
        change_billing_settings(by=RUNS, rise_notice_days=days)
        return short_notice(card_of(house), plans)

    try:
        assert rises_within(90) == ShortNotice(0, 90)
        assert rises_within(0) is None
        assert put(house, PriceWish(house.model.name, DEAR)) == [Outcome.ADDED]
        for days in (-1, 367):
            with pytest.raises(Invalid):
                change_billing_settings(by=RUNS, rise_notice_days=days)
    finally:
        change_billing_settings(by=RUNS, rise_notice_days=30)


def test_on_a_list_that_nobody_agreed_on_prices_rise_without_a_word(house: House) -> None:
    card = add_rate_card(name=unique("card"), actor=TESTS)
    make_price(card, house.model, PRICES)
    wishes = [PriceWish(house.model.name, DEAR, valid_from=in_days(3))]
    assert short_notice(card, plan_prices(by=RUNS, rate_card=card, wishes=wishes)) is None
    last_day = timezone.localdate() + timedelta(days=90)
    wish = AgreementWish(first_day=timezone.localdate() + timedelta(days=2), last_day=last_day, rate_card=card.name)
    put_agreement(by=RUNS, tenant=house.tenant, wish=wish)
    assert short_notice(card, plan_prices(by=RUNS, rate_card=card, wishes=wishes)) is not None


def test_what_requests_report_besides_is_free(house: House) -> None:
    ranker = make_model(kind="rerank")
    assert put(house, PriceWish(ranker.name, {"documents": 4 * 10**9})) == [Outcome.ADDED]
    version = price_in_force(rate_card=card_of(house), model=ranker)
    assert version is not None
    assert prices_of(version).nano_eur_per_million == {"input": 0, "output": 0, "documents": 4 * 10**9}


def test_who_may_not_change_prices_changes_none(house: House) -> None:
    dan, version = operator_for_person(make_operator(OperatorRole.SUPPORT)), scheduled(house)
    for verb in (plan_prices, put_prices):
        with pytest.raises(Forbidden):
            verb(by=dan, rate_card=card_of(house), wishes=[])
    with pytest.raises(Forbidden):
        withdraw_price(by=dan, rate_card=card_of(house), version_id=version.pk)
    with pytest.raises(Invalid):
        plan_prices(by=RUNS, rate_card=card_of(house), wishes=[PriceWish("a", {})] * 1_001)


def test_a_preview_counts_a_model_once_by_its_last_price(house: House) -> None:
    name = house.model.name
    wishes = [PriceWish(name, {"input": 5}, valid_from=in_days(40)), PriceWish(name, DEAR, valid_from=in_days(20))]
    [change] = changes_of(plan_prices(by=RUNS, rate_card=card_of(house), wishes=wishes))
    assert (change.old, change.new) == (PRICES, {"input": 5})
