"""Tables as CSV for spreadsheets (RFC 4180), such that no cell of ours is taken for a formula."""

import csv
from collections.abc import Iterable, Sequence
from io import StringIO

from django.http import HttpResponse

# What makes a spreadsheet compute a cell (OWASP, "CSV injection").
_FORMULA_BEGINS = ("=", "+", "-", "@", "\t", "\r", "\n")


def csv_file(name: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> HttpResponse:
    """The table as a file to be saved as `name`, in UTF-8 with the mark that spreadsheets know it by."""
    text = StringIO()
    writer = csv.writer(text)
    writer.writerow(head)
    writer.writerows([cell(value) for value in row] for row in rows)
    response = HttpResponse("\ufeff" + text.getvalue(), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def cell(value: object) -> object:
    """Numbers as they are; a text that would be computed gets a quote before it."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_BEGINS) else value
