"""CSV (RFC 4180): a head, a line a row, UTF-8. Figures are exact, moments UTC; what a spreadsheet would take for a
formula begins with an apostrophe. There is no line of totals: a program would take it for a row.
"""

import csv
from collections.abc import Callable, Iterable, Sequence
from io import StringIO
from typing import Any

from billing.exports.formats.table import Column, Piece, Row, Type, decimal_text, moment_text
from identity.spreadsheet import safe_cell

ROWS_MAX = 100_000_000
MEDIA_TYPE = "text/csv; charset=utf-8"


def opening(columns: Sequence[Column]) -> Piece:
    """The head."""
    return Piece(_lines([[column.name for column in columns]]))


def rows(columns: Sequence[Column], rows: Sequence[Row], state: dict[str, Any]) -> Piece:
    """A line a row."""
    formats = [_format_of(column) for column in columns]
    return Piece(
        _lines(
            ["" if cell is None else to_text(cell) for cell, to_text in zip(row, formats, strict=True)] for row in rows
        ),
        state,
    )


def closing(columns: Sequence[Column], state: dict[str, Any], notes: Iterable[Any]) -> Piece:
    """Nothing."""
    return Piece(b"")


def _lines(lines: Iterable[Sequence[str]]) -> bytes:
    text = StringIO()
    csv.writer(text).writerows(lines)
    return text.getvalue().encode()


def _format_of(column: Column) -> Callable[[Any], str]:
    match column.type:
        case Type.TEXT:
            return safe_cell
        case Type.DECIMAL:
            scale = column.scale
            return lambda units: decimal_text(units, scale)
        case Type.MOMENT:
            return moment_text
        case Type.FLAG:
            return lambda flag: "true" if flag else "false"
    return str
