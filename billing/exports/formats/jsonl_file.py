"""JSON Lines: an object a row. Decimals are texts, so that no reader rounds them; moments are UTC."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from billing.exports.formats.table import Column, Piece, Row, Type, decimal_text, moment_text

ROWS_MAX = 100_000_000
MEDIA_TYPE = "application/jsonl"
_encoder = msgspec.json.Encoder()


def opening(columns: Sequence[Column]) -> Piece:
    """Nothing."""
    return Piece(b"")


def rows(columns: Sequence[Column], rows: Sequence[Row], state: dict[str, Any]) -> Piece:
    """A line a row."""
    names = [column.name for column in columns]
    changed = [(place, to_json) for place, column in enumerate(columns) if (to_json := _change_of(column))]

    def line(row: Row) -> dict[str, Any]:
        cells: list[Any] = list(row)
        for place, to_json in changed:
            if cells[place] is not None:
                cells[place] = to_json(cells[place])
        return dict(zip(names, cells, strict=True))

    return Piece(_encoder.encode_lines([line(row) for row in rows]), state)


def closing(columns: Sequence[Column], state: dict[str, Any], notes: Iterable[Any]) -> Piece:
    """Nothing."""
    return Piece(b"")


def _change_of(column: Column) -> Callable[[Any], Any] | None:
    match column.type:
        case Type.DECIMAL:
            scale = column.scale
            return lambda units: decimal_text(units, scale)
        case Type.MOMENT:
            return moment_text
        case Type.DAY:
            return str
    return None
