"""Usage: bars a day and the same figures in a table, by model, project or key; as a file too."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET

from billing.money import exact_eur
from billing.usage import Filters, Grouping, Interval, TooManyRows, UsageSum, reader_of_member, sums
from billing.usage_table import Measure, UsageTable, usage_table
from console.charts import chart, stacked
from console.csv_files import csv_file
from console.pages import is_partial, tenant_page
from gateway.api.names import key_names, project_names
from identity.access import Caller
from identity.errors import Invalid
from identity.permissions import Permission

SPANS = {"7": gettext_lazy("7 days"), "30": gettext_lazy("30 days"), "90": gettext_lazy("90 days")}
USUAL_SPAN = "30"
_MONTHS_BACK = 12
_MONTH = re.compile(r"(20[2-9][0-9])-(0[1-9]|1[0-2])")
GROUPINGS = {
    Grouping.MODEL: gettext_lazy("Model"),
    Grouping.PROJECT: gettext_lazy("Project"),
    Grouping.KEY: gettext_lazy("Key"),
}
MEASURES = {
    Measure.COST: gettext_lazy("Cost"),
    Measure.TOKENS: gettext_lazy("Tokens"),
    Measure.REQUESTS: gettext_lazy("Requests"),
}
_UNITS = {Measure.COST: "eur", Measure.TOKENS: "count", Measure.REQUESTS: "count"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address asks for; what makes no sense in it is as if it were not there."""

    span: str
    by: Grouping
    measure: Measure
    first: date
    last: date

    @classmethod
    def of(cls, query: QueryDict, today: date) -> "Asked":
        """From the address. A span is a number of days up to today, or a month of the tenant's time zone."""
        span = query.get("span", USUAL_SPAN)
        month = _MONTH.fullmatch(span)
        if month:
            first = date(int(month[1]), int(month[2]), 1)
            last = min(_next_month(first) - timedelta(days=1), max(today, first))
        else:
            span = span if span in SPANS else USUAL_SPAN
            first, last = today - timedelta(days=int(span) - 1), today
        by, measure = query.get("by", ""), query.get("measure", "")
        return cls(
            span,
            Grouping(by) if by in tuple(Grouping) else Grouping.MODEL,
            Measure(measure) if measure in tuple(Measure) else Measure.COST,
            first,
            last,
        )

    @property
    def days(self) -> list[date]:
        """Each day of it."""
        return [self.first + timedelta(days=number) for number in range((self.last - self.first).days + 1)]

    def bounds(self, zone: ZoneInfo) -> tuple[datetime, datetime]:
        """From the first midnight to the one after the last day."""
        after = self.last + timedelta(days=1)
        since, until = (datetime(day.year, day.month, day.day, tzinfo=zone) for day in (self.first, after))
        return since.astimezone(UTC), until.astimezone(UTC)


@require_GET
@tenant_page(Permission.USAGE_READ)
def usage(request: HttpRequest, caller: Caller) -> HttpResponse:
    """The chart and its table."""
    today = timezone.localdate()
    asked = Asked.of(request.GET, today)
    table = usage_table(
        reader_of_member(caller),
        by=asked.by,
        measure=asked.measure,
        first=asked.first,
        last=asked.last,
        time_zone=caller.tenant.time_zone,
    )
    values = {
        "asked": asked,
        "table": table,
        "spans": [*SPANS.items(), *((month, month) for month in _months(today))],
        "groupings": GROUPINGS.items(),
        "measures": MEASURES.items(),
        "group_label": GROUPINGS[asked.by],
        "measure_label": MEASURES[asked.measure],
        "query": request.GET.urlencode(),
        **_drawn(asked, table),
    }
    template = "console/usage/_usage.html" if is_partial(request) else "console/usage/usage.html"
    return render(request, template, values)


@require_GET
@tenant_page(Permission.USAGE_READ)
def usage_export(request: HttpRequest, caller: Caller) -> HttpResponse:
    """All groups, a line a day and group. Raises `Invalid` for more than fit a file."""
    zone = ZoneInfo(caller.tenant.time_zone)
    asked = Asked.of(request.GET, timezone.localdate())
    since, until = asked.bounds(zone)
    filters = Filters(since=since, until=until)
    try:
        found = sums(reader_of_member(caller), filters, by=[asked.by], interval=Interval.DAY, time_zone=zone.key)
    except TooManyRows:
        raise Invalid("span", "is too long for a file: choose a shorter one") from None
    return csv_file(f"usage-{asked.first}-{asked.last}.csv", _HEAD, _lines(caller, asked.by, found))


_HEAD = (
    "day", "group", "id", "requests", "failed_requests", "input_tokens", "cached_tokens", "output_tokens",
    "reasoning_tokens", "cost_eur",
)  # fmt: skip


def _lines(caller: Caller, by: Grouping, found: list[UsageSum]) -> list[tuple[object, ...]]:
    keys = key_names(caller.tenant.pk, {row.key_id for row in found if row.key_id is not None})
    projects = project_names(caller.tenant.pk, {row.project_id for row in found if row.project_id is not None})

    def named(row: UsageSum) -> tuple[str, str]:
        if by is Grouping.KEY and row.key_id in keys:
            return keys[row.key_id].name, keys[row.key_id].lookup
        if by is Grouping.PROJECT and row.project_id is not None:
            return projects.get(row.project_id, ""), str(row.project_id)
        return row.model or "", ""

    return [
        (
            row.starts_at.date().isoformat() if row.starts_at else "",
            *named(row),
            row.requests,
            row.failed_requests,
            *(row.quantities[meter] for meter in ("input", "cached", "output", "reasoning")),
            exact_eur(row.cost_nano_eur),
        )
        for row in found
    ]


def _drawn(asked: Asked, table: UsageTable) -> dict[str, Any]:
    """The chart, and for each day the same figures: a column a colour."""
    values = {_name(group.name, group.ref): _of_days(asked.measure, group.days) for group in table.groups}
    series = stacked(asked.days, values, rest=_("others"))
    lines = [(day, [one.values[place] for one in series]) for place, day in enumerate(asked.days)]
    return {
        "chart": chart(asked.days, series, _UNITS[asked.measure]),
        "series": series,
        "lines": [(day, figures, sum(figures)) for day, figures in reversed(lines)],
    }


def _name(name: str, ref: str) -> str:
    return f"{name} (bfr_{ref}_…)" if name and ref and not ref.isdecimal() else name or _("others")


def _of_days(measure: Measure, days: dict[date, Any]) -> dict[date, int]:
    return {day: measure.of(totals) for day, totals in days.items()}


def _months(today: date) -> list[str]:
    first, months = today.replace(day=1), []
    for _number in range(_MONTHS_BACK):
        months.append(f"{first:%Y-%m}")
        first = (first - timedelta(days=1)).replace(day=1)
    return months


def _next_month(first: date) -> date:
    return (first + timedelta(days=32)).replace(day=1)
