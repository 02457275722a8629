"""Exports of all organisations by the scripts of those who bill them."""

from datetime import UTC, datetime

import pytest

from billing.exports.of_all import cancel_export_of_all
from billing.exports.schedules import ask_monthly_exports
from billing.models import Export, ExportSchedule
from identity.models import AuditEvent, Notice, OperatorRole
from identity.notices import inbox
from identity.scopes import OperatorScope
from tests.gateway.api.conftest import Api, problem_of
from tests.support.exported import ask_of_all, finish
from tests.support.ledger import HeldKey, House, LedgerGateway
from tests.support.operators import RUNS, HeldOperatorKey, held_operator_key
from tests.support.people import make_operator

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


def test_a_month_that_is_over_for_all_is_exported_once_and_who_bills_is_told(api: Api, script: HeldOperatorKey) -> None:
    biller, runs = make_operator(OperatorRole.BILLING), make_operator(OperatorRole.PLATFORM)
    address, monthly = "/api/operator/export-schedules", {"content": "days", "format": "parquet"}
    ExportSchedule.objects.filter(tenant=None, kind="all_days").delete()
    made = api.ask("POST", address, script, monthly)
    assert (made.status_code, made.json()["content"]) == (201, "days")
    assert api.ask("POST", address, script, monthly).status_code == 409
    assert api.ask("POST", address, script, monthly | {"content": "requests"}).status_code == 400
    mine = ExportSchedule.objects.filter(pk=made.json()["id"])
    mine.update(next_month="2025-10-01")
    before = set(Export.objects.filter(tenant=None).values_list("pk", flat=True))
    asked = Export.objects.filter(tenant=None, is_scheduled=True, kind="all_days").exclude(pk__in=before)
    # Midnight twelve hours after that of UTC is the last, and two hours are left for what is under way.
    ask_monthly_exports(datetime(2025, 11, 1, 13, 59, tzinfo=UTC))
    assert not asked.exists()
    for _ in range(2):
        ask_monthly_exports(datetime(2025, 11, 1, 14, 1, tzinfo=UTC))
    export = asked.get()
    assert (str(export.first_day), str(export.last_day)) == ("2025-10-01", "2025-10-31")
    assert finish(export).export.is_final
    [notice] = Notice.objects.filter(kind="export.ready_of_all", context__export=str(export.public_id))
    assert notice in [entry.notice for entry in inbox(biller)]
    assert notice not in [entry.notice for entry in inbox(runs)]
    targets = [str(made.json()["id"]), str(export.public_id)]  # of other kinds others have the same numbers
    told = AuditEvent.objects.filter(tenant=None, action__startswith="export.", target__in=targets)
    assert [one.action for one in told.order_by("sequence")] == ["export.scheduled", "export.asked"]

    one, reader = f"{address}/{made.json()['id']}", held_operator_key(OperatorScope.BILLING_READ)
    months = {row["id"]: row["next_month"] for row in api.get(address, reader).json()["results"]}
    assert months[made.json()["id"]] == "2025-11-01"
    assert [api.ask("DELETE", one, who).status_code for who in (reader, script, script)] == [403, 204, 404]


def test_I6_an_organisations_monthly_export_is_none_of_the_operators(
    api: Api, script: HeldOperatorKey, house: House, strong_key: HeldKey
) -> None:
    theirs = api.ask("POST", "/api/export-schedules", strong_key, {"content": "days", "format": "jsonl"}).json()["id"]
    address = "/api/operator/export-schedules"
    assert theirs not in {row["id"] for row in api.get(address, script).json()["results"]}
    assert api.ask("DELETE", f"{address}/{theirs}", script).status_code == 404
    ours = api.ask("POST", address, script, {"content": "ledger", "format": "jsonl"}).json()["id"]
    try:
        assert ours not in {row["id"] for row in api.get("/api/export-schedules", strong_key).json()["results"]}
        assert api.ask("DELETE", f"/api/export-schedules/{ours}", strong_key).status_code == 404
    finally:
        assert api.ask("DELETE", f"{address}/{ours}", script).status_code == 204


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
