"""Price lists as operators keep them: made empty or as a copy, and who pays by them."""

from datetime import timedelta

import pytest
from django.utils import timezone

from billing.contracts.contracts import start_contract
from billing.contracts.tier_changes import TierWish, put_tier
from billing.models import RateCard
from billing.money import NotAnAmount
from billing.prices.listed import meters_of, prices_of_model, prices_on_list
from billing.prices.price_book import add_price_version, add_rate_card, price_in_force, prices_of
from billing.prices.price_lists import make_price_list, parse_factor, price_list, price_lists
from identity.errors import Conflict, Forbidden, Invalid, NotFound
from identity.models import AuditEvent, OperatorRole
from identity.operators import operator_for_person
from models_catalog.models import LanguageModel
from tests.support.ledger import make_model, unique
from tests.support.operators import RUNS
from tests.support.people import TESTS, make_operator, make_tenant

pytestmark = pytest.mark.usefixtures("database")
PRICES = {"input": 900_000_000, "output": 4_000_000_000, "reasoning": 21_000_000_000}


@pytest.fixture
def model(database: None) -> LanguageModel:
    return make_model()


@pytest.fixture
def card(model: LanguageModel) -> RateCard:
    card = add_rate_card(name=unique("card"), actor=TESTS)
    add_price_version(rate_card=card, model=model, prices=PRICES, actor=TESTS)
    return card


def prices_now(card: RateCard, model: LanguageModel, mode: str = "standard") -> dict[str, int]:
    version = price_in_force(rate_card=card, model=model, mode=mode)
    assert version is not None
    return dict(prices_of(version).nano_eur_per_million)


def test_a_copy_has_the_prices_in_force_times_the_factor_in_every_mode(card: RateCard, model: LanguageModel) -> None:
    add_price_version(rate_card=card, model=model, prices={"input": 3, "output": 5}, mode="batch", actor=TESTS)
    tomorrow = timezone.now() + timedelta(days=1)
    add_price_version(rate_card=card, model=model, prices={"input": 1}, valid_from=tomorrow, actor=TESTS)
    copied = make_price_list(by=RUNS, name=unique("half"), copy_of=card, factor_millionths=500_000)
    assert prices_now(copied, model) == {"input": 450_000_000, "output": 2_000_000_000, "reasoning": 10_500_000_000}
    assert prices_now(copied, model, "batch") == {"input": 2, "output": 2}  # half to even
    assert price_in_force(rate_card=copied, model=model, at=tomorrow) == price_in_force(rate_card=copied, model=model)
    assert prices_now(card, model) == PRICES
    added = AuditEvent.objects.filter(action="price_version.added", detail__rate_card=copied.name)
    assert added.count() == 2


def test_an_empty_list_has_no_price_and_nobody_pays_by_it() -> None:
    made = price_list(make_price_list(by=RUNS, name=unique("empty")).pk)
    assert (made.models, made.organisations, list(made.tiers), made.next_change) == (0, 0, [], None)
    assert prices_on_list(made.card) == []


def test_a_list_says_which_tiers_and_how_many_organisations_pay_by_it(card: RateCard, model: LanguageModel) -> None:
    tier, _, _ = put_tier(by=RUNS, code=unique("t")[:32], wish=TierWish(name="Team", rate_card=card.name))
    start_contract(tenant=make_tenant(), tier=tier, actor=TESTS)
    moved = make_tenant()
    start_contract(tenant=moved, tier=tier, actor=TESTS)
    start_contract(tenant=moved, tier=tier, rate_card=add_rate_card(name=unique("own"), actor=TESTS), actor=TESTS)
    tomorrow = timezone.now() + timedelta(days=1)
    add_price_version(rate_card=card, model=model, prices={"input": 1}, valid_from=tomorrow, actor=TESTS)
    [found] = price_lists(card.name, most=5)
    assert found == price_list(card.pk)
    assert (found.models, found.organisations, list(found.tiers), found.next_change) == (1, 1, [tier], tomorrow)


def test_what_stands_on_a_list_is_told_by_mode_and_time(card: RateCard, model: LanguageModel) -> None:
    tomorrow = timezone.now() + timedelta(days=1)
    add_price_version(rate_card=card, model=model, prices={"input": 7}, actor=TESTS)
    add_price_version(rate_card=card, model=model, prices={"images": 1}, valid_from=tomorrow, actor=TESTS)
    add_price_version(rate_card=card, model=model, prices={"input": 2}, mode="batch", actor=TESTS)
    standard, batch = prices_on_list(card)
    assert (standard.mode, batch.mode) == ("standard", "batch")
    assert standard.in_force is not None
    assert standard.in_force.prices == {"input": 7}
    assert [version.prices for version in standard.coming] == [{"images": 1}]
    assert standard.earlier == []
    assert meters_of([standard]) == ["input", "images"]
    history = prices_of_model(card, model)[0]
    assert [version.prices for version in history.earlier] == [PRICES]


def test_who_may_not_change_prices_makes_no_list(card: RateCard) -> None:
    with pytest.raises(Forbidden):
        make_price_list(by=operator_for_person(make_operator(OperatorRole.SUPPORT)), name=unique("list"))
    with pytest.raises(Conflict):
        make_price_list(by=RUNS, name=card.name)
    for factor in (0, -1, 100_000_001, 0.5):
        with pytest.raises(Invalid):
            make_price_list(by=RUNS, name=unique("list"), factor_millionths=factor)  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        price_list(0)


def test_a_factor_is_read_as_people_type_it() -> None:
    assert (parse_factor("0.9"), parse_factor("1,25"), parse_factor("2")) == (900_000, 1_250_000, 2_000_000)
    for text in ("0.0000001", "half", ""):
        with pytest.raises(NotAnAmount):
            parse_factor(text)
