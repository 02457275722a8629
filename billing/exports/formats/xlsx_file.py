"""A workbook (ECMA-376, SpreadsheetML) of one sheet: typed cells, a head that stays, a line of totals. No formulas.

Texts are inline strings, which no spreadsheet computes whatever they begin with. Figures are written with all their
digits; a spreadsheet itself keeps 15 of them. A sheet knows no time zones: moments are UTC, as the head says.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from typing import Any
from xml.sax.saxutils import escape

from billing.exports.formats import zip_stream
from billing.exports.formats.table import Column, Piece, Row, Type, decimal_text

# 1,048,576 lines of a sheet, less the head and the totals.
ROWS_MAX = 1_048_574
MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_DAY_ZERO, _DAY_MICROSECONDS = date(1899, 12, 30), 86_400_000_000
_TEXT_MAX = 32_767  # characters of a cell
# What XML 1.0 cannot say, and what would read as an escape of these (ECMA-376, ST_Xstring).
_UNSAYABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)")
_HEAD, _WHOLE, _MOMENT, _DAY, _TOTAL, _TOTAL_WHOLE, _FIRST_DECIMAL = range(1, 8)
_SCALES = (9, 6, 3)
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'


def opening(columns: Sequence[Column]) -> Piece:
    """The parts of a workbook, and of its sheet the head."""
    state = zip_stream.begin()
    data = b"".join(zip_stream.member(state, name, content) for name, content in _PARTS.items())
    data += zip_stream.open_member(state, "xl/worksheets/sheet1.xml")
    widths = "".join(
        f'<col min="{place}" max="{place}" width="{_width(column)}" customWidth="1"/>'
        for place, column in enumerate(columns, 1)
    )
    names = "".join(_text_cell(_name(column), _HEAD) for column in columns)
    pane = '<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/>'
    sheet = (
        f'{_XML}<worksheet xmlns="{_MAIN}"><sheetViews><sheetView workbookViewId="0">{pane}</sheetView></sheetViews>'
    )
    sheet += f"<cols>{widths}</cols><sheetData><row>{names}</row>"
    data += zip_stream.add(state, sheet.encode())
    return Piece(data, {"zip": state, "totals": [0] * len(columns)})


def rows(columns: Sequence[Column], rows: Sequence[Row], state: dict[str, Any]) -> Piece:
    """A line a row."""
    cells = [_cell_of(column) for column in columns]
    totals: list[int] = state["totals"]
    for place, column in enumerate(columns):
        if column.is_summed:
            totals[place] += sum(row[place] or 0 for row in rows)  # type: ignore[misc]  # summed ones are whole
    lines = [
        "<row>"
        + "".join("<c/>" if cell is None else to_xml(cell) for cell, to_xml in zip(row, cells, strict=True))
        + "</row>"
        for row in rows
    ]
    return Piece(zip_stream.add(state["zip"], "".join(lines).encode()), state)


def closing(columns: Sequence[Column], state: dict[str, Any], notes: Iterable[Any]) -> Piece:
    """The totals and the end."""
    cells = [_total_cell(column, total) for column, total in zip(columns, state["totals"], strict=True)]
    cells[0] = _text_cell("total", _TOTAL)
    end = f"<row>{''.join(cells)}</row></sheetData></worksheet>"
    archive = state["zip"]
    data = zip_stream.add(archive, end.encode()) + zip_stream.close_member(archive) + zip_stream.finish(archive)
    return Piece(data, state)


def serial_text(at: datetime) -> str:
    """Days since the spreadsheets' day zero, to a hundred-millionth of a day (a millisecond), exactly rounded down."""
    micros = ((at.hour * 60 + at.minute) * 60 + at.second) * 1_000_000 + at.microsecond
    return f"{(at.date() - _DAY_ZERO).days}.{micros * 10**8 // _DAY_MICROSECONDS:08d}"


def _cell_of(column: Column) -> Callable[[Any], str]:
    match column.type:
        case Type.WHOLE:
            return lambda number: f'<c s="{_WHOLE}"><v>{number}</v></c>'
        case Type.DECIMAL:
            style, scale = _FIRST_DECIMAL + _SCALES.index(column.scale), column.scale
            return lambda units: f'<c s="{style}"><v>{decimal_text(units, scale)}</v></c>'
        case Type.MOMENT:
            return lambda at: f'<c s="{_MOMENT}"><v>{serial_text(at)}</v></c>'
        case Type.DAY:
            return lambda day: f'<c s="{_DAY}"><v>{(day - _DAY_ZERO).days}</v></c>'
        case Type.FLAG:
            return lambda flag: f'<c t="b"><v>{int(flag)}</v></c>'
    return lambda text: _text_cell(text, 0)


def _text_cell(text: str, style: int) -> str:
    said = escape(_UNSAYABLE.sub(lambda found: f"_x{ord(found[0]):04X}_", text[:_TEXT_MAX]))
    return f'<c s="{style}" t="inlineStr"><is><t xml:space="preserve">{said}</t></is></c>'


def _total_cell(column: Column, total: int) -> str:
    if not column.is_summed:
        return "<c/>"
    if column.type is Type.WHOLE:
        return f'<c s="{_TOTAL_WHOLE}"><v>{total}</v></c>'
    style = _FIRST_DECIMAL + len(_SCALES) + _SCALES.index(column.scale)
    return f'<c s="{style}"><v>{decimal_text(total, column.scale)}</v></c>'


def _name(column: Column) -> str:
    return f"{column.name} (UTC)" if column.type is Type.MOMENT else column.name


def _width(column: Column) -> int:
    wide = {Type.TEXT: 24, Type.MOMENT: 20, Type.DECIMAL: 16}
    return max(wide.get(column.type, 12), len(_name(column)) + 2)


def _styles() -> str:
    decimals = [(170 + place, "#,##0.00" + "#" * (scale - 2)) for place, scale in enumerate(_SCALES)]
    formats = [(168, "yyyy-mm-dd hh:mm:ss"), (169, "yyyy-mm-dd"), *decimals]
    codes = "".join(f'<numFmt numFmtId="{number}" formatCode="{code}"/>' for number, code in formats)
    bold = 'fontId="1" applyFont="1"'
    plain = 'fontId="0"'
    kinds = [(0, plain), (0, bold), (3, plain), (168, plain), (169, plain), (0, bold), (3, bold)]
    kinds += [(number, font) for font in (plain, bold) for number, _code in decimals]
    cells = "".join(
        f'<xf numFmtId="{number}" {font} fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>'
        for number, font in kinds
    )
    fonts = '<font><sz val="11"/><name val="Calibri"/></font><font><b/><sz val="11"/><name val="Calibri"/></font>'
    fills = '<fill><patternFill patternType="none"/></fill><fill><patternFill patternType="gray125"/></fill>'
    return (
        f'{_XML}<styleSheet xmlns="{_MAIN}"><numFmts count="{len(formats)}">{codes}</numFmts>'
        f'<fonts count="2">{fonts}</fonts><fills count="2">{fills}</fills>'
        '<borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>'
        '<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>'
        f'<cellXfs count="{len(kinds)}">{cells}</cellXfs>'
        '<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>'
    )


def _related(*targets: tuple[str, str]) -> str:
    lines = "".join(
        f'<Relationship Id="rId{number}" Type="{_OFFICE}/{kind}" Target="{target}"/>'
        for number, (kind, target) in enumerate(targets, 1)
    )
    return f'{_XML}<Relationships xmlns="{_PACKAGE}/relationships">{lines}</Relationships>'


_OF_SHEETS = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_PARTS = {
    "[Content_Types].xml": (
        f'{_XML}<Types xmlns="{_PACKAGE}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="xml" ContentType="application/xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{_OF_SHEETS}.sheet.main+xml"/>'
        f'<Override PartName="/xl/styles.xml" ContentType="{_OF_SHEETS}.styles+xml"/>'
        f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{_OF_SHEETS}.worksheet+xml"/></Types>'
    ),
    "_rels/.rels": _related(("officeDocument", "xl/workbook.xml")),
    "xl/workbook.xml": (
        f'{_XML}<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}">'
        '<sheets><sheet name="Export" sheetId="1" r:id="rId1"/></sheets></workbook>'
    ),
    "xl/_rels/workbook.xml.rels": _related(("worksheet", "worksheets/sheet1.xml"), ("styles", "styles.xml")),
    "xl/styles.xml": _styles(),
}
