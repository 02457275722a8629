"""Tiers, contracts and what they show, through the operator's API."""

import pytest

from billing.contracts.contracts import start_contract
from billing.contracts.tiers import tier_by_code
from billing.models import Limit
from billing.prices.price_book import load_prices
from billing.prices.visibility import Audience, set_visibility
from identity.models import Tenant
from identity.scopes import OperatorScope, Scope
from models_catalog.models import LanguageModel
from tests.gateway.api.conftest import Api, problem_of
from tests.support.ledger import make_house, make_model, unique
from tests.support.operators import HeldOperatorKey, held_operator_key
from tests.support.people import TESTS

pytestmark = pytest.mark.usefixtures("database")
LIMIT = {"what": "requests", "window": "minute", "amount": 60}


@pytest.fixture
def script(database: None) -> HeldOperatorKey:
    load_prices(actor=TESTS)
    return held_operator_key(OperatorScope.TIERS_WRITE, OperatorScope.TENANTS_WRITE)


def make_tier(api: Api, script: HeldOperatorKey, **members: object) -> str:
    code = unique("t")[:32]
    body = {"name": "Team", "limits": [LIMIT], **members}
    assert api.ask("PUT", f"/api/operator/tiers/{code}", script, body).status_code == 201
    return code


def test_a_tier_that_is_paid_in_advance_is_made_by_a_script(api: Api, script: HeldOperatorKey) -> None:
    code = make_tier(api, script, prepaid_nano_eur=50 * 10**9)
    address = f"/api/operator/tiers/{code}"
    assert api.get(address, script).json()["prepaid_nano_eur"] == 50 * 10**9
    assert api.ask("PUT", address, script, {"name": "Team", "prepaid_nano_eur": 1}).status_code == 400
    start_contract(tenant=make_house().tenant, tier=tier_by_code(code), actor=TESTS)
    refused = problem_of(api.ask("PUT", address, script, {"name": "Team"}))
    assert [one["field"] for one in refused["errors"]] == ["prepaid_nano_eur"]


def test_a_put_makes_then_does_nothing_then_changes(api: Api, script: HeldOperatorKey) -> None:
    code = unique("t")[:32]
    address, body = f"/api/operator/tiers/{code}", {"name": "Team", "limits": [LIMIT], "monthly_cap_nano_eur": 10**11}
    made = api.ask("PUT", address, script, body)
    assert (made.status_code, made.json()) == (
        201,
        {
            "code": code, "name": "Team", "description": "", "monthly_cap_nano_eur": 10**11, "prepaid_nano_eur": None,
            "limits": [LIMIT], "rate_card": "", "by_agreement": False, "is_offered": True, "version": 1,
            "organisations": 0, "earlier": 0,
        },
    )  # fmt: skip
    again = api.ask("PUT", address, script, body)
    assert (again.status_code, again.json()) == (200, made.json())
    withdrawn = api.ask("PUT", address, script, {"name": "Team", "is_offered": False}).json()
    assert (withdrawn["is_offered"], withdrawn["version"], withdrawn["limits"]) == (False, 2, [])
    assert api.get(address, script).json() == withdrawn
    assert api.get("/api/operator/tiers/none", script).status_code == 404
    codes, following = [], "/api/operator/tiers?limit=3"
    while following:
        page = api.get(following, script).json()
        codes += [one["code"] for one in page["results"]]
        following = page["next"]
    assert code in codes
    assert "platform" not in codes
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": "A", "limts": []}, "limts"),
        ({"name": "A", "limits": [LIMIT | {"window": "none"}]}, "window"),
        ({"name": "A", "rate_card": "none such"}, "rate_card"),
        ({"name": "A", "is_offered": "yes"}, "is_offered"),
    ],
)
def test_a_tier_that_makes_no_sense_says_where(
    api: Api, script: HeldOperatorKey, body: dict[str, object], field: str
) -> None:
    response = api.ask("PUT", f"/api/operator/tiers/{unique('t')[:32]}", script, body)
    assert (response.status_code, [one["field"] for one in problem_of(response)["errors"]]) == (400, [field])


def test_a_contract_is_started_and_a_changed_tier_reaches_it_by_a_renewal(api: Api, script: HeldOperatorKey) -> None:
    first, second, word = make_tier(api, script), make_tier(api, script), unique("team")
    api.ask("PUT", f"/api/operator/tenants/{word}", script, {"name": "Team", "tier": first})
    address = f"/api/operator/tenants/{word}/contract"
    assert api.get(address, script).json()["tier"] == first
    moved = api.ask("PUT", address, script, {"tier": second}).json()
    assert (moved["tier"], moved["rate_card"], moved["tier_version"]) == (second, "Reference", 1)
    assert api.ask("PUT", address, script, {"tier": second}).json() == moved
    for wrong in ({"tier": "none"}, {"tier": second, "rate_card": "none"}, {"tier": "platform"}):
        assert api.ask("PUT", address, script, wrong).status_code == 400
    higher = LIMIT | {"amount": 90}
    api.ask("PUT", f"/api/operator/tiers/{second}", script, {"name": "Team", "limits": [higher]})
    assert api.get(f"/api/operator/tiers/{second}", script).json()["earlier"] == 1
    renewed = api.ask("POST", f"/api/operator/tiers/{second}/renew", script).json()
    assert renewed == {"renewed": 1, "earlier": 0}
    tenant = Tenant.objects.get(external_id=word)
    assert Limit.objects.get(tenant_id=tenant.pk, is_active=True).amount == 90
    reads = held_operator_key(OperatorScope.TIERS_READ)
    refused = api.ask("POST", f"/api/operator/tiers/{second}/renew", reads)
    assert (refused.status_code, problem_of(refused)["code"]) == (403, "scope_missing")


def test_models_are_listed_with_why_they_are_seen_and_why_not_called(api: Api, script: HeldOperatorKey) -> None:
    code, word = make_tier(api, script), unique("team")
    api.ask("PUT", f"/api/operator/tenants/{word}", script, {"name": "Team", "tier": code})
    tenant = Tenant.objects.get(external_id=word)
    tier_id = tenant.contracts.get().tier_id
    everybodys, tiers, own, others = (make_model() for _ in range(4))
    chosen = LanguageModel.Visibility.CHOSEN
    for model, audience in (
        (tiers, Audience(chosen, tiers=(tier_id,), tenants=(tenant.pk,))),
        (own, Audience(chosen, tenants=(tenant.pk,))),
        (others, Audience(LanguageModel.Visibility.NOBODY)),
    ):
        set_visibility(model=model, audience=audience, actor=TESTS)
    LanguageModel.objects.filter(pk__in=[one.pk for one in (everybodys, tiers, own, others)]).update(
        published_at="2026-01-01T00:00Z"
    )
    seen = {one["id"]: one for one in api.get(f"/api/operator/tenants/{word}/models", script).json()["results"]}
    assert seen[everybodys.name]["reasons"] == ["everybody"]
    assert seen[tiers.name]["reasons"] == ["tier", "tenant"]
    assert seen[own.name]["reasons"] == ["tenant"]
    assert others.name not in seen
    assert seen[own.name]["hindrances"] == ["no_engine", "no_price"]
    assert not seen[own.name]["is_callable"]
    on_tier = {one["id"]: one for one in api.get(f"/api/operator/tiers/{code}/models", script).json()["results"]}
    assert (on_tier[tiers.name]["reasons"], own.name in on_tier) == (["tier"], False)


def test_an_organisation_reads_what_its_contract_brought_and_not_what_the_tier_says_since(
    api: Api, script: HeldOperatorKey
) -> None:
    code, house = make_tier(api, script, monthly_cap_nano_eur=10**11), make_house()
    start_contract(tenant=house.tenant, tier=tier_by_code(code), actor=TESTS)
    key = house.key(*Scope)
    before = api.get("/api/contract", key).json()
    assert (before["monthly_cap_nano_eur"], before["limits"]) == (10**11, [LIMIT | {"limit_source": "tier"}])
    api.ask("PUT", f"/api/operator/tiers/{code}", script, {"name": "Team"})
    assert api.get("/api/contract", key).json() == before
