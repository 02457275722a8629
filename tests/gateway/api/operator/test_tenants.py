"""Tenants through the operator's API."""

import pytest

from billing.models import Tier
from billing.prices.price_book import load_prices
from identity.models import Tenant
from identity.scopes import OperatorScope
from tests.gateway.api.conftest import Api, problem_of
from tests.support.ledger import make_model, unique
from tests.support.operators import HeldOperatorKey, held_operator_key
from tests.support.people import TESTS, make_tenant

pytestmark = pytest.mark.usefixtures("database")
MANY = 20


@pytest.fixture
def tier(database: None) -> str:
    load_prices(actor=TESTS)
    return Tier.objects.create(code=unique("t")[:32], name="Team").code


@pytest.fixture
def script(database: None) -> HeldOperatorKey:
    return held_operator_key(OperatorScope.TENANTS_WRITE)


def test_a_put_makes_then_does_nothing_then_changes(api: Api, script: HeldOperatorKey, tier: str) -> None:
    word = unique("team")
    address, body = f"/api/operator/tenants/{word}", {"name": "Team", "tier": tier, "owner": "erin@example.org"}
    made = api.ask("PUT", address, script, body)
    assert made.status_code == 201
    assert made.json() == api.get(address, script).json()
    assert (made.json()["slug"], made.json()["owner"], made.json()["owner_is_invited"]) == (
        word, "erin@example.org", True,
    )  # fmt: skip
    again = api.ask("PUT", address, script, body)
    assert (again.status_code, again.json()) == (200, made.json())
    changed = api.ask("PUT", address, script, body | {"name": "Another team"})
    assert (changed.status_code, changed.json()["name"]) == (200, "Another team")


def test_a_key_for_tenants_starts_no_other_contract(api: Api, script: HeldOperatorKey, tier: str) -> None:
    address = f"/api/operator/tenants/{unique('team')}"
    dearer = Tier.objects.create(code=unique("d")[:32], name="Dear").code
    assert api.ask("PUT", address, script, {"name": "Team", "tier": tier}).status_code == 201
    refused = api.ask("PUT", address, script, {"name": "Team", "tier": dearer})
    assert (refused.status_code, problem_of(refused)["code"]) == (403, "scope_missing")
    both = held_operator_key(OperatorScope.TENANTS_WRITE, OperatorScope.TIERS_WRITE)
    assert api.ask("PUT", address, both, {"name": "Team", "tier": dearer}).json()["tier"] == dearer


@pytest.mark.parametrize(
    ("body", "field"),
    [({"tier": "x"}, "name"), ({"name": "A", "tier": "none"}, "tier"), ({"name": "A", "tier": "x", "nme": 1}, "nme")],
)
def test_a_description_that_makes_no_sense_says_where(
    api: Api, script: HeldOperatorKey, body: dict[str, object], field: str
) -> None:
    response = api.ask("PUT", f"/api/operator/tenants/{unique('team')}", script, body)
    assert (response.status_code, [one["field"] for one in problem_of(response)["errors"]]) == (400, [field])


def test_close(api: Api, script: HeldOperatorKey, tier: str) -> None:
    external_id = unique("team")
    address = f"/api/operator/tenants/{external_id}"
    api.ask("PUT", address, script, {"name": "Team", "tier": tier})
    assert api.ask("POST", f"{address}/close", script, {}).status_code == 400
    assert api.ask("POST", f"{address}/close", script, {"reason": "twice"}).status_code == 204
    assert api.ask("GET", address, script).status_code == 404
    assert api.ask("POST", f"{address}/close", script, {"reason": "twice"}).status_code == 404


def test_suspend_and_reactivate(api: Api, script: HeldOperatorKey, tier: str) -> None:
    address = f"/api/operator/tenants/{unique('team')}"
    api.ask("PUT", address, script, {"name": "Team", "tier": tier})
    suspended = api.ask("POST", f"{address}/suspend", script, {"reason": "unpaid"}).json()
    assert (suspended["status"], suspended["suspended_reason"]) == ("suspended", "unpaid")
    assert api.ask("POST", f"{address}/reactivate", script, {"reason": "paid"}).json()["status"] == "active"
    assert api.ask("POST", f"{address}/suspend", script, {}).status_code == 400
    assert api.ask("POST", "/api/operator/tenants/nobody/suspend", script, {"reason": "x"}).status_code == 404


def test_the_list_is_searched_and_continued(api: Api, script: HeldOperatorKey) -> None:
    word = unique("listed")
    for letter in "ab":
        make_tenant(f"{word} {letter}")
    first = api.get(f"/api/operator/tenants?q={word}&limit=1&status=active", script).json()
    assert [one["name"] for one in first["results"]] == [f"{word} a"]
    second = api.get(first["next"], script).json()
    assert ([one["name"] for one in second["results"]], second["next"]) == ([f"{word} b"], None)
    assert api.get("/api/operator/tenants?status=odd", script).status_code == 400


def test_many_are_looked_at_then_made_then_there(api: Api, script: HeldOperatorKey, tier: str) -> None:
    word = unique("many")
    lines = [
        {"external_id": f"{word}-{n:03}", "name": f"Team {n}", "tier": tier, "owner": f"{word}-{n}@example.org"}
        for n in range(MANY)
    ]

    def outcomes(**more: object) -> set[str]:
        answer = api.ask("POST", "/api/operator/tenant-imports", script, {"tenants": lines, **more}).json()
        assert len(answer["lines"]) == MANY
        return {line["outcome"] for line in answer["lines"]} | {f"is_done: {answer['is_done']}"}

    assert outcomes() == {"made", "is_done: False"}
    assert not Tenant.objects.filter(external_id__startswith=word).exists()
    assert outcomes(dry_run=False) == {"made", "is_done: True"}
    assert Tenant.objects.filter(external_id__startswith=word).count() == MANY
    assert outcomes(dry_run=False) == {"unchanged", "is_done: False"}
    lines[7]["tier"] = "none"
    assert outcomes(dry_run=False) == {"unchanged", "refused", "is_done: False"}


def test_names_of_models_are_given_listed_and_taken_away(api: Api, script: HeldOperatorKey, tier: str) -> None:
    word, model, alias = unique("team"), make_model(), f"gpt/{unique('4o')}:1"
    api.ask("PUT", f"/api/operator/tenants/{word}", script, {"name": "Team", "tier": tier})
    address = f"/api/operator/tenants/{word}/model-aliases"
    made = api.ask("PUT", f"{address}/{alias}", script, {"model": model.name})
    assert (made.status_code, made.json()) == (201, {"alias": alias, "model": model.name})
    assert api.ask("PUT", f"{address}/{alias}", script, {"model": model.name}).status_code == 200
    assert api.get(address, script).json() == {"results": [made.json()]}
    assert api.ask("PUT", f"{address}/{model.name}", script, {"model": model.name}).status_code == 409
    assert api.ask("PUT", f"{address}/{alias}", script, {"model": "none such"}).status_code == 400
    assert api.ask("DELETE", f"{address}/{alias}", script).status_code == 204
    assert api.ask("DELETE", f"{address}/{alias}", script).status_code == 404
