"""Exports in the console: asked for, followed, downloaded, removed, and made every month."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from django.utils.html import escape
from playwright.sync_api import expect

from billing.exports.exports import Wanted, ask_export
from billing.exports.of_all import cancel_export_of_all
from billing.models import Export, ExportSchedule
from identity.models import OperatorRole, Role
from tests.support.browser import open_browser
from tests.support.console import signed_in
from tests.support.exported import ask_of_all, finish, take
from tests.support.ledger import house_of, ledger_gateway
from tests.support.operators import RUNS
from tests.support.people import Cast, as_member, make_cast, make_operator, make_person

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def cast(gateway_database_url: str) -> Iterator[Cast]:
    """alice's organisation with a request."""
    cast = make_cast()
    house = house_of(cast.tenant)
    with ledger_gateway(gateway_database_url) as gateway:
        gateway.complete(house, house.key().row)
        yield cast


def address(cast: Cast, rest: str = "") -> str:
    return f"/t/{cast.tenant.slug}/usage/exports{rest}"


def form(**changes: str) -> dict[str, str]:
    today = timezone.now().date()
    days = {"first_day": str(today - timedelta(days=1)), "last_day": str(today + timedelta(days=1))}
    return {"kind": "requests", "format": "csv", "project": "", "key": "", "model": ""} | days | changes


def test_finance_asks_follows_and_downloads(cast: Cast) -> None:
    fay = signed_in(make_person("fay", cast.tenant, Role.FINANCE))
    assert "No export yet" in fay.get(address(cast)).content.decode()
    assert fay.post(address(cast, "/new"), form()).url == address(cast)  # type: ignore[attr-defined]
    export = Export.objects.get(tenant=cast.tenant)
    waiting = fay.get(address(cast), headers={"HX-Request": "true"}).content.decode()
    assert "waiting" in waiting
    assert 'hx-trigger="every 2s"' in waiting
    assert fay.get(address(cast, f"/{export.public_id}/file")).status_code == 404

    taken = take(export)
    Export.objects.filter(pk=export.pk).update(percent=42)
    assert 'value="42"' in fay.get(address(cast)).content.decode()
    Export.objects.filter(pk=taken.pk).update(lease=None, lease_until=None, cut_at=timezone.now())
    made = finish(export)

    page = fay.get(address(cast)).content.decode()
    assert "hx-trigger" not in page.partition('id="exports"')[2].partition("</section>")[0]
    response = fay.get(address(cast, f"/{export.public_id}/file"))
    assert b"".join(response) == made.data
    assert made.export.rows == 1

    removed = fay.post(address(cast, f"/{export.public_id}/remove"), follow=True).content.decode()
    assert "The export was removed." in removed
    again = fay.post(address(cast, f"/{export.public_id}/remove"), follow=True).content.decode()
    assert "The export had ended already." in again


def test_the_list_follows_by_itself_until_the_file_is_there(cast: Cast) -> None:
    by = as_member(cast.alice, cast.tenant)
    days: dict[str, Any] = {"first_day": date(2025, 10, 1), "last_day": date(2025, 10, 31)}
    export = ask_export(by=by, wanted=Wanted(Export.Kind.DAYS, Export.Format.XLSX, **days))
    with open_browser() as browser, browser.window(cast.alice) as window:
        page = window.open(address(cast))
        expect(page.get_by_text("waiting")).to_be_visible()
        made = finish(export)
        link = page.get_by_role("link", name="Download")
        expect(link).to_be_visible(timeout=10_000)
        with page.expect_download() as download:
            link.click()
        assert download.value.suggested_filename == made.export.file_name
        assert Path(download.value.path()).read_bytes() == made.data
        assert window.offences() == []


def test_what_makes_no_sense_is_said_at_its_field(cast: Cast) -> None:
    alice = signed_in(cast.alice)
    for changes, said in (
        ({"last_day": "2025-01-01"}, "Must not be before the first day."),
        ({"first_day": "2020-01-01"}, "Must be within 400 days of the first day."),
        ({"key": "nothing"}, "There is no such key."),
        ({"kind": "ledger", "model": "small"}, "choose no project, key or model"),
        ({"kind": "prompts"}, "prompts"),
    ):
        page = alice.post(address(cast, "/new"), form(**changes))
        assert page.status_code == 200
        assert escape(said) in page.content.decode()
    assert not Export.objects.filter(tenant=cast.tenant).exists()


def test_a_developer_sees_no_way_there(cast: Cast) -> None:
    usage = f"/t/{cast.tenant.slug}/usage"
    assert address(cast) in signed_in(cast.alice).get(usage).content.decode()
    bob = signed_in(cast.bob)
    assert address(cast) not in bob.get(usage).content.decode()
    assert bob.get(address(cast)).status_code == 403


def test_one_is_made_every_month_until_it_is_ended(cast: Cast) -> None:
    alice = signed_in(cast.alice)
    monthly = {"monthly-kind": "focus", "monthly-format": "parquet"}
    page = alice.post(address(cast, "/monthly"), monthly, follow=True).content.decode()
    assert "FOCUS cost and usage" in page
    assert "this export is made every month already" in alice.post(address(cast, "/monthly"), monthly).content.decode()
    schedule = ExportSchedule.objects.get(tenant=cast.tenant)
    alice.post(address(cast, f"/monthly/{schedule.pk}/end"))
    assert not ExportSchedule.objects.filter(tenant=cast.tenant).exists()


def test_who_bills_has_all_organisations_exported_every_month_until_it_is_ended() -> None:
    here, bill = "/operator/billing/exports", signed_in(make_operator(OperatorRole.BILLING))
    of_all = ExportSchedule.objects.filter(tenant=None, kind="all_ledger", format="xlsx")
    of_all.delete()
    monthly = {"monthly-kind": "ledger", "monthly-format": "xlsx"}
    shown = bill.post(f"{here}/monthly", monthly, follow=True).content.decode()
    assert "End the monthly export Ledger entries, Excel (XLSX)" in shown
    assert "This export is made every month already." in bill.post(f"{here}/monthly", monthly).content.decode()
    refused = bill.post(f"{here}/monthly", monthly | {"monthly-kind": "requests"})
    assert (refused.status_code, of_all.count()) == (200, 1)
    bill.post(f"{here}/monthly/{of_all.get().pk}/end")
    assert not of_all.exists()


def test_who_bills_asks_for_all_organisations_and_nobody_else_finds_it(cast: Cast) -> None:
    here, biller = "/operator/billing/exports", make_operator(OperatorRole.BILLING)
    cancel_export_of_all(by=RUNS, public_id=ask_of_all(RUNS, "days").public_id)
    bill = signed_in(biller)
    assert here in bill.get("/operator/billing").content.decode()
    wish = {"kind": "days", "format": "csv", "first_day": "2025-10-01", "last_day": "2025-10-31"}
    for changes, said in (
        ({"last_day": "2025-09-01"}, "Must not be before the first day."),
        ({"kind": "requests"}, "requests"),
        ({"kind": "all_days"}, "all_days"),
    ):
        refused = bill.post(f"{here}/new", wish | changes)
        assert refused.status_code == 200
        assert said in refused.content.decode()
    assert bill.post(f"{here}/new", wish)["Location"] == here
    export = Export.objects.filter(tenant=None).latest("pk")
    assert "waiting" in bill.get(here, headers={"HX-Request": "true"}).content.decode()
    made = finish(export)
    address = f"{here}/{export.public_id}"
    assert b"".join(bill.get(f"{address}/file")) == made.data
    assert f"{address}/remove" in bill.get(here).content.decode()

    for role in (OperatorRole.PLATFORM, OperatorRole.SUPPORT):
        other = signed_in(make_operator(role))
        for refused in (other.get(here), other.get(f"{address}/file"), other.post(f"{address}/remove")):
            assert refused.status_code == 403
    alice = signed_in(cast.alice)
    assert alice.get(f"{address}/file").status_code in (302, 404)
    theirs = f"/t/{cast.tenant.slug}/usage/exports/{export.public_id}"
    assert alice.get(f"{theirs}/file").status_code == alice.post(f"{theirs}/remove").status_code == 404

    assert "The export was removed." in bill.post(f"{address}/remove", follow=True).content.decode()
    assert "The export had ended already." in bill.post(f"{address}/remove", follow=True).content.decode()
