"""Which door an audit record tells of."""

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory

from console.audit_door import AuditDoor
from console.celery import app
from identity.api_keys import revoke_api_key
from identity.audit_context import Door, Origin, origin
from identity.models import ApiKey, AuditEvent
from tests.support.console import signed_in
from tests.support.people import TESTS, make_cast, make_key


@pytest.mark.parametrize(
    ("path", "door"),
    [
        ("/", Door.PAGE),
        ("/t/valbourg/keys", Door.PAGE),
        ("/api/keys", Door.API),
        ("/scim/v2/Users", Door.SCIM),
        ("/sign-in/abc", Door.SIGN_IN),
    ],
)
def test_X4_a_request_has_a_door_and_an_address(path: str, door: Door) -> None:
    seen: list[Origin] = []

    def view(request: HttpRequest) -> HttpResponse:
        seen.append(origin())
        return HttpResponse()

    request = RequestFactory().get(path, headers={"X-Forwarded-For": "192.0.2.7"}, REMOTE_ADDR="")
    AuditDoor(view)(request)
    assert [(seen[0].door, str(seen[0].address))] == [(door, "192.0.2.7")]
    assert origin().door == Door.COMMAND


def test_X4_a_task_comes_through_the_workers_door() -> None:
    @app.task(name="tests.tell_the_door")  # type: ignore[untyped-decorator]
    def tell() -> str:
        return origin().door.value

    assert tell.apply().get() == "worker"
    assert origin().door == Door.COMMAND


@pytest.mark.usefixtures("database")
def test_X4_what_a_known_person_or_key_is_refused_is_told_and_a_stranger_writes_into_no_tenants_chain() -> None:
    cast = make_cast()
    key, text = make_key(cast.tenant)
    other, _ = make_key(cast.strangers)
    address = f"/t/{cast.tenant.slug}/audit"
    links = AuditEvent.objects.filter(tenant=cast.tenant).count()
    assert signed_in(None).get(address).status_code == 302
    assert signed_in(cast.charlie).get(address).status_code == 404
    assert signed_in(cast.charlie).get(f"{address}/nowhere").status_code == 404
    assert AuditEvent.objects.filter(tenant=cast.tenant).count() == links
    [tried] = AuditEvent.objects.filter(tenant=None, actor=str(cast.charlie.pseudonym), action="access.refused")
    assert (tried.detail["status"], tried.detail["asked"], tried.door) == (404, {"slug": cast.tenant.slug}, "page")
    assert signed_in(cast.bob).get(address).status_code == 403
    api = Client(HTTP_HOST="localhost", HTTP_AUTHORIZATION=f"Bearer {text}")
    assert api.get("/api/keys").status_code == 403
    assert api.get(f"/api/keys/{other.lookup}").status_code == 404
    assert api.get("/api/nowhere").status_code == 404
    told = AuditEvent.objects.filter(tenant=cast.tenant, action="access.refused").order_by("sequence")
    assert [(event.actor, event.door, event.target, event.detail.get("lacks")) for event in told] == [
        (str(cast.bob.pseudonym), "page", "audit", "audit:read"),
        (key.lookup, "api", "keys", "scope_missing"),
        (key.lookup, "api", "key", "not_found"),
    ]


@pytest.mark.usefixtures("database")
def test_X4_a_key_that_opens_nothing_any_more_is_told_of_while_it_is_known() -> None:
    cast = make_cast()
    key, text = make_key(cast.tenant)
    api = Client(HTTP_HOST="localhost", HTTP_AUTHORIZATION=f"Bearer {text}")
    ApiKey.objects.filter(pk=key.pk).update(ip_ranges=["192.0.2.0/24"])
    assert api.get("/api/models").status_code == 403
    revoke_api_key(key, actor=TESTS)
    assert api.get("/api/models").status_code == 401
    other, guessed = make_key(cast.strangers)
    stranger = f"Bearer {guessed.replace(other.lookup, key.lookup)}"  # the look-up is known, the secret is another's
    assert Client(HTTP_HOST="localhost", HTTP_AUTHORIZATION=stranger).get("/api/models").status_code == 401
    assert Client(HTTP_HOST="localhost").get("/api/models").status_code == 401
    told = AuditEvent.objects.filter(tenant=cast.tenant, action="access.refused").order_by("sequence")
    assert [(event.actor, event.target, event.detail["status"], event.detail["lacks"]) for event in told] == [
        (key.lookup, "models", 403, "ip_not_allowed"),
        (key.lookup, "models", 401, "api_key_revoked"),
    ]
