"""Projects, budgets and limits through the API: the same verbs as the pages call."""

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from billing.models import Scope as Holder
from identity.models import Project, Role
from identity.scopes import Scope
from tests.gateway.api.conftest import Api, problem_of
from tests.support.ledger import HeldKey, House, LedgerGateway, make_house
from tests.support.people import make_person

EUR = 10**9


@pytest.fixture
def manager(house: House) -> HeldKey:
    """A key that manages projects and budgets."""
    return house.key(Scope.PROJECTS_MANAGE, Scope.BUDGETS_MANAGE)


def ask(api: Api, method: str, address: str, key: HeldKey, data: Any = None, status: int = 200) -> Any:
    response = api.ask(method, address, key, data)
    assert response.status_code == status, response.content
    return response.json() if response.content else None


def test_a_project_is_made_changed_and_archived(api: Api, house: House, manager: HeldKey) -> None:
    alice = make_person("alice", house.tenant, Role.OWNER)
    made = ask(api, "POST", "/api/projects", manager, {"name": "Chat", "responsible": str(alice.pseudonym)}, 201)
    address = f"/api/projects/{made['id']}"
    assert (made["name"], made["status"], made["responsible"]) == ("Chat", "active", str(alice.pseudonym))
    assert ask(api, "PATCH", address, manager, {"cost_centre": "CC-1"})["responsible"] == str(alice.pseudonym)
    assert ask(api, "PATCH", address, manager, {"responsible": None})["responsible"] is None
    assert made["allowed_models"] == []
    assert ask(api, "PATCH", address, manager, {"allowed_models": ["small"]})["allowed_models"] == ["small"]
    assert ask(api, "PATCH", address, manager, {"name": "Chatbot"})["allowed_models"] == ["small"]
    assert ask(api, "POST", f"{address}/archive", manager)["status"] == "archived"
    assert ask(api, "GET", address, manager)["cost_centre"] == "CC-1"


def test_a_project_that_makes_no_sense_is_refused(api: Api, house: House, manager: HeldKey) -> None:
    taken = api.ask("POST", "/api/projects", manager, {"name": "Default"})
    assert (taken.status_code, problem_of(taken)["code"]) == (409, "conflict")
    stranger = api.ask("POST", "/api/projects", manager, {"name": "New", "responsible": str(uuid4())})
    assert problem_of(stranger)["errors"][0]["field"] == "responsible"
    assert not Project.objects.filter(tenant=house.tenant, name="New").exists()
    models = api.ask("PATCH", f"/api/projects/{house.project.pk}", manager, {"allowed_models": ["é"]})
    assert problem_of(models)["errors"][0]["field"] == "allowed_models"


def test_a_key_that_does_not_manage_projects_cannot_widen_its_own(api: Api, house: House, key: HeldKey) -> None:
    refused = api.ask("PATCH", f"/api/projects/{house.project.pk}", key, {"allowed_models": []})
    assert refused.status_code == 403


def test_a_key_lists_its_own_project_and_a_manager_all_page_by_page(
    api: Api, house: House, key: HeldKey, manager: HeldKey, gateway: LedgerGateway
) -> None:
    second = house.project_called("Second")
    gateway.complete(house, key.row)
    [own] = ask(api, "GET", "/api/projects", key)["results"]
    assert (own["id"], own["spent_nano_eur"], own["live_keys"]) == (house.project.pk, 45_000, 2)
    first = ask(api, "GET", "/api/projects?limit=1", manager)
    rest = ask(api, "GET", first["next"].partition("localhost")[2], manager)
    assert [row["id"] for row in (*first["results"], *rest["results"])] == [house.project.pk, second.pk]
    assert rest["next"] is None


def test_a_budget_is_set_raised_and_ended_anywhere_in_the_organisation(
    api: Api, house: House, manager: HeldKey
) -> None:
    other = house.key(project=house.project_called("Other"))
    whole = house.key(Scope.USAGE_READ_TENANT)
    for place in ({"scope": "tenant"}, {"scope": "project", "project_id": other.row.project_id},
                  {"scope": "key", "key_id": other.row.lookup}):  # fmt: skip
        asked = place | {"period": "month", "limit_nano_eur": EUR, "alert_percents": [50]}
        shown = ask(api, "POST", "/api/budgets", manager, asked)
        again = ask(api, "POST", "/api/budgets", manager, asked | {"limit_nano_eur": 2 * EUR})
        assert (again["id"], again["limit_nano_eur"], again["scope"]) == (shown["id"], 2 * EUR, place["scope"])
        assert shown["alert_percents"] == again["alert_percents"] == [50]
        del asked["alert_percents"]
        assert ask(api, "POST", "/api/budgets", manager, asked)["alert_percents"] == [50]
        [listed] = [one for one in ask(api, "GET", "/api/budgets", whole)["results"] if one["id"] == shown["id"]]
        assert listed["alert_percents"] == [50]
        ask(api, "DELETE", f"/api/budgets/{shown['id']}", manager, status=204)
        assert api.ask("DELETE", f"/api/budgets/{shown['id']}", manager).status_code == 404


def test_a_member_answers_for_a_budget_and_a_raise_is_told_with_it(api: Api, house: House, manager: HeldKey) -> None:
    alice, key = make_person("alice", house.tenant, Role.OWNER), house.key()
    asked = {"scope": "key", "key_id": key.row.lookup, "period": "month", "limit_nano_eur": EUR}
    shown = ask(api, "POST", "/api/budgets", manager, asked)
    assert shown["responsible"] is shown["raised"] is None
    address = f"/api/budgets/{shown['id']}/responsible"
    given = ask(api, "PUT", address, manager, {"responsible": str(alice.pseudonym)})
    assert given["responsible"] == str(alice.pseudonym)
    stranger = api.ask("PUT", address, manager, {"responsible": str(uuid4())})
    assert problem_of(stranger)["errors"][0]["field"] == "responsible"
    until = (timezone.now() + timedelta(days=1)).isoformat()
    ask(api, "PUT", f"/api/budgets/{shown['id']}/raise", manager, {"limit_nano_eur": 2 * EUR, "until": until})
    [listed] = ask(api, "GET", "/api/budgets", key)["results"]
    assert (listed["limit_nano_eur"], listed["responsible"]) == (2 * EUR, str(alice.pseudonym))
    assert (listed["raised"]["base_nano_eur"], listed["raised"]["by"]) == (EUR, manager.row.lookup)
    assert datetime.fromisoformat(listed["raised"]["until"]) == datetime.fromisoformat(until)
    house.limit(Holder.KEY, key.row.pk, "requests", "day", 7)
    money, requests = ask(api, "GET", f"/api/keys/{key.row.lookup}/bounds", key)["results"]
    assert (money["raised"], money["responsible"]) == (listed["raised"], listed["responsible"])
    assert requests["raised"] is requests["responsible"] is None
    assert ask(api, "PUT", address, manager, {"responsible": None})["responsible"] is None


def test_a_limit_is_set_and_ended(api: Api, house: House, manager: HeldKey) -> None:
    asked = {"scope": "project", "project_id": house.project.pk, "what": "concurrent", "window": "none", "amount": 3}
    shown = ask(api, "POST", "/api/limits", manager, asked)
    assert (shown["amount"], shown["used"], shown["source"]) == (3, 0, "set")
    wrong = api.ask("POST", "/api/limits", manager, asked | {"window": "day"})
    assert problem_of(wrong)["errors"][0]["field"] == "window"
    ask(api, "DELETE", f"/api/limits/{shown['id']}", manager, status=204)


def test_a_place_is_named_and_ours(api: Api, house: House, manager: HeldKey) -> None:
    asked = {"period": "month", "limit_nano_eur": EUR}
    for scope, field in (("project", "project_id"), ("key", "key_id")):
        refused = api.ask("POST", "/api/budgets", manager, asked | {"scope": scope})
        assert problem_of(refused)["errors"][0]["field"] == field
    theirs = {"scope": "project", "project_id": make_house().project.pk}
    assert api.ask("POST", "/api/budgets", manager, asked | theirs).status_code == 404


def test_a_contracts_budget_stays(api: Api, house: House, manager: HeldKey) -> None:
    brought = house.budget(Holder.TENANT, house.tenant.pk, EUR, source="tier")
    refused = api.ask("DELETE", f"/api/budgets/{brought.pk}", manager)
    assert (refused.status_code, problem_of(refused)["errors"][0]["field"]) == (400, "budget")
