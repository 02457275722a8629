"""I6 at the front door of programs: who may ask what, over every route that there is."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.urls import URLPattern, get_resolver
from django.utils import timezone

from billing.models import Scope as Holder
from gateway.api.operator.view import OperatorApiView
from identity.api_keys import revoke_api_key
from identity.key_format import make_key
from identity.models import Project, Tenant
from identity.scopes import Scope
from models_catalog.models import ModelAlias
from tests.gateway.api import access_cases
from tests.gateway.api.access_cases import OPEN, Ours
from tests.gateway.api.conftest import Api, problem_of
from tests.gateway.api.credit_cases import CREDIT_CASES
from tests.support.ledger import HeldKey, House, LedgerGateway, make_house, unique
from tests.support.people import TESTS

CASES = access_cases.CASES | CREDIT_CASES


def routes() -> Iterator[tuple[str, str]]:
    """Each named route under /api/ with each of its methods, but for the operator's."""
    [api] = [entry for entry in get_resolver().url_patterns if str(entry.pattern) == "api/"]
    for route in api.url_patterns:  # type: ignore[union-attr]
        assert isinstance(route, URLPattern)
        assert route.name
        view = getattr(route.callback, "view_class", None)
        assert view is not None
        if issubclass(view, OperatorApiView):
            continue
        for method in ("get", "post", "put", "patch", "delete"):
            if hasattr(view, method):
                yield route.name, method.upper()


@pytest.fixture
def ours(house: House, gateway: LedgerGateway) -> Ours:
    weak, strong = house.key(), house.key(*Scope)
    house.budget(Holder.KEY, strong.row.pk, 10**9)
    house.limit(Holder.KEY, strong.row.pk, "requests", "day", 1_000)
    alias = unique("alias")
    ModelAlias.objects.create(model=house.model, alias=alias, tenant=house.tenant)
    request_id = str(gateway.complete(house, strong.row))
    refused_id = str(gateway.refuse(house, strong.row, "rate_limit_exceeded"))
    return Ours(house, weak, strong, request_id, refused_id, alias)


def test_I6_every_route_and_method_is_in_the_table() -> None:
    assert {route for route in routes() if route[0] not in OPEN} == CASES.keys()


@pytest.mark.parametrize("route", CASES, ids=" ".join)
def test_I6_without_a_good_key_no_route_answers(api: Api, ours: Ours, route: tuple[str, str]) -> None:
    case, method = CASES[route], route[1]
    address, body = case.address(ours), case.body(ours)
    text, _ = make_key()
    expired = ours.house.key(*Scope, expires_at=timezone.now() + timedelta(days=1))
    type(expired.row).objects.filter(pk=expired.row.pk).update(expires_at=timezone.now())
    revoked = ours.house.key(*Scope)
    revoke_api_key(revoked.row, actor=TESTS)
    for header, code in {
        "": "no_api_key",
        "Bearer ": "invalid_api_key",
        "Basic YTpi": "invalid_api_key",
        f"Bearer {ours.strong.text[:-1]}!": "invalid_api_key",
        f"Bearer {text}": "invalid_api_key",
        f"Bearer {expired.text}": "api_key_expired",
        f"Bearer {revoked.text}": "api_key_revoked",
    }.items():
        response = api.ask(method, address, data=body, Authorization=header)
        assert (response.status_code, problem_of(response)["code"]) == (401, code), header
        assert response["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("route", CASES, ids=" ".join)
def test_I6_a_key_gets_what_its_scopes_give(api: Api, ours: Ours, route: tuple[str, str]) -> None:
    case, method = CASES[route], route[1]
    weak = api.ask(method, case.address(ours), ours.weak, case.body(ours))
    assert weak.status_code == case.weak
    if weak.status_code == 403:
        assert problem_of(weak)["code"] == "scope_missing"
    assert api.ask(method, case.address(ours), ours.strong, case.body(ours)).status_code == case.strong


@pytest.mark.parametrize("route", CASES, ids=" ".join)
def test_I6_a_stranger_gets_404_or_nothing_of_ours(
    api: Api, ours: Ours, strangers_key: HeldKey, route: tuple[str, str]
) -> None:
    case, method = CASES[route], route[1]
    response = api.ask(method, case.address(ours), strangers_key, case.body(ours))
    assert response.status_code == case.stranger
    if case.stranger == 404:
        assert problem_of(response)["code"] == "not_found"
        nowhere = api.ask("GET", "/api/keys/0000000000", strangers_key)
        assert problem_of(nowhere).keys() == problem_of(response).keys()
    shown = response.content.decode()
    assert not [secret for secret in ours.secrets if secret in shown]


def test_I6_the_same_routes_show_our_own_things_to_us(api: Api, ours: Ours) -> None:
    shown = "".join(
        api.ask(method, case.address(ours), ours.strong).content.decode()
        for (_, method), case in CASES.items()
        if method == "GET"
    )
    assert [secret for secret in ours.secrets if secret not in shown] == []


def test_I6_a_suspended_tenant_and_an_archived_project_open_nothing(api: Api, house: House, key: HeldKey) -> None:
    Project.objects.filter(pk=house.project.pk).update(status=Project.Status.ARCHIVED)
    assert problem_of(api.get("/api/key", key))["code"] == "project_archived"
    Tenant.objects.filter(pk=house.tenant.pk).update(status=Tenant.Status.SUSPENDED)
    response = api.get("/api/key", key)
    assert (response.status_code, problem_of(response)["code"]) == (403, "tenant_suspended")


def test_I6_a_key_tied_to_addresses_opens_only_from_there(api: Api, house: House) -> None:
    tied = house.key(ip_ranges=("192.0.2.0/24",))
    assert problem_of(api.get("/api/key", tied))["code"] == "ip_not_allowed"
    # A header that no trusted proxy wrote is hearsay.
    assert api.get("/api/key", tied, X_Forwarded_For="192.0.2.7").status_code == 403
    through_gateway = Api(type(api.client)(HTTP_HOST="localhost", REMOTE_ADDR=""))
    assert through_gateway.get("/api/key", tied, X_Forwarded_For="192.0.2.7").status_code == 200
    assert through_gateway.get("/api/key", tied, X_Forwarded_For="192.0.2.7, 198.51.100.1").status_code == 403


def test_I6_a_web_page_uses_only_keys_that_list_its_origin(api: Api, house: House, key: HeldKey) -> None:
    listed = house.key(origins=("https://app.example.org",))
    assert api.get("/api/key", listed, Origin="https://app.example.org").status_code == 200
    assert problem_of(api.get("/api/key", key, Origin="https://app.example.org"))["code"] == "origin_not_allowed"
    assert api.get("/api/key", key, Origin="http://localhost").status_code == 200  # the page of the documentation


def test_I6_keys_of_another_project_are_not_there(api: Api, ours: Ours) -> None:
    elsewhere = ours.house.key(*Scope, project=ours.house.project_called("Elsewhere"))
    assert api.get(f"/api/keys/{elsewhere.row.lookup}", ours.strong).status_code == 404
    listed = api.get("/api/keys", ours.strong).json()["results"]
    assert elsewhere.row.lookup not in [key["id"] for key in listed]


def test_I6_a_key_reads_itself_but_revokes_not_even_itself_without_the_scope(api: Api, key: HeldKey) -> None:
    own = f"/api/keys/{key.row.lookup}"
    assert api.get(own, key).status_code == 200
    assert problem_of(api.ask("DELETE", own, key))["code"] == "scope_missing"
    assert problem_of(api.ask("POST", f"{own}/revoke", key))["code"] == "scope_missing"
    assert api.get(own, key).status_code == 200


def test_I6_without_the_tenants_scope_other_projects_are_not_there(api: Api, house: House, key: HeldKey) -> None:
    elsewhere = house.project_called("Elsewhere")
    other = house.key(project=elsewhere)
    for asked in (f"key={other.row.lookup}", f"project={elsewhere.pk}"):
        response = api.get(f"/api/usage/records?{asked}", key)
        assert (response.status_code, problem_of(response)["code"]) == (404, "not_found")


def test_I6_an_unknown_address_is_404_with_any_method_for_everybody(api: Api, key: HeldKey) -> None:
    for method in ("GET", "POST", "DELETE", "OPTIONS", "FROB"):
        for address in ("/api/", "/api/nothing", "/api/keys/not-an-id", "/api/key/", "/api/usage"):
            response = api.ask(method, address, key)
            assert (response.status_code, problem_of(response)["code"]) == (404, "not_found"), (method, address)


def test_I6_a_stranger_cannot_tell_a_house_by_its_model_prices(api: Api, strangers_key: HeldKey) -> None:
    house = make_house()
    model = api.get(f"/api/models/{house.model.name}", strangers_key).json()
    assert model["prices"] == []
    assert not model["is_callable"]
