"""Exports through the API: asked for, looked at, downloaded, removed; and those of every month."""

import hashlib
from datetime import UTC, datetime
from typing import Any

import pytest

from billing.exports.schedules import ask_monthly_exports
from billing.models import Export, ExportSchedule
from identity.models import Notice, Role
from identity.scopes import Scope
from tests.gateway.api.conftest import Api, problem_of
from tests.support.exported import ask, finish
from tests.support.ledger import HeldKey, House, LedgerGateway
from tests.support.people import make_person

OCTOBER = {"content": "requests", "format": "jsonl", "first_day": "2025-10-01", "last_day": "2025-10-31"}


@pytest.fixture
def reader(house: House) -> HeldKey:
    """A key that reads the usage of the tenant, and nothing of its billing."""
    return house.key(Scope.USAGE_READ_TENANT)


def asked(api: Api, key: HeldKey, **changes: str) -> dict[str, Any]:
    response = api.ask("POST", "/api/exports", key, OCTOBER | changes)
    assert response.status_code == 201, response.content
    body: dict[str, Any] = response.json()
    assert response["Location"] == f"/api/exports/{body['id']}"
    return body


def test_an_export_is_asked_for_looked_at_and_downloaded(
    api: Api, house: House, reader: HeldKey, gateway: LedgerGateway
) -> None:
    export = asked(api, reader)
    address = f"/api/exports/{export['id']}"
    assert (export["state"], export["percent"], export["sha256"]) == ("waiting", 0, "")
    assert problem_of(api.get(f"{address}/file", reader))["status"] == 404

    made = finish(Export.objects.get(public_id=export["id"]))

    told = api.get(address, reader).json()
    assert (told["state"], told["percent"], told["is_final"]) == ("done", 100, True)
    response = api.get(f"{address}/file", reader)
    assert response.content == made.data
    assert response["Content-Type"] == "application/jsonl"
    assert response["ETag"] == f'"{told["sha256"]}"'
    assert told["sha256"] == hashlib.sha256(response.content).hexdigest()
    assert int(response["Content-Length"]) == told["size_bytes"] == len(response.content)
    assert "requests-2025-10-01-2025-10-31.jsonl" in response["Content-Disposition"]
    assert export["id"] in {one["id"] for one in api.get("/api/exports", reader).json()["results"]}

    assert api.ask("DELETE", address, reader).status_code == 204
    assert api.get(f"{address}/file", reader).status_code == 404
    assert api.ask("DELETE", address, reader).status_code == 409


def test_a_download_that_broke_off_goes_on(api: Api, house: House, reader: HeldKey, gateway: LedgerGateway) -> None:
    for _ in range(7):
        gateway.complete(house, reader.row)
    made = finish(ask(house, "requests", "csv"))
    address, size = f"/api/exports/{made.export.public_id}/file", len(made.data)
    for start in (1, 700, size - 1):
        rest = api.get(address, reader, Range=f"bytes={start}-")
        assert (rest.status_code, rest.content) == (206, made.data[start:])
        assert rest["Content-Range"] == f"bytes {start}-{size - 1}/{size}"
        assert int(rest["Content-Length"]) == size - start
    of_this, of_another = f'"{made.export.sha256}"', '"another"'
    assert api.get(address, reader, Range="bytes=9-", If_Range=of_this).content == made.data[9:]
    assert api.get(address, reader, Range="bytes=9-", If_Range=of_another).content == made.data
    for nonsense in (f"bytes={size}-", "bytes=5-9", "bytes=-5", "lines=1-"):
        whole = api.get(address, reader, Range=nonsense)
        assert (whole.status_code, whole.content) == (200, made.data)


def test_billing_takes_a_scope_of_its_own(api: Api, house: House, reader: HeldKey, strong_key: HeldKey) -> None:
    ledger = asked(api, strong_key, content="ledger")
    assert api.ask("POST", "/api/exports", reader, OCTOBER | {"content": "ledger"}).status_code == 403
    assert api.get(f"/api/exports/{ledger['id']}", reader).status_code == 403
    assert ledger["id"] not in {one["id"] for one in api.get("/api/exports", reader).json()["results"]}
    schedule = {"content": "ledger", "format": "csv"}
    assert api.ask("POST", "/api/export-schedules", reader, schedule).status_code == 403


def test_nonsense_names_its_field(api: Api, reader: HeldKey) -> None:
    for changes, field in (
        ({"content": "prompts"}, "content"),
        ({"format": "pdf"}, "format"),
        ({"first_day": "2025-13-01"}, "first_day"),
        ({"last_day": "2025-09-30"}, "last_day"),
        ({"color": "red"}, "color"),
    ):
        problem = problem_of(api.ask("POST", "/api/exports", reader, OCTOBER | changes))
        assert (problem["status"], [error["field"] for error in problem["errors"]]) == (400, [field])


def test_a_month_that_is_over_is_exported_once_and_those_who_pay_are_told(
    api: Api, house: House, reader: HeldKey, gateway: LedgerGateway
) -> None:
    make_person("fay", house.tenant, Role.FINANCE)
    schedule = {"content": "days", "format": "xlsx"}
    made = api.ask("POST", "/api/export-schedules", reader, schedule)
    assert made.status_code == 201
    assert api.ask("POST", "/api/export-schedules", reader, schedule).status_code == 409
    mine = ExportSchedule.objects.filter(pk=made.json()["id"])
    mine.update(next_month="2025-10-01")
    # Midnight in Paris is an hour before that of UTC, and two hours are left for what is under way.
    ask_monthly_exports(datetime(2025, 11, 1, 0, 59, tzinfo=UTC))
    assert not Export.objects.filter(tenant=house.tenant).exists()
    for _ in range(2):
        ask_monthly_exports(datetime(2025, 11, 1, 1, 1, tzinfo=UTC))

    export = Export.objects.get(tenant=house.tenant)
    assert (str(export.first_day), str(export.last_day)) == ("2025-10-01", "2025-10-31")
    assert finish(export).export.is_final
    [notice] = Notice.objects.filter(tenant=house.tenant, kind="export.ready")
    assert notice.context["export"] == str(export.public_id)
    address = f"/api/export-schedules/{made.json()['id']}"
    assert [one["next_month"] for one in api.get("/api/export-schedules", reader).json()["results"]] == ["2025-11-01"]
    assert api.ask("DELETE", address, reader).status_code == 204
    assert api.ask("DELETE", address, reader).status_code == 404
