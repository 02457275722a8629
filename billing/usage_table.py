"""Usage by day and by what used most of it: the largest groups by name, the others together. One query.

Days are those of the tenant's time zone; an hour counts to the day in which it begins. Money is nano-EUR.
"""

# ruff: noqa: S608  # queries are made of constants of ours

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from django.db import connection

from billing.day_sums import DAYS_USED, MINE, DaysUsed
from billing.overview import Totals
from billing.usage import Grouping, Reader

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
_OF_USED = (
    f"days as materialized (select local_day as day, {{grouped}} as group_id, {_FIGURES} from used group by 1, 2)"
)
_RANKED = "ranked as (select group_id from days group by 1 order by sum(measured) desc, 1 limit {most})"
# Keys are too many to add up each day of each: first which used most, then their days; the others' are what is left.
_OF_KEYS = f"""
    keys as materialized (
        select key_id as group_id, sum({{measured}}) as measured from billing_usage_hour u
        where tenant_id = %(tenant)s and hour >= %(since)s and hour < %(until)s and {{mine}} group by 1
    ), ranked as (
        select group_id from keys order by measured desc, 1 limit {{most}}
    ), of_ranked as (
        select (hour at time zone %(zone)s)::date as day, key_id as group_id, {_FIGURES} from billing_usage_hour u
        where tenant_id = %(tenant)s and hour >= %(since)s and hour < %(until)s
            and key_id = any(array(select group_id from ranked)) and {{mine}} group by 1, 2
    ), of_all as (
        select local_day as day, {_FIGURES} from used group by 1
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
_QUERIES = {
    Grouping.MODEL: f"with {DAYS_USED}, {_OF_USED}, {_RANKED} {_NAMED_DAYS}",
    Grouping.PROJECT: f"with {DAYS_USED}, {_OF_USED}, {_RANKED} {_NAMED_DAYS}",
    Grouping.KEY: f"with {DAYS_USED}, {_OF_KEYS} {_NAMED_DAYS}",
}


@dataclass(frozen=True, slots=True)
class Group:
    """One of the groups. `ref`: a project's id or a key's look-up; `name` "" for the others together."""

    name: str
    ref: str
    days: dict[date, Totals]
    totals: Totals


@dataclass(frozen=True, slots=True)
class UsageTable:
    """The groups, the largest first, the others last."""

    groups: Sequence[Group]
    totals: Totals


def usage_table(
    reader: Reader, *, by: Grouping, measure: Measure, first: date, last: date, time_zone: str
) -> UsageTable:
    """What was used from the first to the last day, by the groups that used most of the measure."""
    query = _QUERIES[by].format(
        grouped=f"{by}_id", measured=_MEASURED[measure], named=_NAMED[by], most=GROUPS_MAX, mine=MINE
    )
    wanted = DaysUsed(reader.tenant_id, first, last, time_zone, reader.project_ids)
    parameters = wanted.parameters() | {"zone": time_zone, **wanted.bounds()}
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        rows = cursor.fetchall()
    days: dict[tuple[bool, str, str], dict[date, Totals]] = {}
    for day, is_rest, name, ref, *figures in rows:
        of = days.setdefault((is_rest, name, ref), {})
        of[day] = of.get(day, Totals()).plus(Totals(*figures))
    groups = [Group(name, ref, of, _sum(of)) for (_is_rest, name, ref), of in days.items()]
    groups.sort(key=lambda group: (not group.name, -measure.of(group.totals), group.name))
    whole_totals = Totals()
    for group in groups:
        whole_totals = whole_totals.plus(group.totals)
    return UsageTable(groups, whole_totals)


def _sum(days: dict[date, Totals]) -> Totals:
    total = Totals()
    for one in days.values():
        total = total.plus(one)
    return total
