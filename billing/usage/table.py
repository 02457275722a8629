"""Usage by day or hour and by what used most of it: the largest groups by name, the others together. One query each.

Days are those of the span's time zone; an hour counts to the day in which it begins. Money is nano-EUR.
"""

# ruff: noqa: S608  # queries are made of constants of ours

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any

from django.db import connection

from billing.pricing import METERS, Quantities
from billing.usage.day_sums import DAYS_USED, HOURS_USED, MINE, DaysUsed
from billing.usage.overview import Totals
from billing.usage.projection import WINDOW
from billing.usage.records import Grouping, Reader
from billing.usage.span import Days, Hours, Span

GROUPS_MAX = 12
_TOKENS = "input_quantity + cached_quantity + output_quantity + reasoning_quantity"


class Measure(StrEnum):
    """What is looked at."""

    COST = "cost"
    TOKENS = "tokens"
    REQUESTS = "requests"

    def of(self, totals: Totals) -> int:
        """Its figure."""
        match self:
            case Measure.COST:
                return totals.cost_nano_eur
            case Measure.TOKENS:
                return totals.input_tokens + totals.output_tokens
            case Measure.REQUESTS:
                return totals.requests


_MEASURED = {Measure.COST: "cost_nano_eur", Measure.TOKENS: _TOKENS, Measure.REQUESTS: "requests"}
_NAMED = {
    Grouping.MODEL: "select name, '' from models_catalog_languagemodel where id = r.group_id",
    Grouping.PROJECT: "select name, id::text from identity_project where id = r.group_id",
    Grouping.KEY: "select name, lookup from identity_apikey where id = r.group_id",
}
_FIGURES = """
    sum(requests)::bigint as requests, sum(failed_requests)::bigint as failed, sum(cost_nano_eur)::bigint as cost,
    sum(input_quantity + cached_quantity)::bigint as tokens_in,
    sum(output_quantity + reasoning_quantity)::bigint as tokens_out, sum({measured}) as measured
"""
_OF_MODEL = "(%(model)s::bigint is null or model_id = %(model)s)"
_OF_USED = f"""
    days as materialized (
        select {{slot}} as day, {{grouped}} as group_id, {_FIGURES} from used where {_OF_MODEL} group by 1, 2
    )"""
_RANKED = "ranked as (select group_id from days group by 1 order by sum(measured) desc, 1 limit {most})"
# Keys are too many to add up each day of each: first which used most, then their days; the others' are what is left.
_OF_KEYS = f"""
    keys as materialized (
        select key_id as group_id, sum({{measured}}) as measured from billing_usage_hour u
        where tenant_id = %(tenant)s and hour >= %(since)s and hour < %(until)s and {{mine}} and {_OF_MODEL} group by 1
    ), ranked as (
        select group_id from keys order by measured desc, 1 limit {{most}}
    ), of_ranked as (
        select (hour at time zone %(zone)s)::date as day, key_id as group_id, {_FIGURES} from billing_usage_hour u
        where tenant_id = %(tenant)s and hour >= %(since)s and hour < %(until)s
            and key_id = any(array(select group_id from ranked)) and {{mine}} and {_OF_MODEL} group by 1, 2
    ), of_all as (
        select local_day as day, {_FIGURES} from used where {_OF_MODEL} group by 1
    ), days as (
        select * from of_ranked
        union all
        select a.day, null::bigint, a.requests - coalesce(sum(r.requests), 0), a.failed - coalesce(sum(r.failed), 0),
            a.cost - coalesce(sum(r.cost), 0), a.tokens_in - coalesce(sum(r.tokens_in), 0),
            a.tokens_out - coalesce(sum(r.tokens_out), 0), 0
        from of_all a left join of_ranked r on r.day = a.day
        group by 1, 2, a.requests, a.failed, a.cost, a.tokens_in, a.tokens_out
    )"""
_NAMED_DAYS = """
    , named as (
        select r.group_id, n.* from ranked r cross join lateral ({named}) n (name, ref)
    )
    select h.day, n.group_id is null, coalesce(n.name, ''), coalesce(n.ref, ''), sum(h.requests)::bigint,
        sum(h.failed)::bigint, sum(h.cost)::bigint, sum(h.tokens_in)::bigint, sum(h.tokens_out)::bigint
    from days h left join named n on n.group_id = h.group_id
    group by 1, 2, 3, 4, n.group_id having sum(h.requests) <> 0 order by 1
"""
_OTHERS = f"with {{used}}, {_OF_USED}, {_RANKED} {_NAMED_DAYS}"
_KEYS = f"with {{used}}, {_OF_KEYS} {_NAMED_DAYS}"
_RECENT = f"""
    with {{used}}
    select coalesce(sum(cost_nano_eur), 0)::bigint, min({{slot}}) filter (where requests > 0)
    from used where {_OF_MODEL}
"""
_BY_MODEL = f"""
    with {{used}}
    select m.id, m.name, m.kwh_per_million_tokens, u.requests, u.failed, u.cost, u.tokens_in, u.tokens_out, u.quantities
    from (
        select model_id, sum(requests)::bigint as requests, sum(failed_requests)::bigint as failed,
            sum(cost_nano_eur)::bigint as cost, sum(input_quantity + cached_quantity)::bigint as tokens_in,
            sum(output_quantity + reasoning_quantity)::bigint as tokens_out,
            array[{", ".join(f"sum({meter}_quantity)::bigint" for meter in METERS)}] as quantities
        from used group by 1 having sum(requests) <> 0
    ) u join models_catalog_languagemodel m on m.id = u.model_id order by u.cost desc, m.name
"""


@dataclass(frozen=True, slots=True)
class Group:
    """One of the groups. `ref`: a project's id or a key's look-up; `name` "" for the others together.

    `days`: its figures a slot of the span, a day or the beginning of an hour (UTC).
    """

    name: str
    ref: str
    days: Mapping[date, Totals]
    totals: Totals


@dataclass(frozen=True, slots=True)
class UsageTable:
    """The groups, the largest first, the others last."""

    groups: Sequence[Group]
    totals: Totals


@dataclass(frozen=True, slots=True)
class ModelTotals:
    """What was used of a model; `kwh_per_million_tokens` as the catalogue declares it today, None where it does not."""

    model_id: int
    name: str
    kwh_per_million_tokens: Decimal | None
    totals: Totals
    quantities: Quantities


def usage_table(
    reader: Reader, span: Span, *, by: Grouping, measure: Measure, model_id: int | None = None
) -> UsageTable:
    """What was used in the span, by the groups that used most of the measure; of one model only, where one is given."""
    source = _Source.of(reader, span)
    query = (_KEYS if by is Grouping.KEY and source.used == DAYS_USED else _OTHERS).format(
        used=source.used,
        grouped=f"{by}_id",
        measured=_MEASURED[measure],
        named=_NAMED[by],
        most=GROUPS_MAX,
        mine=MINE,
        slot=source.slot,
    )
    with connection.cursor() as cursor:
        cursor.execute(query, source.parameters | {"model": model_id})
        rows = cursor.fetchall()
    days: dict[tuple[bool, str, str], dict[date, Totals]] = {}
    for day, is_rest, name, ref, *figures in rows:
        of = days.setdefault((is_rest, name, ref), {})
        of[day] = of.get(day, Totals()).plus(Totals(*figures))
    groups = [Group(name, ref, of, total_of(of.values())) for (_is_rest, name, ref), of in days.items()]
    groups.sort(key=lambda group: (not group.name, -measure.of(group.totals), group.name))
    return UsageTable(groups, total_of(group.totals for group in groups))


def usage_by_model(reader: Reader, span: Span) -> list[ModelTotals]:
    """What was used of each model in the span, the dearest first. One query."""
    source = _Source.of(reader, span, only_totals=True)
    with connection.cursor() as cursor:
        cursor.execute(_BY_MODEL.format(used=source.used), source.parameters)
        rows = cursor.fetchall()
    return [
        ModelTotals(id_, name, kwh, Totals(*figures), Quantities(*quantities))
        for id_, name, kwh, *figures, quantities in rows
    ]


def recent_cost(reader: Reader, today: date, time_zone: str, *, model_id: int | None = None) -> tuple[int, date | None]:
    """What today and the days of `projection.WINDOW` before it cost, in nano-EUR, and the first of them with use."""
    source = _Source.of(reader, Days(today - WINDOW, today, time_zone))
    query = _RECENT.format(used=source.used, slot=source.slot)
    with connection.cursor() as cursor:
        cursor.execute(query, source.parameters | {"model": model_id})
        cost, first_day = cursor.fetchone()
    return cost, first_day


def total_of(totals: Iterable[Totals]) -> Totals:
    """All together."""
    return functools.reduce(Totals.plus, totals, Totals())


@dataclass(frozen=True, slots=True)
class _Source:
    """Where the sums come from: those of days, or of hours where hours or one key are asked for.

    `used`: the SQL of that name; `slot`: what names a day or hour in it.
    """

    used: str
    slot: str
    parameters: dict[str, Any]

    @classmethod
    def of(cls, reader: Reader, span: Span, *, only_totals: bool = False) -> "_Source":
        since, until = span.bounds()
        bounds: dict[str, Any] = {"since": since, "until": until}
        if isinstance(span, Days):
            bounds["zone"] = span.time_zone
            if reader.key_id is None:
                of = (reader.tenant_id, span.first, span.last, span.time_zone, reader.project_ids)
                return cls(DAYS_USED, "local_day", DaysUsed(*of, only_totals=only_totals).parameters() | bounds)
        slot = "hour" if isinstance(span, Hours) else "(hour at time zone %(zone)s)::date"
        projects = None if reader.project_ids is None else sorted(reader.project_ids)
        whose = {"tenant": reader.tenant_id, "projects": projects, "key": reader.key_id}
        return cls(HOURS_USED, slot, bounds | whose)
