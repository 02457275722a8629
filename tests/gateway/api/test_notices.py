"""Notices, webhooks and settings of an organisation through the API."""

import pytest
from pytest_django import Settings
from standardwebhooks import Webhook as Oracle

from identity.audit import Actor
from identity.models import AuditEvent, Notice, Tenant
from identity.notices import notify
from identity.scopes import Scope
from tests.gateway.api.conftest import Api, problem_of
from tests.identity.rude_server import serving
from tests.support.ledger import HeldKey, House

TAKEN = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
ENDS = {"model": "small", "ends_on": "2027-03-01", "replacement": "large"}


@pytest.fixture
def managing(house: House) -> HeldKey:
    """A key that may manage the organisation and nothing else."""
    return house.key(Scope.TENANT_MANAGE)


def test_notices_are_listed_newest_first_page_by_page(api: Api, house: House, managing: HeldKey) -> None:
    made = [notify(house.tenant, "model.deprecated", context=ENDS).pk for _ in range(3)]
    first = api.get("/api/notices?limit=2", managing).json()
    rest = api.get(first["next"].removeprefix("http://localhost"), managing).json()
    assert [notice["id"] for notice in first["results"] + rest["results"]] == made[::-1]
    assert rest["next"] is None
    one = api.get(f"/api/notices/{made[0]}", managing).json()
    assert (one["title"], one["kind"], one["context"]) == ("small ends on 1 March 2027", "model.deprecated", ENDS)
    assert one["link"].endswith(f"/t/{house.tenant.slug}/models/small")


def test_a_webhook_is_added_tested_rotated_and_deleted(api: Api, managing: HeldKey, settings: Settings) -> None:
    settings.WEBHOOKS_MAY_BE_PRIVATE = True
    with serving(TAKEN) as server:
        asked = {"name": "alarms", "url": f"http://127.0.0.1:{server.port}/in", "kinds": ["api_key.blocked"]}
        made = api.ask("POST", "/api/webhooks", managing, asked)
        assert made.status_code == 201
        address, secret = made["Location"], made.json()["secret"]
        assert "secret" not in api.get(address, managing).json()
        tested = api.ask("POST", f"{address}/test", managing).json()
        assert (tested["state"], tested["fault_status"]) == ("sent", 204)
        again = api.ask("POST", f"{address}/deliveries/{tested['id']}/send-again", managing).json()
        assert again["id"] == tested["id"]
    head, _, body = server.asked[0].partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    assert Oracle(secret).verify(body, headers)["type"] == "webhook.tested"
    assert headers["webhook-id"] == f"msg_{tested['id'].replace('-', '')}"
    rotated = api.ask("POST", f"{address}/rotate", managing).json()
    assert rotated["secret"] != secret
    assert rotated["old_secret_until"] is not None
    changed = api.ask("PUT", address, managing, asked | {"name": "other", "kinds": []}).json()
    assert (changed["name"], changed["kinds"]) == ("other", [])
    assert len(api.get(f"{address}/deliveries", managing).json()["results"]) == 1
    assert api.ask("DELETE", address, managing).status_code == 204
    assert api.get(address, managing).status_code == 404


def test_a_webhook_that_makes_no_sense_is_refused(api: Api, managing: HeldKey) -> None:
    for asked, field in (
        ({"name": "alarms", "url": "http://example.org/"}, "url"),
        ({"name": "alarms", "url": "https://example.org/", "kinds": ["moon.landed"]}, "kinds.0"),
        ({"name": "", "url": "https://example.org/"}, "name"),
        ({"name": "alarms", "url": "https://example.org/", "secret": "mine"}, "secret"),
    ):
        problem = problem_of(api.ask("POST", "/api/webhooks", managing, asked))
        assert problem["status"] == 400
        assert [error["field"] for error in problem["errors"]] == [field]


def test_an_organisation_has_ten_webhooks_at_most(api: Api, managing: HeldKey) -> None:
    asked = {"name": "alarms", "url": "https://example.org/"}
    statuses = [api.ask("POST", "/api/webhooks", managing, asked).status_code for _ in range(11)]
    assert statuses == [201] * 10 + [409]


def test_the_settings_are_read_and_changed_and_the_audit_names_the_key(
    api: Api, house: House, key: HeldKey, managing: HeldKey
) -> None:
    assert api.get("/api/organisation", key).json()["time_zone"] == "Europe/Paris"
    assert api.ask("PATCH", "/api/organisation", key, {"name": "Theirs"}).status_code == 403
    changed = api.ask("PATCH", "/api/organisation", managing, {"time_zone": "Asia/Tokyo"}).json()
    tenant = Tenant.objects.get(pk=house.tenant.pk)
    assert changed["time_zone"] == tenant.time_zone == "Asia/Tokyo"
    assert tenant.name == house.tenant.name
    event = AuditEvent.objects.filter(tenant=tenant).latest("sequence")
    assert (event.action, event.actor) == ("tenant.time_zone_changed", Actor.key(managing.row).name)
    assert Notice.objects.filter(tenant=tenant, kind="tenant.time_zone_changed").exists()
    for wrong in ({"time_zone": "Mars/Olympus"}, {"name": ""}, {"slug": "ours"}):
        assert api.ask("PATCH", "/api/organisation", managing, wrong).status_code == 400
