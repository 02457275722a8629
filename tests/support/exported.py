"""Exports for tests: asked for and written here, and read with libraries that did not write them."""

import csv
import io
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import openpyxl  # type: ignore[import-untyped]
import pyarrow.parquet  # type: ignore[import-untyped]
from django.utils import timezone

from billing.exports import run as export_run
from billing.exports.exports import Wanted, ask_export, content_of
from billing.exports.of_all import ask_export_of_all, cancel_export_of_all
from billing.models import Export
from identity.access import Caller
from identity.operators import Operator
from tests.support.ledger import House
from tests.support.operators import RUNS

NANO = Decimal(10) ** 9
OCTOBER = (date(2025, 10, 1), date(2025, 10, 31))


@dataclass(frozen=True)
class Made:
    """A finished export and its file."""

    export: Export
    data: bytes

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows as a reader of the format sees them, a sheet's line of totals left out."""
        return _READERS[self.export.format](self.data)

    def total(self, column: str) -> int:
        """What a column of euros adds up to, in nano-EUR."""
        return sum(int(Decimal(str(row[column] or 0)).quantize(Decimal("1e-9")) * NANO) for row in self.rows)


def today(house: House) -> date:
    """There."""
    return timezone.localdate(timezone=ZoneInfo(house.tenant.time_zone))


def wanted(house: House, kind: str = "requests", file_format: str = "csv", **changes: Any) -> Wanted:
    """Yesterday to tomorrow, so that no midnight comes between."""
    values: dict[str, Any] = {
        "kind": Export.Kind(kind),
        "format": Export.Format(file_format),
        "first_day": today(house) - timedelta(days=1),
        "last_day": today(house) + timedelta(days=1),
    }
    return Wanted(**(values | changes))


def ask(house: House, kind: str = "requests", file_format: str = "csv", **changes: Any) -> Export:
    """An export that waits. What was settled before is in it."""
    export = ask_export(by=Caller.system("tests", house.tenant), wanted=wanted(house, kind, file_format, **changes))
    # The cut is some seconds in the past: nothing of this test's comes later.
    Export.objects.filter(pk=export.pk).update(cut_at=timezone.now())
    export.refresh_from_db()
    return export


def ask_of_all(
    by: Operator, content: str, file_format: str = "jsonl", first_day: date = OCTOBER[0], last_day: date = OCTOBER[1]
) -> Export:
    """One of all organisations that waits, and none beside it: there are only so many."""
    for older in Export.objects.filter(tenant=None, state__in=["waiting", "running"]):
        cancel_export_of_all(by=RUNS, public_id=older.public_id)
    kind, form = Export.Kind(content), Export.Format(file_format)
    export = ask_export_of_all(by=by, content=kind, file_format=form, first_day=first_day, last_day=last_day)
    Export.objects.filter(pk=export.pk).update(cut_at=timezone.now())
    export.refresh_from_db()
    return export


def take(export: Export) -> Export:
    """Its lease, as soon as nothing commits behind it any more: other tests have transactions too."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if taken := export_run.take_export(export.public_id):
            return taken
        time.sleep(0.02)
    raise AssertionError("the export is not due")


def finish(export: Export, rows_a_part: int = 3) -> Made:
    """Written to its end, by whoever comes."""
    export_run.write_slice(take(export), time.monotonic() + 60, rows_a_part)
    export.refresh_from_db()
    assert export.state == Export.State.DONE, (export.state, export.fault)
    data = b"".join(content_of(export))
    assert len(data) == export.size_bytes
    return Made(export, data)


def make(house: House, kind: str = "requests", file_format: str = "csv", **changes: Any) -> Made:
    """Asked for and written, three rows a part."""
    return finish(ask(house, kind, file_format, **changes))


def sheet_of(data: bytes) -> list[tuple[Any, ...]]:
    """All lines of the sheet: the head, the rows, the totals."""
    book = openpyxl.load_workbook(io.BytesIO(data))
    assert book.active is not None
    return list(book.active.iter_rows(values_only=True))


def _of_sheet(data: bytes) -> list[dict[str, Any]]:
    head, *lines, _totals = sheet_of(data)
    return [dict(zip(map(str, head), line, strict=True)) for line in lines]


_READERS: dict[str, Callable[[bytes], list[dict[str, Any]]]] = {
    "csv": lambda data: list(csv.DictReader(io.StringIO(data.decode()))),
    "jsonl": lambda data: [json.loads(line) for line in data.splitlines()],
    "xlsx": _of_sheet,
    "parquet": lambda data: pyarrow.parquet.read_table(io.BytesIO(data)).to_pylist(),
}
