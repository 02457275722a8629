"""Projects, budgets, limits and billing on pages: what they show, to whom, and what they do."""

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from billing.limits.budgets import set_budget
from billing.limits.limits import set_limit
from billing.models import Budget, Limit, Scope
from identity.models import Person, Project, Role, Tenant
from tests.support.console import page, signed_in
from tests.support.ledger import House, ledger_gateway, make_house
from tests.support.people import TESTS, make_person

EUR = 10**9
pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def house() -> House:
    return make_house()


@pytest.fixture
def alice(house: House) -> Person:
    return make_person("alice", house.tenant, Role.OWNER)


@pytest.fixture
def client(alice: Person) -> Client:
    return signed_in(alice)


def at(house: House, rest: str) -> str:
    return f"/t/{house.tenant.slug}/{rest}"


def test_a_project_is_made_changed_and_archived_on_its_pages(house: House, alice: Person, client: Client) -> None:
    made = client.post(at(house, "projects/new"), {"name": "Chat", "cost_centre": "CC-1", "responsible": ""})
    project = Project.objects.get(tenant=house.tenant, name="Chat")
    assert made["Location"] == at(house, f"projects/{project.pk}")
    here = at(house, f"projects/{project.pk}")
    assert at(house, f"keys/new?project={project.pk}") in page(client.get(here))  # what its welcome asks for next
    client.post(f"{here}/edit", {"name": "Chatbot", "cost_centre": "", "responsible": str(alice.pseudonym)})
    project.refresh_from_db()
    assert (project.name, project.cost_centre, project.responsible) == ("Chatbot", "", alice)
    client.post(f"{here}/archive", {"confirmation": "chatbot"})
    assert Project.objects.get(pk=project.pk).status == "active"
    client.post(f"{here}/archive", {"confirmation": "Chatbot"})
    assert Project.objects.get(pk=project.pk).status == "archived"
    archived = page(client.get(here))
    assert "its keys are refused" in archived
    assert "keys/new?project" not in archived


def test_a_name_that_is_taken_is_told_at_its_field(house: House, client: Client) -> None:
    shown = page(client.post(at(house, "projects/new"), {"name": "Default", "cost_centre": "", "responsible": ""}))
    assert "The tenant has a project of this name." in shown
    assert 'value="Default"' in shown


def test_B3_lowering_a_budget_below_what_is_spent_says_that_it_stops_requests_and_asks(
    house: House, client: Client, gateway_database_url: str
) -> None:
    set_budget(on=house.project, period="month", limit_nano_eur=EUR, actor=TESTS)
    with ledger_gateway(gateway_database_url) as gateway:
        gateway.complete(house, house.key().row)
    address = at(house, f"projects/{house.project.pk}/budget")
    asked = {"period": "month", "limit": "0,00001", "is_hard": "1", "alerts": ["50"]}
    shown = page(client.post(address, asked))
    assert "This stops requests now." in shown
    [budget] = Budget.objects.filter(scope="project", scope_id=house.project.pk)
    assert budget.limit_nano_eur == EUR
    assert client.post(address, asked | {"is_confirmed": "1"}).status_code == 302
    budget.refresh_from_db()
    assert (budget.limit_nano_eur, budget.alert_percents) == (10_000, [50])
    assert "requests are refused" in page(client.get(at(house, f"projects/{house.project.pk}")))


def test_a_budget_and_a_limit_of_a_contract_are_not_ended_here(house: House, client: Client) -> None:
    mine = set_budget(on=house.tenant, period="month", limit_nano_eur=EUR, actor=TESTS)
    brought = house.budget(Scope.TENANT, house.tenant.pk, EUR, source="tier")
    limit = set_limit(on=house.tenant, what="requests", window="minute", amount=5, actor=TESTS)
    assert client.post(at(house, f"billing/budgets/{brought.pk}/end")).status_code == 400
    assert client.post(at(house, f"billing/budgets/{mine.pk}/end")).status_code == 302
    assert client.post(at(house, f"billing/limits/{limit.pk}/end")).status_code == 302
    assert Budget.objects.get(pk=brought.pk).is_active
    assert not Budget.objects.get(pk=mine.pk).is_active
    assert not Limit.objects.get(pk=limit.pk).is_active


def test_I6_budgets_of_others_and_of_other_places_are_not_there(house: House, client: Client) -> None:
    others = make_house()
    theirs = set_budget(on=others.project, period="month", limit_nano_eur=EUR, actor=TESTS)
    mine = set_budget(on=house.project, period="month", limit_nano_eur=EUR, actor=TESTS)
    for budget in (theirs, mine):  # ours is the project's, not the organisation's
        assert client.post(at(house, f"billing/budgets/{budget.pk}/end")).status_code == 404
    assert client.get(at(house, f"projects/{others.project.pk}")).status_code == 404
    assert client.post(at(house, f"projects/{others.project.pk}/budget"), {}).status_code == 404


def test_who_may_not_change_sees_no_button_and_is_refused(house: House) -> None:
    bob = signed_in(make_person("bob", house.tenant, Role.DEVELOPER))
    shown = page(bob.get(at(house, "projects")))
    assert "New project" not in shown
    assert "Set a budget" not in page(bob.get(at(house, f"projects/{house.project.pk}")))
    for rest in ("projects/new", f"projects/{house.project.pk}/edit", f"projects/{house.project.pk}/budget", "billing"):
        assert bob.get(at(house, rest)).status_code == 403


def test_billing_shows_the_contract_and_a_statement_that_exports(
    house: House, client: Client, gateway_database_url: str
) -> None:
    with ledger_gateway(gateway_database_url) as gateway:
        gateway.complete(house, house.key().row)
    shown = page(client.get(at(house, "billing")))
    assert "Exactly €0.000045" in shown
    export = client.get(at(house, "billing/statement.csv"))
    assert export["Content-Type"] == "text/csv; charset=utf-8"
    assert "0.000045" in export.content.decode()
    assert client.get(at(house, "billing?month=x")).status_code == 200
    assert len(re.findall(r'<option value="\d{4}-\d{2}"', shown)) <= 1  # there is no month before its first
    Tenant.objects.filter(pk=house.tenant.pk).update(created_at=timezone.now() - timedelta(days=70))
    assert len(re.findall(r'<option value="\d{4}-\d{2}"', page(client.get(at(house, "billing"))))) in (3, 4)


def test_B5_an_estimate_counts_the_template_and_changes_as_one_types(house: House, client: Client) -> None:
    address = at(house, f"models/{house.model.name}")
    asked = {"input": "920", "output": "500", "requests": "10"}
    shown = page(client.get(address, asked))
    # 1,000 of input with the template's 80, 500 of output: 450,000 nano-EUR, 300 times a month.
    assert "€0.14" in shown
    part = client.get(address, asked, headers={"HX-Request": "true"}).content.decode()
    assert part.startswith('<div id="estimate">')
    assert "€0.14" in part
    assert "Give each figure" in client.get(address, {"input": "-1"}, headers={"HX-Request": "true"}).content.decode()


def test_M1_models_are_found_by_what_they_are_and_an_alias_leads_to_its_model(house: House, client: Client) -> None:
    everything = {"show": "all"}
    assert house.model.name in page(client.get(at(house, "models"), everything | {"q": house.model.name}))
    assert "No model fits" in page(client.get(at(house, "models"), everything | {"q": "no-such-model"}))
    assert house.model.name not in page(client.get(at(house, "models")))  # nothing serves it
    house.model.aliases.create(alias=f"{house.model.name}-alias")
    assert client.get(at(house, f"models/{house.model.name}-alias"))["Location"] == at(
        house, f"models/{house.model.name}"
    )
    assert client.get(at(house, "models/none")).status_code == 404


def test_what_a_verb_refuses_is_said_in_the_readers_language(house: House, alice: Person, client: Client) -> None:
    Person.objects.filter(pk=alice.pk).update(language="fr")
    shown = page(
        client.post(at(house, "projects/new"), {"name": house.project.name, "cost_centre": "", "responsible": ""})
    )
    assert "L&#x27;organisation a déjà un projet de ce nom." in shown
