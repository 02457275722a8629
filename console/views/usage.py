"""Usage: bars a day or hour and the same figures in a table, by model, project or key; as a file too."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET

from billing.models.prices import Meter
from billing.money import exact_eur
from billing.pricing import METERS
from billing.usage.energy import energy_of
from billing.usage.labels import usage_by_label
from billing.usage.overview import Totals
from billing.usage.projection import projected, recent_since
from billing.usage.records import Grouping, Interval, TooManyRows, UsageSum, sums
from billing.usage.span import Days
from billing.usage.table import (
    Group,
    Measure,
    ModelTotals,
    UsageTable,
    recent_cost,
    total_of,
    usage_by_model,
    usage_table,
)
from console.charts import chart, stacked
from console.csv_files import csv_file
from console.pages import is_partial, tenant_page
from console.usage_question import SPANS, Asked, Narrowed, months_until
from gateway.api.names import key_names, project_names
from identity.access import Caller
from identity.errors import Invalid
from identity.permissions import Permission
from identity.service import service

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
# What a group is looked into by, where it is not narrowed to one of these already.
_WITHIN = {
    Grouping.MODEL: ("model", Grouping.PROJECT),
    Grouping.PROJECT: ("project", Grouping.KEY),
    Grouping.KEY: ("key", Grouping.MODEL),
}


@dataclass(frozen=True, slots=True)
class GroupLine:
    """A group in the table: the page that looks into it, and the list of its requests; "" for the others together."""

    group: Group
    address: str
    requests: str


@dataclass(frozen=True, slots=True)
class LabelLine:
    """A label in its table and the list of its requests; "" for the cheaper ones, None for requests without one."""

    name: str | None
    totals: Totals
    requests: str


@dataclass(frozen=True, slots=True)
class SlotLine:
    """A day or hour in the table: a figure a series, their sum, the list of its requests."""

    slot: date
    figures: list[int]
    requests: str

    @property
    def total(self) -> int:
        """Of all series."""
        return sum(self.figures)


@require_GET
@tenant_page(Permission.USAGE_READ)
def usage(request: HttpRequest, caller: Caller) -> HttpResponse:
    """The chart and its table, beside the time before."""
    asked, narrowed = _asked(request.GET, caller), Narrowed.of(request.GET, caller)
    of_models, before = (usage_by_model(narrowed.reader, time) for time in (asked.time, asked.before))
    model_id = _model_id(narrowed.model, [*of_models, *before])
    table = usage_table(narrowed.reader, asked.time, by=asked.by, measure=asked.measure, model_id=model_id)
    values = {
        "asked": asked,
        "narrowed": narrowed,
        "models": sorted({narrowed.model, *(one.name for one in [*of_models, *before])} - {""}),
        "table": table,
        "before": total_of(one.totals for one in _only(model_id, before)),
        "projected": _projected(asked, narrowed, model_id, table.totals.cost_nano_eur),
        "energy": energy_of(_only(model_id, of_models), grams_co2e_per_kwh=service().grams_co2e_per_kwh),
        "spans": SPANS.items(),
        "months": months_until(timezone.localdate()),
        "groupings": GROUPINGS.items(),
        "measures": MEASURES.items(),
        "group_label": GROUPINGS[asked.by],
        "measure_label": MEASURES[asked.measure],
        "query": request.GET.urlencode(),
        "groups": [_group_line(request.GET, caller, asked, group) for group in table.groups],
        "meters": _meters(_only(model_id, of_models)),
        "labels": _labels(request.GET, caller, asked, narrowed, table.totals),
        **_drawn(request.GET, caller, asked, table),
    }
    template = "console/usage/_usage.html" if is_partial(request) else "console/usage/usage.html"
    return render(request, template, values)


@require_GET
@tenant_page(Permission.USAGE_READ)
def usage_export(request: HttpRequest, caller: Caller) -> HttpResponse:
    """All groups, a line a day (or hour, of 24) and group. Raises `Invalid` for more than fit a file."""
    asked, narrowed = _asked(request.GET, caller), Narrowed.of(request.GET, caller)
    interval, zone = Interval.HOUR if asked.is_hourly else Interval.DAY, caller.tenant.time_zone
    filters = narrowed.filters(asked.time)
    try:
        found = sums(narrowed.reader, filters, by=[asked.by], interval=interval, time_zone=zone)
    except TooManyRows:
        raise Invalid("span", _("is too long for a file: choose a shorter one")) from None
    name = f"usage-{asked.time.slots[0]:%Y-%m-%d}-{asked.time.slots[-1]:%Y-%m-%d}.csv"
    return csv_file(name, (interval.value, *_HEAD), _lines(caller, asked.by, found, interval))


_HEAD = (
    "group", "id", "requests", "failed_requests", "input_tokens", "cached_tokens", "output_tokens",
    "reasoning_tokens", "cost_eur",
)  # fmt: skip


def _lines(caller: Caller, by: Grouping, found: list[UsageSum], interval: Interval) -> list[tuple[object, ...]]:
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
            _written(row.starts_at, interval),
            *named(row),
            row.requests,
            row.failed_requests,
            *(row.quantities[meter] for meter in ("input", "cached", "output", "reasoning")),
            exact_eur(row.cost_nano_eur),
        )
        for row in found
    ]


def _written(starts_at: datetime | None, interval: Interval) -> str:
    if starts_at is None:
        return ""
    return (starts_at if interval is Interval.HOUR else starts_at.date()).isoformat()


def _asked(query: QueryDict, caller: Caller) -> Asked:
    return Asked.of(query, now=timezone.now(), today=timezone.localdate(), time_zone=caller.tenant.time_zone)


def _model_id(name: str, used: list[ModelTotals]) -> int | None:
    """None: all of them. Of a name that nothing was used of: an id that no model has."""
    return next((one.model_id for one in used if one.name == name), 0) if name else None


def _only(model_id: int | None, found: list[ModelTotals]) -> list[ModelTotals]:
    return [one for one in found if model_id in (None, one.model_id)]


def _projected(asked: Asked, narrowed: Narrowed, model_id: int | None, spent: int) -> int | None:
    """Of the month that goes on, in nano-EUR; None for any other time."""
    today = timezone.localdate()
    if not (asked.is_month and isinstance(asked.time, Days) and asked.time.last == today):
        return None
    recent, first_day = recent_cost(narrowed.reader, today, asked.time.time_zone, model_id=model_id)
    return projected(
        spent=spent,
        reserved=0,
        recent=recent,
        recent_since=recent_since(first_day, today, asked.time.time_zone),
        now=timezone.now(),
        ends_at=asked.whole_month.bounds()[1],
    )


def _group_line(query: QueryDict, caller: Caller, asked: Asked, group: Group) -> GroupLine:
    if not group.name:
        return GroupLine(group, "", "")
    member, by = _WITHIN[asked.by]
    only = {member: group.ref or group.name}
    within = query.copy()
    for name, value in {**only, "by": by}.items():
        within[name] = value
    return GroupLine(
        group,
        f"{reverse('usage', kwargs={'slug': caller.tenant.slug})}?{within.urlencode()}",
        _requests_address(query, caller, days=asked.span, **only),
    )


def _meters(found: list[ModelTotals]) -> list[tuple[str, int]]:
    """What was counted on each meter that was used."""
    counted = [sum(quantities) for quantities in zip(*(one.quantities for one in found), strict=True)]
    return [(str(Meter(meter).label), total) for meter, total in zip(METERS, counted, strict=False) if total]


def _labels(query: QueryDict, caller: Caller, asked: Asked, narrowed: Narrowed, all_: Totals) -> list[LabelLine]:
    """The labels, and what has none; empty where nothing is labelled, and for a key: the sums of labels know none."""
    if narrowed.reader.key_id is not None:
        return []
    found = usage_by_label(narrowed.reader, narrowed.filters(asked.time))
    lines = [
        LabelLine(one.label or "", one.totals, _requests_address(query, caller, days=asked.span, label=one.label or ""))
        for one in found
    ]
    labelled = total_of(one.totals for one in found)
    rest = Totals(*(whole - part for whole, part in zip(all_, labelled, strict=True)))
    return [*lines, LabelLine(None, rest, "")] if lines and rest.requests else lines


def _requests_address(query: QueryDict, caller: Caller, **members: str) -> str:
    """The list of the requests that are looked at."""
    wanted = QueryDict(mutable=True)
    wanted.update({name: query.get(name, "") for name in ("model", "project", "key") if query.get(name)})
    for name, value in members.items():
        wanted[name] = value
    return f"{reverse('requests', kwargs={'slug': caller.tenant.slug})}?{wanted.urlencode()}"


def _drawn(query: QueryDict, caller: Caller, asked: Asked, table: UsageTable) -> dict[str, Any]:
    """The chart, and for each day or hour the same figures: a column a colour."""
    slots = asked.time.slots
    values = {_name(group.name, group.ref): _of_slots(asked.measure, group.days) for group in table.groups}
    series = stacked(slots, values, rest=_("others"))
    requests = [_requests_address(query, caller, days=_written_slot(slot)) for slot in slots]
    lines = [SlotLine(slot, [one.values[place] for one in series], requests[place]) for place, slot in enumerate(slots)]
    zone = caller.tenant.time_zone if asked.is_hourly else "UTC"
    return {
        "chart": chart(slots, series, _UNITS[asked.measure], zone=zone) | {"links": requests},
        "series": series,
        "lines": lines[::-1],
    }


def _written_slot(slot: date) -> str:
    """As the list of requests is asked for its day or hour."""
    return f"{slot:%Y-%m-%dT%H}Z" if isinstance(slot, datetime) else slot.isoformat()


def _name(name: str, ref: str) -> str:
    return f"{name} (bfr_{ref}_…)" if name and ref and not ref.isdecimal() else name or _("others")


def _of_slots(measure: Measure, slots: Mapping[date, Totals]) -> dict[date, int]:
    return {slot: measure.of(totals) for slot, totals in slots.items()}
