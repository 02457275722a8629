"""Exports of all organisations by the scripts of those who bill them."""

import pytest

from billing.exports.of_all import cancel_export_of_all
from billing.models import Export
from identity.models import AuditEvent
from identity.scopes import OperatorScope
from tests.gateway.api.conftest import Api, problem_of
from tests.support.exported import ask_of_all, finish
from tests.support.ledger import HeldKey, House, LedgerGateway
from tests.support.operators import RUNS, HeldOperatorKey, held_operator_key

ADDRESS = "/api/operator/exports"
OCTOBER = {"content": "days", "format": "jsonl", "first_day": "2025-10-01", "last_day": "2025-10-31"}


@pytest.fixture
def script(database: None) -> HeldOperatorKey:
    cancel_export_of_all(by=RUNS, public_id=ask_of_all(RUNS, "days").public_id)  # and what waited before
    return held_operator_key(OperatorScope.BILLING_WRITE)


def test_a_script_asks_follows_downloads_and_removes(
    api: Api, script: HeldOperatorKey, house: House, gateway: LedgerGateway
) -> None:
    gateway.complete(house, house.key().row)
    asked = api.ask("POST", ADDRESS, script, OCTOBER)
    assert asked.status_code == 201, asked.content
    export = asked.json()
    one = f"{ADDRESS}/{export['id']}"
    assert (asked["Location"], export["content"], export["state"]) == (one, "days", "waiting")
    assert api.get(f"{one}/file", script).status_code == 404
    made = finish(Export.objects.get(public_id=export["id"]))
    reader = held_operator_key(OperatorScope.BILLING_READ)
    assert api.get(one, reader).json()["state"] == "done"
    response = api.get(f"{one}/file", reader)
    assert (response.content, response["ETag"]) == (made.data, f'"{made.export.sha256}"')
    assert "all-organisations-days-2025-10-01" in response["Content-Disposition"]
    rest = api.get(f"{one}/file", reader, Range="bytes=1-")
    assert (rest.status_code, rest.content) == ((206, made.data[1:]) if made.data[1:] else (200, made.data))
    told = AuditEvent.objects.filter(tenant=None, target=export["id"]).order_by("sequence")
    assert [event.action for event in told] == ["export.asked", "export.downloaded", "export.downloaded"]
    assert export["id"] in {row["id"] for row in api.get(ADDRESS, reader).json()["results"]}
    assert api.ask("DELETE", one, reader).status_code == 403
    assert api.ask("DELETE", one, script).status_code == 204
    assert api.ask("DELETE", one, script).status_code == 409


def test_single_requests_and_nonsense_are_refused_at_their_field(api: Api, script: HeldOperatorKey) -> None:
    for changes, field in (
        ({"content": "requests"}, "content"),
        ({"content": "all_days"}, "content"),
        ({"format": "pdf"}, "format"),
        ({"last_day": "2025-09-30"}, "last_day"),
        ({"tenant": "acme"}, "tenant"),
    ):
        problem = problem_of(api.ask("POST", ADDRESS, script, OCTOBER | changes))
        assert (problem["status"], [error["field"] for error in problem["errors"]]) == (400, [field])


def test_I6_no_key_of_an_organisation_asks_for_or_finds_one(
    api: Api, script: HeldOperatorKey, strong_key: HeldKey
) -> None:
    export = api.ask("POST", ADDRESS, script, OCTOBER).json()
    assert api.get(f"/api/exports/{export['id']}", strong_key).status_code == 404
    assert api.get(f"/api/exports/{export['id']}/file", strong_key).status_code == 404
    assert api.ask("DELETE", f"/api/exports/{export['id']}", strong_key).status_code == 404
    assert export["id"] not in {row["id"] for row in api.get("/api/exports", strong_key).json()["results"]}
    for content in ("all_days", "all_focus"):
        refused = api.ask("POST", "/api/exports", strong_key, OCTOBER | {"content": content})
        assert [error["field"] for error in problem_of(refused)["errors"]] == ["content"]
        monthly = {"content": content, "format": "csv"}
        assert api.ask("POST", "/api/export-schedules", strong_key, monthly).status_code == 400
