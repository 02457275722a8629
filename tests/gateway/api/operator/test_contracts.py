"""Agreements, discounts and fixed lines through the operator's API, and as the organisation reads them in its own."""

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from billing.contracts.contracts import start_contract
from billing.models import Tier
from billing.prices.price_book import load_prices
from identity.models import Tenant
from identity.scopes import OperatorScope, Scope
from tests.gateway.api.conftest import Api, problem_of
from tests.support.ledger import House, make_house, make_model, unique
from tests.support.operators import HeldOperatorKey, held_operator_key
from tests.support.people import TESTS

pytestmark = pytest.mark.usefixtures("database")
EUR = 10**9
LIMIT = {"what": "requests", "window": "minute", "amount": 60}


@pytest.fixture
def script(database: None) -> HeldOperatorKey:
    load_prices(actor=TESTS)
    return held_operator_key(OperatorScope.TIERS_WRITE, OperatorScope.TENANTS_WRITE)


@pytest.fixture
def house() -> House:
    """With an external id, on a tier with a limit and a cap."""
    house = make_house()
    Tenant.objects.filter(pk=house.tenant.pk).update(external_id=unique("team"))
    house.tenant.refresh_from_db()
    code = unique("t")[:32]
    tier = Tier.objects.create(code=code, name=code, limits=[LIMIT], monthly_cap_nano_eur=100 * EUR)
    start_contract(tenant=house.tenant, tier=tier, rate_card=house.price_version.rate_card, actor=TESTS)
    return house


def address(house: House, rest: str = "") -> str:
    return f"/api/operator/tenants/{house.tenant.external_id}/contract{rest}"


def day(house: House, later: int) -> str:
    today = timezone.localdate(timezone=ZoneInfo(house.tenant.time_zone))
    return (today + timedelta(days=later)).isoformat()


def month(house: House) -> str:
    return day(house, 0)[:7]


def test_an_agreement_is_made_read_changed_and_ended(api: Api, script: HeldOperatorKey, house: House) -> None:
    agreed = {"reference": "C-1", "limits": [LIMIT | {"amount": 600}], "last_day": day(house, 90)}
    made = api.ask("PUT", address(house, "/agreement"), script, agreed)
    assert made.status_code == 200, made.json()
    shown = made.json()
    assert shown["limits"] == [LIMIT | {"amount": 600, "limit_source": "agreement"}]
    assert (shown["monthly_cap_nano_eur"], shown["cap_source"], shown["price_source"]) == (
        100 * EUR,
        "tier",
        "agreement",
    )
    assert [(one["reference"], one["last_day"]) for one in shown["agreements"]] == [("C-1", day(house, 90))]
    assert api.ask("PUT", address(house, "/agreement"), script, agreed).json() == shown
    planned = {"reference": "C-2", "first_day": day(house, 91), "is_cap_agreed": True}
    both = api.ask("PUT", address(house, "/agreement"), script, planned).json()
    assert [one["is_planned"] for one in both["agreements"]] == [False, True]
    assert both["starts_at"] == shown["starts_at"]
    for one in both["agreements"]:
        path = address(house, f"/agreements/{one['id']}")
        assert api.ask("DELETE", path, script).status_code == 204
        assert api.ask("DELETE", path, script).status_code == 404
    assert api.get(address(house), script).json()["limits"] == [LIMIT | {"limit_source": "tier"}]


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({}, "agreement"),
        ({"refrence": "x"}, "refrence"),
        ({"first_day": "2026-01-01", "reference": "x"}, "first_day"),
        ({"rate_card": "none such"}, "rate_card"),
        ({"limits": [LIMIT | {"amount": -1}]}, "limits"),
        ({"availability_millionths": 0}, "availability_millionths"),
    ],
)
def test_an_agreement_that_makes_no_sense_says_where(
    api: Api, script: HeldOperatorKey, house: House, members: dict[str, Any], field: str
) -> None:
    response = api.ask("PUT", address(house, "/agreement"), script, members)
    assert response.status_code == 400
    assert problem_of(response)["errors"][0]["field"].startswith(field)


def test_terms_are_added_ended_and_shown_to_the_organisation(api: Api, script: HeldOperatorKey, house: House) -> None:
    wish = {"kind": "percent", "first_month": month(house), "share_millionths": 100_000}
    added = api.ask("POST", address(house, "/terms"), script, wish)
    assert (added.status_code, added.json()["last_month"]) == (201, None)
    assert api.ask("POST", address(house, "/terms"), script, wish).status_code == 200
    fee = {"kind": "fee", "first_month": month(house), "description": "Support", "amount_nano_eur": 7 * EUR}
    assert api.ask("POST", address(house, "/terms"), script, fee).status_code == 201
    reader = house.key(Scope.BILLING_READ)
    mine = api.get("/api/contract", reader).json()
    assert [(one["kind"], one["amount_nano_eur"]) for one in mine["terms"]] == [("percent", None), ("fee", 7 * EUR)]
    bill = api.get("/api/statement", reader).json()
    assert [line["amount_nano_eur"] for line in bill["term_lines"]] == [7 * EUR]
    assert bill["total_with_terms_nano_eur"] == bill["total_nano_eur"] + 7 * EUR
    path = address(house, f"/terms/{added.json()['id']}/end")
    ended = api.ask("POST", path, script, {"last_month": month(house)})
    assert (ended.status_code, ended.json()["terms"][0]["last_month"]) == (200, month(house))


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"share_millionths": 1_000_001}, "share_millionths"),
        ({"first_month": "2026-01"}, "first_month"),
        ({"first_month": "January"}, "first_month"),
        ({"kind": "commitment", "amount_nano_eur": 1}, "last_month"),
        ({"kind": "steps", "steps": []}, "steps"),
        ({"kind": "gift"}, "kind"),
    ],
)
def test_a_term_that_makes_no_sense_says_where(
    api: Api, script: HeldOperatorKey, house: House, members: dict[str, Any], field: str
) -> None:
    wish = {"kind": "percent", "first_month": month(house), "share_millionths": 1} | members
    response = api.ask("POST", address(house, "/terms"), script, wish)
    assert (response.status_code, problem_of(response)["errors"][0]["field"]) == (400, field)


def test_a_key_without_the_scope_agrees_on_nothing(api: Api, house: House) -> None:
    reader = held_operator_key(OperatorScope.TIERS_READ)
    assert api.get(address(house), reader).status_code == 200
    assert api.ask("PUT", address(house, "/agreement"), reader, {"reference": "x"}).status_code == 403
    assert api.ask("POST", address(house, "/terms"), reader, {}).status_code == 403


def test_models_are_agreed_on_for_a_time(api: Api, script: HeldOperatorKey, house: House) -> None:
    model = make_model(visibility="chosen", visible_tenants=[make_house().tenant.pk], published_at=timezone.now())
    agreed = {"models": [model.name], "last_day": day(house, 90)}
    [shown] = api.ask("PUT", address(house, "/agreement"), script, agreed).json()["agreements"]
    assert shown["models"] == [model.name]
    seen = api.get(f"/api/operator/tenants/{house.tenant.external_id}/models", script).json()["results"]
    assert ["agreement"] in [one["reasons"] for one in seen if one["id"] == model.name]
    assert api.ask("PUT", address(house, "/agreement"), script, {"models": ["none such"]}).status_code == 400


def test_own_prices_are_agreed_in_one_call(api: Api, house: House) -> None:
    script = held_operator_key(OperatorScope.TIERS_WRITE, OperatorScope.PRICES_WRITE)
    body = {"prices": [{"model": house.model.name, "nano_eur_per_million": {"input": 5, "output": 6}}]}
    shown = api.ask("PUT", address(house, "/own-prices"), script, body)
    assert (shown.status_code, shown.json()["price_source"]) == (200, "agreement")
    assert shown.json()["prices_left_behind"] is not None
    assert api.ask("PUT", address(house, "/own-prices"), script, body).json()["rate_card"] == shown.json()["rate_card"]
    body["prices"][0]["model"] = "none such"
    assert api.ask("PUT", address(house, "/own-prices"), script, body).status_code == 400
    only = held_operator_key(OperatorScope.TIERS_WRITE)
    assert api.ask("PUT", address(house, "/own-prices"), only, body).status_code == 403
