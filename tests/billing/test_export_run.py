"""Exports that cannot be made, wait for their turn, or have nothing in them."""

import time
from datetime import timedelta

import psycopg
import pytest
from django.utils import timezone

from billing.exports import run as export_run
from billing.exports.formats import WRITERS, xlsx_file
from billing.exports.rows import requests
from billing.models import Export, ExportPart
from identity.models import Notice, Role
from tests.support.exported import ask, finish, make, take
from tests.support.history import history_of
from tests.support.ledger import House, make_house
from tests.support.people import make_person

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def house() -> House:
    return make_house()


@pytest.fixture
def used(house: House, owner_database_url: str) -> House:
    """Five requests of yesterday."""
    key = house.key().row
    with history_of(house, owner_database_url) as history:
        for number in range(5):
            history.record(key, timezone.now() - timedelta(hours=3, minutes=number))
    return house


def left_of(export: Export) -> tuple[str, str, int]:
    """What became of it."""
    export.refresh_from_db()
    return export.state, export.fault, ExportPart.objects.filter(export=export).count()


def write(export: Export) -> None:
    export_run.write_slice(take(export), time.monotonic() + 60, 2)


@pytest.mark.parametrize("kind", ["requests", "days", "ledger", "focus"])
@pytest.mark.parametrize("file_format", list(WRITERS))
def test_nothing_is_a_file_too(house: House, kind: str, file_format: str) -> None:
    made = make(house, kind, file_format)
    assert (made.rows, made.export.rows, made.export.amount_nano_eur) == ([], 0, 0)


@pytest.mark.parametrize("parts", [1, 2, 5, 6])
def test_parts_end_where_they_may(used: House, parts: int) -> None:
    """The last part may be full, or have nothing."""
    made = finish(ask(used, "requests", "parquet"), rows_a_part=parts)
    assert len(made.rows) == 5
    assert len({row["request_id"] for row in made.rows}) == 5


def test_a_sheet_holds_so_many_rows(used: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xlsx_file, "ROWS_MAX", 4)
    export = ask(used, "requests", "xlsx")
    write(export)
    assert left_of(export) == ("failed", "too_many_rows", 0)
    assert len(make(used, "requests", "csv").rows) == 5


def test_what_goes_wrong_is_tried_again_and_not_for_ever(used: House, monkeypatch: pytest.MonkeyPatch) -> None:
    fay = make_person("fay", used.tenant, Role.FINANCE)
    export = ask(used)
    Export.objects.filter(pk=export.pk).update(person=fay)

    def fail(*_: object) -> None:
        raise psycopg.OperationalError

    with monkeypatch.context() as broken:
        broken.setattr(requests, "read", fail)
        for attempt in range(1, 5):
            with pytest.raises(psycopg.OperationalError):
                write(export)
            assert left_of(export) == ("running", "", 0)
            assert export.attempts == attempt
            assert export_run.take_export(export.public_id) is None, "not before a pause"
            Export.objects.filter(pk=export.pk).update(served_at=None)
    write(export)
    assert left_of(export)[:2] == ("done", "")

    lost = ask(used)
    Export.objects.filter(pk=lost.pk).update(person=fay, attempts=4)
    with monkeypatch.context() as broken:
        broken.setattr(requests, "read", fail)
        with pytest.raises(psycopg.OperationalError):
            write(lost)
    assert left_of(lost) == ("failed", "broken", 0)
    kinds = Notice.objects.filter(tenant=used.tenant).order_by("id").values_list("kind", flat=True)
    assert list(kinds) == ["export.ready", "export.failed"]


def test_what_nobody_writes_within_a_day_fails(used: House) -> None:
    export = ask(used)
    Export.objects.filter(pk=export.pk).update(created_at=timezone.now() - timedelta(days=2))
    export_run.forget_exports()
    assert left_of(export) == ("failed", "too_slow", 0)


def test_a_line_that_is_old_is_forgotten(used: House) -> None:
    export = make(used).export
    Export.objects.filter(pk=export.pk).update(created_at=timezone.now() - timedelta(days=91))
    export_run.forget_exports()
    assert not Export.objects.filter(pk=export.pk).exists()


def test_a_long_export_gives_way(used: House) -> None:
    """After its slice it waits until those that waited longer had theirs."""
    export = ask(used)
    export_run.write_slice(take(export), time.monotonic(), 2)
    export.refresh_from_db()
    assert (export.state, export.parts_count, export.lease) == ("running", 1, None)
    assert export.served_at is not None


def test_a_sweep_takes_what_is_due(used: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests' exports too, so that it may need several."""
    monkeypatch.setattr(export_run, "AT_ONCE_MAX", 1_000)
    mine = [ask(used), ask(used, "days", "xlsx")]
    until = time.monotonic() + 40
    while time.monotonic() < until and any(left_of(export)[0] != "done" for export in mine):
        export_run.write_exports(seconds=2, rows_a_part=2)
        time.sleep(0.05)
    assert [left_of(export)[0] for export in mine] == ["done", "done"]


def test_only_so_many_are_written_at_once(used: House, monkeypatch: pytest.MonkeyPatch) -> None:
    take(ask(used))
    monkeypatch.setattr(export_run, "AT_ONCE_MAX", 1)
    assert export_run.take_export() is None


def test_requests_that_are_no_longer_kept_are_said_to_be(house: House, owner_database_url: str) -> None:
    """In a transaction that is rolled back: a month is sealed for all tests, and lets nothing be written any more."""
    from django.db import connection, transaction

    from billing.exports.rows.kept import require_records
    from billing.exports.rows.source import NotKept, Scope

    key = house.key().row
    at = timezone.now().replace(year=2019, month=3, day=10)
    with history_of(house, owner_database_url) as history:
        history.record(key, at)
    scope = Scope(house.tenant.pk, "UTC", at.replace(day=1), at.replace(day=28), timezone.now(), is_final=True)
    require_records(scope)
    with transaction.atomic(), connection.cursor() as cursor:
        try:
            cursor.execute(
                "create temporary table billing_sealed_month on commit drop as"
                " select '2019-03-01'::date as month from generate_series(1, 1)"
            )
            with pytest.raises(NotKept):
                require_records(scope)
        finally:
            transaction.set_rollback(True)
