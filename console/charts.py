"""Bars over days or hours, stacked by what they are of: the data of a chart and of the table beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.utils.translation import gettext as _

# Colours that people tell apart; what is less goes together.
SERIES_MAX = 5


@dataclass(frozen=True, slots=True)
class Series:
    """One colour of the bars: a value a day or hour."""

    label: str
    values: Sequence[int]

    @property
    def total(self) -> int:
        """Of all days."""
        return sum(self.values)


def days_until(last: date, count: int) -> list[date]:
    """`count` days, the last one `last`."""
    return [last - timedelta(days=back) for back in range(count - 1, -1, -1)]


def stacked(days: Sequence[date], values: Mapping[str, Mapping[date, int]], *, rest: str = "") -> list[Series]:
    """The largest as series of their own, the others as one. `rest`: the name in `values` that is others already."""
    totals = {name: sum(of.values()) for name, of in values.items() if name != rest}
    ranked = sorted((name for name in totals if totals[name]), key=lambda name: (-totals[name], name))
    shown = [Series(name, [values[name].get(day, 0) for day in days]) for name in ranked[:SERIES_MAX]]
    others = [values[name] for name in ranked[SERIES_MAX:]] + ([values[rest]] if rest in values else [])
    if any(of.get(day) for of in others for day in days):
        shown.append(Series(_("others"), [sum(of.get(day, 0) for of in others) for day in days]))
    return shown


def chart(slots: Sequence[date], series: Sequence[Series], unit: str, *, zone: str = "UTC") -> dict[str, Any]:
    """What components/chart.html draws: days, or hours (aware times) as the time zone shows them."""
    named = [{"label": one.label, "values": list(one.values)} for one in series]
    return {"times": [_drawn_at(slot) for slot in slots], "series": named, "unit": unit, "zone": zone}


def _drawn_at(slot: date) -> int:
    """In seconds. Days are at noon UTC, so that each stays itself whatever the reader's zone."""
    at = slot if isinstance(slot, datetime) else datetime(slot.year, slot.month, slot.day, 12, tzinfo=UTC)
    return int(at.timestamp())
