"""The operator's pages of price lists."""

import pytest
from django.test import Client

from billing.models import RateCard
from billing.price_book import add_price_version, add_rate_card
from console.shell import operator_navigation
from identity.models import OperatorRole
from identity.permissions import permissions_of_operator
from models_catalog.models import LanguageModel
from tests.support.console import page, signed_in
from tests.support.ledger import make_model, unique
from tests.support.people import TESTS, make_operator

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def bill(database: None) -> Client:
    """The billing operator's browser."""
    return signed_in(make_operator(OperatorRole.BILLING))


@pytest.fixture
def model(database: None) -> LanguageModel:
    return make_model()


@pytest.fixture
def card(model: LanguageModel) -> RateCard:
    card = add_rate_card(name=unique("card"), actor=TESTS)
    add_price_version(rate_card=card, model=model, prices={"input": 900_000_000, "output": 166_666_667}, actor=TESTS)
    return card


def test_a_list_is_copied_and_shows_each_price_exactly(bill: Client, card: RateCard, model: LanguageModel) -> None:
    name = unique("list")
    form = page(bill.get("/operator/new-price-list", {"copy": card.pk}))
    assert "Begin with the prices of" in form
    answer = bill.post("/operator/new-price-list", {"name": name, "copy_of": "", "factor": ""})
    empty = RateCard.objects.get(name=name)
    assert answer["Location"] == f"/operator/price-lists/{empty.pk}"
    assert "No price on this list yet" in page(bill.get(answer["Location"]))
    shown = page(bill.get(f"/operator/price-lists/{card.pk}"))
    assert model.name in shown
    assert "€0.90" in shown
    assert "€0.166666667" in shown
    assert "as input" not in shown
    found = page(bill.get("/operator/price-lists", {"q": name}))
    assert name in found
    assert card.name not in found


def test_what_makes_no_sense_is_said_at_the_field(bill: Client, card: RateCard) -> None:
    assert "Write a number" in page(bill.post("/operator/new-price-list", {"name": unique("l"), "factor": "half"}))
    assert "There is such" in page(bill.post("/operator/new-price-list", {"name": card.name}))


def test_prices_and_tiers_are_one_line_of_the_navigation(card: RateCard) -> None:
    permissions = permissions_of_operator(frozenset({OperatorRole.BILLING}))
    for address in ("tiers", "new-tier", "price-lists", f"price-lists/{card.pk}", "new-price-list"):
        links = [link for group in operator_navigation(permissions, f"/operator/{address}") for link in group]
        assert [link.address for link in links if link.is_here] == ["/operator/tiers"]


def test_who_only_supports_reads_lists_and_makes_none(card: RateCard) -> None:
    dan = signed_in(make_operator(OperatorRole.SUPPORT))
    assert "New price list" not in page(dan.get("/operator/price-lists"))
    assert dan.post("/operator/new-price-list", {"name": unique("l")}).status_code == 403
