"""Tables as spreadsheets write them: a heading, then a row a line. Commas or semicolons, in UTF-8.

The columns may stand in any order. What a cell means, others say.
"""

import csv
from collections.abc import Collection, Mapping
from io import StringIO
from typing import NamedTuple

from django.utils.translation import gettext as _

from identity.errors import Invalid

_CELL_LENGTH_MAX = 300  # characters; nothing that is imported is longer


class TableLine(NamedTuple):
    """A line that is not empty: its number in the text and its cells, without blanks around them, by column."""

    number: int
    cells: Mapping[str, str]


def read_table(text: str, *, required: Collection[str], optional: Collection[str], most: int) -> list[TableLine]:
    """At most `most` lines of a table that has the required columns and no others than these.

    Raises `Invalid` for what is no such table; its message continues "The table ...".
    """
    lines = csv.reader(StringIO(text.lstrip("\ufeff").strip()), delimiter=_delimiter_of(text), strict=True)
    try:
        head = [cell.strip().lower() for cell in next(lines, [])]
        _require_head(head, required, optional)
        rows = [(lines.line_num, row) for row in lines if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise Invalid("file", _("cannot be read as a table: %(fault)s") % {"fault": error}) from None
    if len(rows) > most:
        raise Invalid("file", _("has more than %(count)s lines") % {"count": most})
    return [_line(head, number, row) for number, row in rows]


def _delimiter_of(text: str) -> str:
    head = text.lstrip("\ufeff").strip().partition("\n")[0]
    return ";" if head.count(";") > head.count(",") else ","


def _require_head(head: list[str], required: Collection[str], optional: Collection[str]) -> None:
    missing = [name for name in required if name not in head]
    unknown = [name for name in head if name not in required and name not in optional]
    if missing:
        raise Invalid("file", _("lacks these columns in its first line: %(names)s") % {"names": ", ".join(missing)})
    if unknown or len(set(head)) < len(head):
        names = ", ".join(unknown or head)[:_CELL_LENGTH_MAX]
        raise Invalid("file", _("has columns that nobody knows, or twice the same: %(names)s") % {"names": names})


def _line(head: list[str], number: int, row: list[str]) -> TableLine:
    if len(row) != len(head):
        raise Invalid("file", _("has too many or too few cells in line %(number)s") % {"number": number})
    if any(len(cell) > _CELL_LENGTH_MAX for cell in row):
        raise Invalid("file", _("has a cell that is too long in line %(number)s") % {"number": number})
    return TableLine(number, {name: cell.strip() for name, cell in zip(head, row, strict=True)})
