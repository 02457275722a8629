"""An export has what the ledger has, whatever the file, and is written once, whoever is killed meanwhile."""

import hashlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest

from billing.exports import run as export_run
from billing.exports.exports import (
    OPEN_MAX,
    Wanted,
    ask_export,
    cancel_export,
    content_of,
    download,
    export_for,
    exports_of,
)
from billing.models import Export, ExportPart
from billing.pricing import Quantities
from identity import access
from identity.access import Caller
from identity.errors import Conflict, Forbidden, Invalid, NotFound
from identity.models import AuditEvent, Notice, Project, Role
from identity.projects import create_project
from tests.support.exported import ask, finish, make, sheet_of, take, today, wanted
from tests.support.history import history_of
from tests.support.ledger import House, LedgerGateway, ledger_gateway, make_house
from tests.support.people import TESTS, make_cast, make_person

pytestmark = pytest.mark.usefixtures("database")
FORMATS = ("csv", "xlsx", "jsonl", "parquet")
ROOT = Path(__file__).resolve().parents[2]
OCTOBER: dict[str, Any] = {"first_day": date(2025, 10, 1), "last_day": date(2025, 10, 31)}


@pytest.fixture
def house() -> House:
    return make_house()


@pytest.fixture
def gateway(gateway_database_url: str) -> Iterator[LedgerGateway]:
    with ledger_gateway(gateway_database_url) as gateway:
        yield gateway


def use(gateway: LedgerGateway, house: House, requests: int = 7) -> int:
    """Some requests of a key; what they cost in all."""
    key = house.key().row
    for number in range(requests):
        gateway.complete(house, key, Quantities(input=100, output=50, cached=number))
    return requests * 45_000 + 50 * sum(range(requests))


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("kind", ["requests", "days"])
def test_every_file_adds_up_to_the_ledger_to_the_nano_euro(
    gateway: LedgerGateway, house: House, kind: str, file_format: str
) -> None:
    cost = use(gateway, house)
    made = make(house, kind, file_format)
    assert made.total("cost_eur") == made.export.total_nano_eur == cost
    assert made.export.rows == len(made.rows) == (7 if kind == "requests" else 1)
    assert made.export.sha256 == hashlib.sha256(made.data).hexdigest()
    assert made.export.percent == 100


@pytest.mark.parametrize("file_format", FORMATS)
def test_the_same_export_is_the_same_bytes_whatever_happens_meanwhile(
    gateway: LedgerGateway, house: House, file_format: str
) -> None:
    use(gateway, house)
    first, second = ask(house, "requests", file_format), ask(house, "requests", file_format)
    Export.objects.filter(pk=second.pk).update(cut_at=first.cut_at)
    before = finish(first)
    use(gateway, house, 2)
    assert finish(second).data == before.data


def test_names_of_a_month_that_is_over_stay_as_they_were_first_exported(house: House, owner_database_url: str) -> None:
    key = house.key(project=house.project_called("Before")).row
    with history_of(house, owner_database_url) as history:
        for day in range(1, 6):
            history.record(key, datetime(2025, 10, day, 12, tzinfo=ZoneInfo("Europe/Paris")))
    first = {file_format: make(house, "requests", file_format, **OCTOBER) for file_format in FORMATS}
    Project.objects.filter(pk=key.project_id).update(name="After", cost_centre="42")

    assert all(made.export.is_final for made in first.values())
    assert {row["project"] for row in first["jsonl"].rows} == {"Before"}
    for file_format, made in first.items():
        assert make(house, "requests", file_format, **OCTOBER).data == made.data
    assert {row["project"] for row in make(house, "days", "jsonl", **OCTOBER).rows} == {"Before"}


def test_days_are_those_of_the_time_zone(house: House, owner_database_url: str) -> None:
    key = house.key().row
    with history_of(house, owner_database_url) as history:
        for at in ("2025-09-30T21:59Z", "2025-09-30T22:00Z", "2025-10-31T22:59Z", "2025-10-31T23:00Z"):
            history.record(key, datetime.fromisoformat(at))
    for kind in ("requests", "days"):
        rows = make(house, kind, "jsonl", **OCTOBER).rows
        assert [row["day"] for row in rows] == ["2025-10-01", "2025-10-31"]


def test_a_formula_stays_a_text(gateway: LedgerGateway, house: House) -> None:
    names = ["=1+1", "+1", "-1", "@SUM(1)", "\t=1"]
    for name in names:
        project = create_project(house.tenant, "New", actor=TESTS)
        Project.objects.filter(pk=project.pk).update(name=name)
        gateway.complete(house, house.key(project=project).row)
    assert [row["project"] for row in make(house, "requests", "csv").rows] == [f"'{name}" for name in names]
    made = make(house, "requests", "xlsx")
    assert [row["project"] for row in made.rows] == names
    assert b"<f>" not in made.data
    for file_format in ("jsonl", "parquet"):
        assert [row["project"] for row in make(house, "requests", file_format).rows] == names


def test_a_sheet_has_typed_cells_and_totals(gateway: LedgerGateway, house: House) -> None:
    cost = use(gateway, house)
    head, *_rows, totals = sheet_of(make(house, "requests", "xlsx").data)
    last = dict(zip(head, totals, strict=True))
    assert last["request_id"] == "total"
    assert (last["input_quantity"], last["output_quantity"]) == (700, 350)
    assert round(last["cost_eur"] * 10**9) == cost
    [row] = make(house, "days", "xlsx").rows
    assert isinstance(row["day"], datetime)
    assert isinstance(row["requests"], int)


def test_filters_narrow_the_file(gateway: LedgerGateway, house: House) -> None:
    other = house.key(project=house.project_called("Other")).row
    use(gateway, house, 2)
    gateway.complete(house, other)
    for kind in ("requests", "days"):
        assert make(house, kind, project_id=other.project_id).export.total_nano_eur == 45_000
        assert make(house, kind, key=other.lookup).export.total_nano_eur == 45_000
        assert make(house, kind, model=house.model.name).export.total_nano_eur == 3 * 45_000 + 50
        assert make(house, kind, model="none").rows == []


def test_ledger_entries_are_exported(gateway: LedgerGateway, house: House) -> None:
    key = house.key().row
    withheld = [gateway.complete(house, key) for _ in range(4)]
    gateway.connection.execute("select give_back_v1(%s, %s)", [gateway.incarnation, withheld])
    made = make(house, "ledger", "jsonl")
    assert made.total("amount_eur") == made.export.total_nano_eur == 4 * 45_000
    assert {row["kind"] for row in made.rows} == {"refund"}
    assert {row["request_id"] for row in made.rows} == {str(request_id) for request_id in withheld}


_WRITER = """
import time, django
django.setup()
from billing.exports import run as export_run
from billing.models import Export
export = export_run.take_export({public_id!r})
while True:
    export_run._write_part(export, 3)
    print(export.parts_count, flush=True)
    time.sleep(0.05)
"""


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_killed_worker_costs_nothing(gateway: LedgerGateway, house: House, file_format: str) -> None:
    use(gateway, house, 20)
    export, undisturbed = ask(house, "requests", file_format), ask(house, "requests", file_format)
    Export.objects.filter(pk=undisturbed.pk).update(cut_at=export.cut_at)
    take(export)
    Export.objects.filter(pk=export.pk).update(lease=None, lease_until=None)
    program = _WRITER.format(public_id=str(export.public_id))
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline().strip() == "1"
        assert writer.stdout.readline().strip() == "2"
        writer.send_signal(signal.SIGKILL)

    export.refresh_from_db()
    assert export.state == Export.State.RUNNING
    assert 2 <= ExportPart.objects.filter(export=export).count() == export.parts_count < 7
    assert export_run.take_export(export.public_id) is None, "its lease has not run out"
    Export.objects.filter(pk=export.pk).update(lease_until=export.created_at)
    assert finish(export).data == finish(undisturbed).data


def test_two_workers_never_both_write(gateway: LedgerGateway, house: House) -> None:
    use(gateway, house, 12)
    export, alone = ask(house), ask(house)
    Export.objects.filter(pk=alone.pk).update(cut_at=export.cut_at)
    first = take(export)
    Export.objects.filter(pk=export.pk).update(lease_until=export.created_at)  # it was thought to be lost
    second = take(export)
    export_run.write_slice(second, time.monotonic(), 3)
    assert export_run.write_slice(first, time.monotonic() + 60, 3) == 0
    Export.objects.filter(pk=export.pk).update(lease=None, lease_until=None, served_at=None)
    assert finish(export).data == finish(alone).data


def test_cancelling_in_the_middle_frees_everything(gateway: LedgerGateway, house: House) -> None:
    use(gateway, house, 12)
    export = ask(house)
    taken = take(export)
    export_run.write_slice(taken, time.monotonic(), 3)
    taken.refresh_from_db()
    assert taken.parts_count == 1
    writing = take(export)
    cancel_export(by=Caller.system("tests", house.tenant), public_id=export.public_id)
    assert export_run.write_slice(writing, time.monotonic() + 60, 3) == 0
    export.refresh_from_db()
    assert (export.state, export.stored_bytes) == (Export.State.CANCELLED, 0)
    assert not ExportPart.objects.filter(export=export).exists()
    with pytest.raises(Conflict):
        cancel_export(by=Caller.system("tests", house.tenant), public_id=export.public_id)


def test_what_is_not_committed_yet_is_waited_for(gateway: LedgerGateway, house: House) -> None:
    """A charge that began before the cut and commits after it was read would be missed."""
    key = house.key().row
    admitted = gateway.admit(house, key)
    begun, may_end = threading.Event(), threading.Event()

    def charge() -> None:
        with gateway.connection.transaction():
            gateway.settle(house, admitted.request_id, Quantities(input=100, output=50))
            begun.set()
            assert may_end.wait(20)

    thread = threading.Thread(target=charge)
    thread.start()
    try:
        assert begun.wait(20)
        export = ask(house)
        assert export_run.take_export(export.public_id) is None
    finally:
        may_end.set()
        thread.join()
    assert finish(export).export.rows == 1


def test_a_request_under_way_keeps_a_month_from_being_final(
    gateway: LedgerGateway, house: House, owner_database_url: str
) -> None:
    admitted = gateway.admit(house, house.key().row)
    with psycopg.connect(owner_database_url, autocommit=True) as owner:
        owner.execute(
            "update billing_hold set admitted_at = '2025-10-31T12:00Z' where request_id = %s", [admitted.request_id]
        )
    assert not make(house, "days", **OCTOBER).export.is_final
    assert make(house, "days", first_day=date(2025, 9, 1), last_day=date(2025, 9, 30)).export.is_final


def test_a_file_expires(gateway: LedgerGateway, house: House) -> None:
    use(gateway, house, 1)
    made = make(house)
    caller = Caller.system("tests", house.tenant)
    _, pieces = download(by=caller, public_id=made.export.public_id)
    assert b"".join(pieces) == made.data
    Export.objects.filter(pk=made.export.pk).update(expires_at=made.export.created_at)
    with pytest.raises(NotFound):
        download(by=caller, public_id=made.export.public_id)
    export_run.forget_exports()
    made.export.refresh_from_db()
    assert made.export.state == Export.State.EXPIRED
    assert not ExportPart.objects.filter(export=made.export).exists()


def test_who_may_read_the_figures_may_have_the_file() -> None:
    cast = make_cast()
    fay, ann = make_person("fay", cast.tenant, Role.FINANCE), make_person("ann", cast.tenant, Role.AUDITOR)
    october = Wanted(Export.Kind.REQUESTS, Export.Format.CSV, **OCTOBER)
    for person in (cast.alice, fay, ann):
        caller = access.caller_for_person(person, cast.tenant.slug)
        export = ask_export(by=caller, wanted=october)
        assert export in exports_of(caller)
    bob = access.caller_for_person(cast.bob, cast.tenant.slug)
    charlie = access.caller_for_person(cast.charlie, cast.strangers.slug)
    for refused, error in ((bob, Forbidden), (charlie, NotFound)):
        with pytest.raises(error):
            export_for(refused, export.public_id)
    with pytest.raises(Forbidden):
        ask_export(by=bob, wanted=october)
    told = AuditEvent.objects.filter(tenant=cast.tenant, action="export.asked")
    assert told.count() == 3


def test_who_asked_is_told(gateway: LedgerGateway, house: House) -> None:
    fay = make_person("fay", house.tenant, Role.FINANCE)
    export = ask_export(by=access.caller_for_person(fay, house.tenant.slug), wanted=wanted(house))
    finish(export)
    [notice] = Notice.objects.filter(tenant=house.tenant, kind="export.ready")
    assert notice.context["export"] == str(export.public_id)


def test_nonsense_is_refused(house: House) -> None:
    caller = Caller.system("tests", house.tenant)
    day = today(house)
    for first, last in ((day, day - timedelta(days=1)), (day + timedelta(days=2), day + timedelta(days=3))):
        with pytest.raises(Invalid):
            ask_export(by=caller, wanted=wanted(house, first_day=first, last_day=last))
    with pytest.raises(Invalid):
        ask_export(by=caller, wanted=wanted(house, first_day=date(2020, 1, 1)))
    with pytest.raises(NotFound):
        ask_export(by=caller, wanted=wanted(house, key=make_house().key().row.lookup))
    for _ in range(OPEN_MAX):
        ask_export(by=caller, wanted=wanted(house))
    with pytest.raises(Conflict):
        ask_export(by=caller, wanted=wanted(house))


def test_a_tenant_has_so_much_room(gateway: LedgerGateway, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    use(gateway, house, 1)
    monkeypatch.setattr(export_run, "STORED_BYTES_MAX", 10)
    export = ask(house)
    export_run.write_slice(take(export), time.monotonic() + 60, 3)
    export.refresh_from_db()
    assert (export.state, export.fault) == (Export.State.FAILED, Export.Fault.NO_ROOM)
    assert b"".join(content_of(export)) == b""
