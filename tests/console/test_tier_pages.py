"""An organisation's pages of tiers."""

import pytest

from billing.contracts.contracts import start_contract
from billing.prices.price_book import add_rate_card
from tests.billing.test_tier_choice import LARGE, SMALL, make_tier, tier_of
from tests.support.console import page, signed_in
from tests.support.ledger import unique
from tests.support.people import TESTS, Cast, make_cast

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def cast() -> Cast:
    cast = make_cast()
    card = add_rate_card(name=unique("card"), actor=TESTS)
    start_contract(tenant=cast.tenant, tier=make_tier(card, SMALL, 100), actor=TESTS)
    return cast


def test_an_owner_compares_chooses_and_withdraws(cast: Cast) -> None:
    alice, here = signed_in(cast.alice), f"/t/{cast.tenant.slug}/billing"
    current = tier_of(cast.tenant)
    assert current.rate_card is not None
    lower, higher = make_tier(current.rate_card, 10, 50), make_tier(current.rate_card, LARGE, 200)
    shown = page(alice.get(f"{here}/tiers"))
    assert lower.name in shown
    assert "yours" in shown
    assert "Choose it for the next month" in page(alice.get(f"{here}/tiers/{lower.code}"))
    assert alice.post(f"{here}/tiers/{lower.code}")["Location"] == here
    assert lower.name in page(alice.get(here))
    assert "Stay on the tier of now" in page(alice.get(f"{here}/tiers"))
    assert alice.post(f"{here}/next-tier/withdraw").status_code == 302
    assert "Stay on the tier of now" not in page(alice.get(f"{here}/tiers"))
    assert "Choose it now" in page(alice.get(f"{here}/tiers/{higher.code}"))
    assert alice.post(f"{here}/tiers/{higher.code}").status_code == 302
    assert tier_of(cast.tenant) == higher


@pytest.mark.parametrize(
    ("size", "cap", "begins"),
    [(10, 50, "begins with the next month after"), (LARGE, 200, "begins when")],
)
def test_a_prepaid_tier_says_when_it_begins_once_it_is_paid(cast: Cast, size: int, cap: int, begins: str) -> None:
    alice, here = signed_in(cast.alice), f"/t/{cast.tenant.slug}/billing/tiers"
    card = tier_of(cast.tenant).rate_card
    assert card is not None
    tier = make_tier(card, size, cap, prepaid_nano_eur=200 * 10**9)
    assert f"{begins} your operator has recorded the payment" in page(alice.get(f"{here}/{tier.code}"))
    shown = page(alice.post(f"{here}/{tier.code}", follow=True))
    assert f"{tier.name} {begins} the payment of its credit is recorded." in shown


def test_what_takes_the_operators_word_is_said_and_has_no_button(cast: Cast) -> None:
    alice, here = signed_in(cast.alice), f"/t/{cast.tenant.slug}/billing/tiers"
    card = tier_of(cast.tenant).rate_card
    assert card is not None
    agreed = make_tier(card, LARGE, by_agreement=True)
    assert "It is by agreement: ask the operator." in page(alice.get(here))
    shown = page(alice.get(f"{here}/{agreed.code}"))
    assert "by agreement" in shown
    assert "Choose it now" not in shown
    assert "by agreement" in page(alice.post(f"{here}/{agreed.code}"))
    assert alice.get(f"{here}/none").status_code == 404
