"""Tenants as a spreadsheet has them: a heading, then a tenant a line.

The heading names `external_id`, `name` and `tier`, and may name `owner`, `slug` and `time_zone`, in any order. Commas
or semicolons, in UTF-8.
"""

import csv
from io import StringIO

from django.utils.translation import gettext as _

from billing.tenants import WISHES_MAX, TenantWish
from identity.errors import Invalid

REQUIRED = ("external_id", "name", "tier")
OPTIONAL = ("owner", "slug", "time_zone")
_CELL_LENGTH_MAX = 300  # characters; none of these is longer


def read_wishes(text: str) -> list[TenantWish]:
    """The tenants in the text. Raises `Invalid` for what is no such table; whether a tenant makes sense, others say."""
    lines = csv.reader(StringIO(text.lstrip("\ufeff").strip()), delimiter=_delimiter_of(text), strict=True)
    try:
        head = [cell.strip().lower() for cell in next(lines, [])]
        _require_head(head)
        rows = [(lines.line_num, row) for row in lines if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise Invalid("file", _("cannot be read as a table: %(fault)s") % {"fault": error}) from None
    if len(rows) > WISHES_MAX:
        raise Invalid("file", _("has more than %(count)s lines") % {"count": WISHES_MAX})
    return [_wish(head, number, row) for number, row in rows]


def _delimiter_of(text: str) -> str:
    head = text.lstrip("\ufeff").strip().partition("\n")[0]
    return ";" if head.count(";") > head.count(",") else ","


def _require_head(head: list[str]) -> None:
    missing = [name for name in REQUIRED if name not in head]
    unknown = [name for name in head if name not in REQUIRED + OPTIONAL]
    if missing:
        raise Invalid("file", _("lacks these columns in its first line: %(names)s") % {"names": ", ".join(missing)})
    if unknown or len(set(head)) < len(head):
        names = ", ".join(unknown or head)[:_CELL_LENGTH_MAX]
        raise Invalid("file", _("has columns that nobody knows, or twice the same: %(names)s") % {"names": names})


def _wish(head: list[str], number: int, row: list[str]) -> TenantWish:
    if len(row) != len(head):
        raise Invalid("file", _("has too many or too few cells in line %(number)s") % {"number": number})
    if any(len(cell) > _CELL_LENGTH_MAX for cell in row):
        raise Invalid("file", _("has a cell that is too long in line %(number)s") % {"number": number})
    cells = {name: cell.strip() for name, cell in zip(head, row, strict=True)}
    return TenantWish(**{name: cell for name, cell in cells.items() if cell or name in REQUIRED}, line=number)
