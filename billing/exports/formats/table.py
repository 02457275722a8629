"""What a table of an export is made of, whatever the file: typed columns, rows, and pieces of the file."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Protocol

Cell = str | int | bool | date | datetime | None
Row = Sequence[Cell]


class FileTooLarge(Exception):
    """More than a file of its format holds."""


class Type(StrEnum):
    """DECIMAL is a whole number of units of `10 ** -scale`, so that no figure is ever rounded on its way."""

    TEXT = "text"
    WHOLE = "whole"
    DECIMAL = "decimal"
    MOMENT = "moment"
    DAY = "day"
    FLAG = "flag"


@dataclass(frozen=True, slots=True)
class Column:
    """A column. `scale`: decimals of a DECIMAL; `is_summed`: a sheet's last line has its sum."""

    name: str
    type: Type = Type.TEXT
    scale: int = 0
    is_summed: bool = False


def eur(name: str, *, is_summed: bool = True) -> Column:
    """Euros, given in nano-EUR."""
    return Column(name, Type.DECIMAL, scale=9, is_summed=is_summed)


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of the file. `state` is what the next piece goes on from, `note` what its end will ask for; both are JSON.

    Whoever writes the next piece need not be the one who wrote this.
    """

    data: bytes
    state: dict[str, Any] = field(default_factory=dict)
    note: Any = None


class Writer(Protocol):
    """Makes the pieces of a file, the same ones from the same rows, always."""

    ROWS_MAX: int
    MEDIA_TYPE: str

    def opening(self, columns: Sequence[Column]) -> Piece:
        """What comes before the first row."""

    def rows(self, columns: Sequence[Column], rows: Sequence[Row], state: dict[str, Any]) -> Piece:
        """The next rows."""

    def closing(self, columns: Sequence[Column], state: dict[str, Any], notes: Iterable[Any]) -> Piece:
        """What comes after the last row; `notes` are those of all pieces that have one, in order."""


def decimal_text(units: int, scale: int) -> str:
    """A DECIMAL as its exact digits: 12 at scale 3 is `0.012`, 12000 is `12`."""
    if not units or not scale:
        return str(units)
    whole, part = divmod(abs(units), 10**scale)
    digits = f"{part:0{scale}d}".rstrip("0")
    return f"{'-' if units < 0 else ''}{whole}{'.' if digits else ''}{digits}"


def moment_text(at: datetime) -> str:
    """ISO 8601 in UTC, as exact as the moment: `2026-11-21T10:00:00Z`."""
    text = at.replace(tzinfo=None).isoformat()
    return f"{text.rstrip('0') if at.microsecond else text}Z"
