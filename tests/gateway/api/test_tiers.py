"""Tiers through the API: side by side, and one of them taken."""

import pytest

from billing.contracts.contracts import start_contract
from billing.prices.price_book import add_rate_card
from identity.scopes import Scope
from tests.billing.test_tier_choice import LARGE, SMALL, make_tier, tier_of
from tests.gateway.api.conftest import Api, problem_of
from tests.support.ledger import House, make_house, unique
from tests.support.people import TESTS

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def house() -> House:
    house = make_house()
    card = add_rate_card(name=unique("card"), actor=TESTS)
    start_contract(tenant=house.tenant, tier=make_tier(card, SMALL, 100), actor=TESTS)
    return house


def test_tiers_are_compared_and_one_is_taken(api: Api, house: House) -> None:
    key, current = house.key(Scope.TIER_CHOOSE), tier_of(house.tenant)
    assert current.rate_card is not None
    lower, higher = make_tier(current.rate_card, 10, 50), make_tier(current.rate_card, LARGE, 200)
    told = api.get("/api/tiers", key).json()
    assert told["tiers"][0]["tier"] == current.code
    offers = {offer["tier"]: offer for offer in told["tiers"]}
    assert (offers[higher.code]["starts_at"], offers[higher.code]["hindrance"]) == (None, None)
    chosen = api.ask("PUT", "/api/contract/tier", key, {"tier": lower.code})
    assert (chosen.status_code, chosen.json()["is_in_force"]) == (200, False)
    contract = api.get("/api/contract", key).json()
    assert (contract["tier"], contract["next_tier"]) == (current.code, lower.code)
    assert api.ask("DELETE", "/api/contract/tier", key).status_code == 204
    assert api.ask("DELETE", "/api/contract/tier", key).status_code == 404
    assert api.ask("PUT", "/api/contract/tier", key, {"tier": higher.code}).json()["is_in_force"] is True
    assert tier_of(house.tenant) == higher
    assert api.get("/api/contract", key).json()["next_tier"] is None
    for code in ("none", higher.code):
        assert api.ask("PUT", "/api/contract/tier", key, {"tier": code}).status_code == 400


def test_it_takes_the_scope(api: Api, house: House) -> None:
    reader = house.key(Scope.BILLING_READ)
    assert api.get("/api/tiers", reader).status_code == 200
    for method, body in (("PUT", {"tier": "a"}), ("DELETE", None)):
        assert problem_of(api.ask(method, "/api/contract/tier", reader, body))["code"] == "scope_missing"
    assert problem_of(api.get("/api/tiers", house.key()))["code"] == "scope_missing"
