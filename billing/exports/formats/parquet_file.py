"""Apache Parquet (format 2.6): each piece is a row group of plain pages under gzip; the footer is made of their notes.

Money is DECIMAL(18, 9), moments are microseconds UTC; every column may be null. Nothing in the file says when or where
it was made.
"""

import struct
import zlib
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any

from billing.exports.formats.table import Column, Piece, Row, Type
from billing.exports.formats.thrift import Struct, varint

ROWS_MAX = 100_000_000
MEDIA_TYPE = "application/vnd.apache.parquet"
_MAGIC = b"PAR1"
_BOOLEAN, _INT32, _INT64, _BYTE_ARRAY = 0, 1, 2, 6
_UTF8, _DECIMAL, _DATE, _TIMESTAMP_MICROS = 0, 5, 6, 10
_PLAIN, _RLE, _GZIP, _OPTIONAL = 0, 3, 2, 1
_PHYSICAL = {Type.TEXT: _BYTE_ARRAY, Type.FLAG: _BOOLEAN, Type.DAY: _INT32}
_CONVERTED = {Type.TEXT: _UTF8, Type.DECIMAL: _DECIMAL, Type.DAY: _DATE, Type.MOMENT: _TIMESTAMP_MICROS}
_PRECISION = 18
_EPOCH_DAY = date(1970, 1, 1)


def opening(columns: Sequence[Column]) -> Piece:
    """The magic number."""
    return Piece(_MAGIC, {"offset": len(_MAGIC), "rows": 0})


def rows(columns: Sequence[Column], rows: Sequence[Row], state: dict[str, Any]) -> Piece:
    """A row group. Its note: the number of rows, and of each column where it begins and its bytes, unpacked, packed."""
    if not rows:
        return Piece(b"", state)
    data, chunks, offset = [], [], state["offset"]
    for place, column in enumerate(columns):
        page, size = _page(column, [row[place] for row in rows])
        chunks.append([offset, size, len(page)])
        data.append(page)
        offset += len(page)
    return Piece(b"".join(data), {"offset": offset, "rows": state["rows"] + len(rows)}, [len(rows), chunks])


def closing(columns: Sequence[Column], state: dict[str, Any], notes: Iterable[Any]) -> Piece:
    """The footer."""
    root = Struct().text(4, "schema").i32(5, len(columns))
    groups = [_row_group(columns, count, chunks) for count, chunks in notes]
    footer = Struct().i32(1, 1).structs(2, [root, *map(_schema_element, columns)]).i64(3, state["rows"])
    encoded = footer.structs(4, groups).text(6, "Beffroi").encoded()
    return Piece(encoded + struct.pack("<I", len(encoded)) + _MAGIC, state)


def _schema_element(column: Column) -> Struct:
    element = Struct().i32(1, _PHYSICAL.get(column.type, _INT64)).i32(3, _OPTIONAL).text(4, column.name)
    if (converted := _CONVERTED.get(column.type)) is not None:
        element.i32(6, converted)
    if column.type is Type.DECIMAL:
        element.i32(7, column.scale).i32(8, _PRECISION)
    return element


def _row_group(columns: Sequence[Column], count: int, chunks: Sequence[Sequence[int]]) -> Struct:
    described = []
    for column, (offset, size, packed) in zip(columns, chunks, strict=True):
        meta = Struct().i32(1, _PHYSICAL.get(column.type, _INT64)).i32s(2, [_PLAIN, _RLE]).texts(3, [column.name])
        meta.i32(4, _GZIP).i64(5, count).i64(6, size).i64(7, packed).i64(9, offset)
        described.append(Struct().i64(2, offset).struct(3, meta))
    return Struct().structs(1, described).i64(2, sum(size for _, size, _ in chunks)).i64(3, count)


def _page(column: Column, cells: Sequence[Any]) -> tuple[bytes, int]:
    """A data page with its header, and how many bytes it had without compression."""
    levels = _levels([cell is not None for cell in cells])
    content = (
        struct.pack("<I", len(levels)) + levels + _plain(column.type, [cell for cell in cells if cell is not None])
    )
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    packed = packer.compress(content) + packer.flush()
    told = Struct().i32(1, len(cells)).i32(2, _PLAIN).i32(3, _RLE).i32(4, _RLE)
    header = Struct().i32(1, 0).i32(2, len(content)).i32(3, len(packed)).struct(5, told).encoded()
    return header + packed, len(header) + len(content)


def _levels(present: Sequence[bool]) -> bytes:
    """Which cells there are: a run where all are alike, else a bit each."""
    if all(present) or not any(present):
        return varint(len(present) << 1) + bytes([present[0] if present else 0])
    return varint((-(-len(present) // 8)) << 1 | 1) + _bits(present)


def _plain(type_: Type, cells: Sequence[Any]) -> bytes:
    match type_:
        case Type.TEXT:
            return b"".join(struct.pack("<I", len(data)) + data for data in (text.encode() for text in cells))
        case Type.FLAG:
            return _bits(cells)
        case Type.DAY:
            return struct.pack(f"<{len(cells)}i", *((day - _EPOCH_DAY).days for day in cells))
        case Type.MOMENT:
            return struct.pack(f"<{len(cells)}q", *map(_micros, cells))
    return struct.pack(f"<{len(cells)}q", *cells)


def _bits(flags: Sequence[bool]) -> bytes:
    number = int("".join("1" if flag else "0" for flag in reversed(flags)) or "0", 2)
    return number.to_bytes(-(-len(flags) // 8), "little")


def _micros(at: datetime) -> int:
    whole = (at.date() - _EPOCH_DAY).days * 86_400 + (at.hour * 60 + at.minute) * 60 + at.second
    return whole * 1_000_000 + at.microsecond
