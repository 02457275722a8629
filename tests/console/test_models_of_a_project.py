"""The models that a project may call, on the pages: chosen, shown with their source, offered where keys are made."""

import re
from typing import Any

import pytest
from django.test import Client

from billing.limits.budgets import set_budget
from billing.models import Budget
from gateway.pools.models import Pool, Replica
from identity.model_lists import model_lists_of
from identity.models import ApiKey, AuditEvent, Person, Role
from identity.projects import change_project
from models_catalog.models import LanguageModel
from tests.support.browser import open_browser
from tests.support.console import page, signed_in
from tests.support.ledger import House, ledger_gateway, make_house, make_model, make_price, unique
from tests.support.people import TESTS, make_key, make_person

EUR = 10**9
pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def house() -> House:
    """With a model that is served."""
    house = make_house()
    serve(house.model)
    return house


@pytest.fixture
def alice(house: House) -> Person:
    return make_person("alice", house.tenant, Role.OWNER)


@pytest.fixture
def client(alice: Person) -> Client:
    return signed_in(alice)


def serve(model: LanguageModel) -> None:
    pool = Pool.objects.create(model=model, name=unique("pool"), served_name="served")
    Replica.objects.create(pool=pool, name="one", url=f"http://127.0.0.1:1/{unique('r')}", state=Replica.State.READY)


def second_model(house: House) -> LanguageModel:
    model = make_model()
    make_price(house.price_version.rate_card, model)
    serve(model)
    return model


def at(house: House, rest: str) -> str:
    return f"/t/{house.tenant.slug}/{rest}"


def of_project(house: House, rest: str = "") -> str:
    return at(house, f"projects/{house.project.pk}{rest}")


def text_of(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def offered(client: Client, address: str) -> list[Any]:
    return [value for value, _ in client.get(address).context["form"].fields["allowed_models"].choices]


def test_the_models_of_a_project_are_chosen_shown_and_given_free_again(house: House, client: Client) -> None:
    name = house.model.name
    assert "All models of the organisation" in text_of(page(client.get(of_project(house))))
    chosen = client.post(of_project(house, "/models"), {"which": "some", "models": [name]})
    assert chosen["Location"] == of_project(house)
    house.project.refresh_from_db()
    assert house.project.allowed_models == [name]
    assert f"<code>{name}</code>" in page(client.get(of_project(house)))
    assert AuditEvent.objects.get(tenant=house.tenant, action="project.changed").actor_kind == "person"
    nothing = client.post(of_project(house, "/models"), {"which": "some"})
    assert "Choose one model at least" in page(nothing)
    assert client.post(of_project(house, "/models"), {"which": "all", "models": [name]}).status_code == 302
    house.project.refresh_from_db()
    assert house.project.allowed_models == []


def test_who_may_not_change_a_project_sees_its_models_and_no_button(house: House) -> None:
    bob = signed_in(make_person("bob", house.tenant, Role.DEVELOPER))
    change_project(house.project, allowed_models=[house.model.name, "gone"], actor=TESTS)
    shown = page(bob.get(of_project(house)))
    assert (house.model.name in shown, "no model of the catalogue now" in shown) == (True, True)
    assert "Choose models" not in shown
    assert bob.get(of_project(house, "/models")).status_code == 403


def test_a_key_is_narrowed_to_models_of_its_project(house: House, client: Client) -> None:
    name, other = house.model.name, second_model(house).name
    assert {name, other} <= set(offered(client, at(house, "keys/new")))
    change_project(house.project, allowed_models=[name], actor=TESTS)
    open_one = house.project_called("Open")
    assert offered(client, at(house, f"keys/new?project={house.project.pk}")) == [name]
    assert {name, other} <= set(offered(client, at(house, f"keys/new?project={open_one.pk}")))
    form = client.get(at(house, f"keys/new?project={house.project.pk}")).context["form"]
    sent = {"name": "Portal", "project": house.project.pk, "kind": "project", "scopes": "inference",
            "budget_period": "month", "request": form.initial["request"], "expires_on": "2099-01-01"}  # fmt: skip
    refused = client.post(at(house, "keys/new"), sent | {"allowed_models": [other]})
    assert list(refused.context["form"].errors) == ["allowed_models"]
    page(client.post(at(house, "keys/new"), sent | {"allowed_models": [name]}))
    key = ApiKey.objects.get(tenant=house.tenant, name="Portal")
    change_project(house.project, allowed_models=[other], actor=TESTS)  # what it has stays to be seen and taken away
    assert offered(client, at(house, f"keys/{key.lookup}/edit")) == [name, other]


@pytest.mark.parametrize(
    ("of_key", "project", "binding"),
    [((), (), []), (("a",), (), ["key"]), ((), ("a",), ["project"]), (("a",), ("a", "b"), ["key"]),
     (("a", "b"), ("b",), ["project"]), (("a", "b"), ("b", "c"), ["key", "project"]), (("a",), ("a",), ["key"])],
)  # fmt: skip
def test_what_applies_to_a_key_names_whose_list_binds(
    house: House, client: Client, of_key: tuple[str, ...], project: tuple[str, ...], binding: list[str]
) -> None:
    change_project(house.project, allowed_models=project, actor=TESTS)
    key, _ = make_key(house.tenant, allowed_models=of_key)
    key.refresh_from_db()
    assert [one.scope for one in model_lists_of(key) if one.binds] == binding
    shown = text_of(page(client.get(at(house, f"keys/{key.lookup}"))))
    assert shown.count("model binds") + shown.count("models binds") == len(binding)
    if binding == ["project"]:
        assert re.search(rf"binds {house.project.name} {' '.join(project)}", shown)


def test_a_model_says_which_of_my_projects_may_call_it_and_is_tried_in_these(house: House, client: Client) -> None:
    address = at(house, f"models/{house.model.name}")
    open_one, closed = house.project_called("Open"), house.project_called("Elsewhere")
    change_project(closed, allowed_models=["another"], actor=TESTS)
    change_project(house.project, allowed_models=[house.model.name], actor=TESTS)
    shown = client.get(address)
    assert {project.pk for project in shown.context["projects"]} == {open_one.pk, house.project.pk}
    assert "Your other projects list other models." in page(shown)
    for project in (open_one, house.project):
        change_project(project, allowed_models=["another"], actor=TESTS)
    assert "none of yours may call this model" in page(client.get(address))


def test_the_thresholds_of_a_budget_are_shown_and_survive_the_form(
    house: House, client: Client, gateway_database_url: str
) -> None:
    set_budget(
        on=house.project, period="month", limit_nano_eur=80_000, is_hard=False, alert_percents=[50, 75], actor=TESTS
    )
    with ledger_gateway(gateway_database_url) as gateway:
        gateway.complete(house, house.key().row)  # 45,000 nano-EUR
    assert "50 % (reached) , 75 %" in text_of(page(client.get(of_project(house))))
    form = client.get(of_project(house, "/budget?period=month")).context["form"]
    assert [value for value, _ in form.fields["alerts"].choices] == [50, 75, 80, 90, 100]
    assert form.initial["alerts"] == [50, 75]
    sent = {"period": "month", "limit": "1", "is_hard": "1", "alerts": ["75", "100"]}
    assert client.post(of_project(house, "/budget?period=month"), sent).status_code == 302
    assert Budget.objects.get(scope="project", scope_id=house.project.pk).alert_percents == [75, 100]


def test_another_project_brings_its_models_into_the_form_as_one_chooses(house: House, alice: Person) -> None:
    name, other = house.model.name, second_model(house).name
    change_project(house.project_called("Narrow"), allowed_models=[other], actor=TESTS)
    with open_browser() as browser, browser.window(alice) as window:
        shown = window.open(at(house, f"keys/new?project={house.project.pk}"))
        shown.click("summary:has-text('What it may do')")
        shown.check(f"#key-models [value='{other}']")
        shown.select_option("#id_project", label="Narrow")
        shown.wait_for_selector(f"#key-models:not(:has([value='{name}']))")
        assert shown.is_checked(f"#key-models [value='{other}']")
        assert window.offences() == []
