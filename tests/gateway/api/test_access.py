"""I6 at the front door of programs: who may ask what, over every route that there is."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

import pytest
from django.urls import URLPattern, get_resolver
from django.utils import timezone

from billing.budgets import set_budget
from billing.limits import set_limit
from billing.models import Scope as Holder
from identity.access import Caller
from identity.access_reviews import start_review
from identity.api_keys import revoke_api_key
from identity.invitations import invite
from identity.key_format import make_key
from identity.members import add_member
from identity.models import (
    AccessReview,
    IdentityProvider,
    LinkedIdentity,
    NoticeDelivery,
    Person,
    Project,
    ProviderVersion,
    Role,
    Tenant,
)
from identity.notices import notify
from identity.scopes import Scope
from identity.support_sessions import open_session
from identity.webhooks import add_webhook
from models_catalog.models import ModelAlias
from tests.gateway.api.conftest import Api, problem_of
from tests.support.ledger import HeldKey, House, LedgerGateway, make_house, unique
from tests.support.people import TESTS, make_operator, make_person


class Case(NamedTuple):
    """An operation, and what it answers to the tenant's weak key, to its strong key, to a stranger's strong key.

    A stranger's 200 is about the stranger's own things: nothing of ours may be in it.
    """

    address: Callable[["Ours"], str]
    weak: int
    strong: int
    stranger: int
    body: Callable[["Ours"], object] = lambda ours: None


@dataclass(frozen=True)
class Ours:
    """Things of a tenant, and the words that must not reach a stranger."""

    house: House
    weak: HeldKey
    strong: HeldKey
    request_id: str
    refused_id: str
    alias: str

    @property
    def secrets(self) -> list[str]:
        return [
            self.house.tenant.slug,
            self.weak.row.lookup,
            self.strong.row.lookup,
            self.request_id,
            self.refused_id,
            self.alias,
        ]


def new_key(ours: Ours) -> object:
    return {"name": "a new one", "scopes": ["inference"]}


def new_webhook(ours: Ours) -> object:
    # Nothing listens there, and private addresses are refused before anybody asks.
    return {"name": "alarms", "url": "https://127.0.0.1:1/in", "kinds": ["model.deprecated"]}


def webhook_of(ours: Ours) -> str:
    """The address of a new one."""
    webhook, _ = add_webhook(by=Caller.system("tests", ours.house.tenant), name="alarms", url="https://127.0.0.1:1/in")
    return f"/api/webhooks/{webhook.public_id}"


def notice_of(ours: Ours) -> int:
    context = {"model": ours.alias, "ends_on": "2027-03-01", "replacement": "large"}
    return notify(ours.house.tenant, "model.deprecated", context=context).pk


def delivery_of(ours: Ours) -> str:
    address = webhook_of(ours)
    notice_of(ours)
    delivery = NoticeDelivery.objects.filter(webhook__tenant=ours.house.tenant).latest("id")
    return f"{address}/deliveries/{delivery.public_id}/send-again"


def member_of(ours: Ours) -> UUID:
    """A developer of the project."""
    person = make_person("dora")
    system = Caller.system("tests", ours.house.tenant)
    add_member(by=system, person=person, role=Role.DEVELOPER, projects=[ours.house.project])
    return person.pseudonym


def linked_member_of(ours: Ours) -> UUID:
    """A developer of the project with an account at the organisation's own provider."""
    pseudonym, tenant = member_of(ours), ours.house.tenant
    provider, _ = IdentityProvider.objects.get_or_create(audience="tenant", tenant=tenant, defaults={"name": "own"})
    issuer = f"https://{tenant.slug}.example"
    ProviderVersion.objects.get_or_create(
        provider=provider, state="active", defaults={"issuer": issuer, "client_id": "b", "sealed_secret": b""}
    )
    person = Person.objects.get(pseudonym=pseudonym)
    LinkedIdentity.objects.create(person=person, issuer=issuer, subject=str(pseudonym))
    return pseudonym


def placed_role(ours: Ours) -> dict[str, object]:
    return {"role": "developer", "project_ids": [ours.house.project.pk]}


def address_of_erin() -> str:
    return f"{unique('erin')}@example.org"


def invitation_of(ours: Ours) -> int:
    system = Caller.system("tests", ours.house.tenant)
    return invite(by=system, email=address_of_erin(), role=Role.DEVELOPER, projects=[ours.house.project]).pk


def review_of(ours: Ours) -> int:
    open_ones = AccessReview.objects.filter(tenant=ours.house.tenant, signed_off_at=None)
    return (open_ones.first() or start_review(by=Caller.system("tests", ours.house.tenant))).pk


def support_of(ours: Ours) -> int:
    slug = ours.house.tenant.slug
    return open_session(operator=make_operator(), slug=slug, reason="why", duration=timedelta(hours=1)).pk


A_BUDGET: dict[str, object] = {"period": "month", "limit_nano_eur": 10**9}
A_LIMIT: dict[str, object] = {"what": "tokens", "window": "day", "amount": 10**6}
OPEN = {"schema", "docs", "nowhere", "nowhere-root"}
CASES = {
    ("own-key", "GET"): Case(lambda ours: "/api/key", 200, 200, 200),
    ("keys", "GET"): Case(lambda ours: "/api/keys", 403, 200, 200),
    ("keys", "POST"): Case(lambda ours: "/api/keys", 403, 201, 201, new_key),
    ("key", "GET"): Case(lambda ours: f"/api/keys/{ours.strong.row.lookup}", 403, 200, 404),
    ("key", "DELETE"): Case(lambda ours: f"/api/keys/{spare_key(ours)}", 403, 204, 404),
    ("revoke-key", "POST"): Case(lambda ours: f"/api/keys/{spare_key(ours)}/revoke", 403, 200, 404),
    ("key", "PATCH"): Case(
        lambda ours: f"/api/keys/{spare_key(ours)}", 403, 200, 404, lambda ours: {"name": "another name"}
    ),
    ("rotate-key", "POST"): Case(lambda ours: f"/api/keys/{spare_key(ours)}/rotate", 403, 200, 404),
    ("end-previous-secret", "POST"): Case(
        lambda ours: f"/api/keys/{spare_key(ours)}/end-previous-secret", 403, 200, 404
    ),
    ("key-rules", "GET"): Case(lambda ours: "/api/key-rules", 403, 200, 200),
    ("usage-records", "GET"): Case(lambda ours: "/api/usage/records", 200, 200, 200),
    ("usage-summary", "GET"): Case(lambda ours: "/api/usage/summary?by=key,project,model", 200, 200, 200),
    ("usage-refusals", "GET"): Case(lambda ours: "/api/usage/refusals", 200, 200, 200),
    ("usage-refusal-counts", "GET"): Case(lambda ours: "/api/usage/refusals/counts", 200, 200, 200),
    ("audit-events", "GET"): Case(lambda ours: "/api/audit", 403, 200, 200),
    ("audit-file", "GET"): Case(lambda ours: "/api/audit/export", 403, 200, 200),
    ("audit-checkpoints", "GET"): Case(lambda ours: "/api/audit/checkpoints", 403, 200, 200),
    ("audit-verification", "GET"): Case(lambda ours: "/api/audit/verification", 403, 200, 200),
    ("audit-verification", "POST"): Case(lambda ours: "/api/audit/verification", 403, 200, 200),
    ("budgets", "GET"): Case(lambda ours: "/api/budgets", 200, 200, 200),
    ("limits", "GET"): Case(lambda ours: "/api/limits", 200, 200, 200),
    ("tenant-notices", "GET"): Case(lambda ours: "/api/notices", 403, 200, 200),
    ("tenant-notice", "GET"): Case(lambda ours: f"/api/notices/{notice_of(ours)}", 403, 200, 404),
    ("tenant-webhooks", "GET"): Case(lambda ours: "/api/webhooks", 403, 200, 200),
    ("tenant-webhooks", "POST"): Case(lambda ours: "/api/webhooks", 403, 201, 201, new_webhook),
    ("tenant-webhook", "GET"): Case(webhook_of, 403, 200, 404),
    ("tenant-webhook", "PUT"): Case(webhook_of, 403, 200, 404, new_webhook),
    ("tenant-webhook", "DELETE"): Case(webhook_of, 403, 204, 404),
    ("tenant-webhook-rotate", "POST"): Case(lambda ours: f"{webhook_of(ours)}/rotate", 403, 200, 404),
    ("tenant-webhook-test", "POST"): Case(lambda ours: f"{webhook_of(ours)}/test", 403, 200, 404),
    ("tenant-webhook-deliveries", "GET"): Case(lambda ours: f"{webhook_of(ours)}/deliveries", 403, 200, 404),
    ("tenant-webhook-again", "POST"): Case(delivery_of, 403, 200, 404),
    ("tenant-members", "GET"): Case(lambda ours: "/api/members", 403, 200, 200),
    ("tenant-member", "GET"): Case(lambda ours: f"/api/members/{member_of(ours)}", 403, 200, 404),
    ("tenant-member", "PATCH"): Case(lambda ours: f"/api/members/{member_of(ours)}", 403, 200, 404, placed_role),
    ("tenant-member", "DELETE"): Case(lambda ours: f"/api/members/{member_of(ours)}", 403, 204, 404),
    ("tenant-member-identity", "DELETE"): Case(
        lambda ours: f"/api/members/{linked_member_of(ours)}/identity", 403, 204, 404
    ),
    ("tenant-invitations", "GET"): Case(lambda ours: "/api/invitations", 403, 200, 200),
    ("tenant-invitations", "POST"): Case(
        lambda ours: "/api/invitations", 403, 201, 404, lambda ours: placed_role(ours) | {"email": address_of_erin()}
    ),
    ("tenant-invitation", "DELETE"): Case(lambda ours: f"/api/invitations/{invitation_of(ours)}", 403, 204, 404),
    ("tenant-access-reviews", "GET"): Case(lambda ours: "/api/access-reviews", 403, 200, 200),
    ("tenant-access-review", "GET"): Case(lambda ours: f"/api/access-reviews/{review_of(ours)}", 403, 200, 404),
    ("tenant-support-sessions", "GET"): Case(lambda ours: "/api/support-sessions", 403, 200, 200),
    ("tenant-support-session", "DELETE"): Case(lambda ours: f"/api/support-sessions/{support_of(ours)}", 403, 204, 404),
    ("organisation", "GET"): Case(lambda ours: "/api/organisation", 200, 200, 200),
    ("organisation", "PATCH"): Case(lambda ours: "/api/organisation", 403, 200, 200, lambda ours: {"name": "Ours"}),
    ("budgets", "POST"): Case(lambda ours: "/api/budgets", 403, 200, 404, lambda ours: placed(ours) | A_BUDGET),
    ("budget", "DELETE"): Case(lambda ours: f"/api/budgets/{spare_budget(ours)}", 403, 204, 404),
    ("limits", "POST"): Case(lambda ours: "/api/limits", 403, 200, 404, lambda ours: placed(ours) | A_LIMIT),
    ("limit", "DELETE"): Case(lambda ours: f"/api/limits/{spare_limit(ours)}", 403, 204, 404),
    ("projects", "GET"): Case(lambda ours: "/api/projects", 200, 200, 200),
    ("projects", "POST"): Case(lambda ours: "/api/projects", 403, 201, 201, lambda ours: {"name": unique("project")}),
    ("project", "GET"): Case(lambda ours: f"/api/projects/{ours.house.project.pk}", 200, 200, 404),
    ("project", "PATCH"): Case(
        lambda ours: f"/api/projects/{ours.house.project.pk}", 403, 200, 404, lambda ours: {"cost_centre": "CC-7"}
    ),
    ("archive-project", "POST"): Case(lambda ours: f"/api/projects/{spare_project(ours)}/archive", 404, 200, 404),
    ("models", "GET"): Case(lambda ours: "/api/models", 200, 200, 200),
    ("model", "GET"): Case(lambda ours: f"/api/models/{ours.alias}", 200, 200, 404),
}


def spare_key(ours: Ours) -> str:
    return ours.house.key().row.lookup


def spare_project(ours: Ours) -> int:
    return ours.house.project_called(unique("spare")).pk


def spare_budget(ours: Ours) -> int:
    return set_budget(on=ours.house.project, period="day", limit_nano_eur=10**9, actor=TESTS).pk


def spare_limit(ours: Ours) -> int:
    return set_limit(on=ours.house.project, what="requests", window="hour", amount=1_000, actor=TESTS).pk


def placed(ours: Ours) -> dict[str, object]:
    return {"scope": "project", "project_id": ours.house.project.pk}


def routes() -> Iterator[tuple[str, str]]:
    """Each named route under /api/ with each of its methods."""
    [api] = [entry for entry in get_resolver().url_patterns if str(entry.pattern) == "api/"]
    for route in api.url_patterns:  # type: ignore[union-attr]
        assert isinstance(route, URLPattern)
        assert route.name
        view = getattr(route.callback, "view_class", None)
        assert view is not None
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
