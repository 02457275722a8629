"""Usage by day and by what used most of it: the largest groups by name, the others together. One query.

Days are those of the tenant's time zone; an hour counts to the day in which it begins. Money is nano-EUR.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from django.db import connection

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
_GROUPED = {Grouping.MODEL: "model_id", Grouping.PROJECT: "project_id", Grouping.KEY: "key_id"}
_NAMED = {
    Grouping.MODEL: "select name, '' from models_catalog_languagemodel where id = r.group_id",
    Grouping.PROJECT: "select name, id::text from identity_project where id = r.group_id",
    Grouping.KEY: "select name, lookup from identity_apikey where id = r.group_id",
}
_QUERY = """
    with hours as materialized (
        select (hour at time zone %(zone)s)::date as day, {grouped} as group_id, sum(requests) as requests,
            sum(failed_requests) as failed, sum(cost_nano_eur) as cost,
            sum(input_quantity + cached_quantity) as tokens_in,
            sum(output_quantity + reasoning_quantity) as tokens_out, sum({measured}) as measured
        from billing_usage_hour
        where tenant_id = %(tenant)s and hour >= %(since)s and hour < %(until)s
            and (%(projects)s::bigint[] is null or project_id = any(%(projects)s))
        group by 1, 2
    ), ranked as (
        select group_id from hours group by 1 order by sum(measured) desc, 1 limit {most}
    ), named as (
        select r.group_id, n.* from ranked r cross join lateral ({named}) n (name, ref)
    )
    select h.day, n.group_id is null, coalesce(n.name, ''), coalesce(n.ref, ''), sum(h.requests)::bigint,
        sum(h.failed)::bigint, sum(h.cost)::bigint, sum(h.tokens_in)::bigint, sum(h.tokens_out)::bigint
    from hours h left join named n on n.group_id = h.group_id group by 1, 2, 3, 4, n.group_id order by 1
"""


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
    reader: Reader, *, by: Grouping, measure: Measure, since: datetime, until: datetime, time_zone: str
) -> UsageTable:
    """What was used in `[since, until)` (rounded to whole hours), by the groups that used most of the measure."""
    query = _QUERY.format(grouped=_GROUPED[by], measured=_MEASURED[measure], named=_NAMED[by], most=GROUPS_MAX)
    projects = None if reader.project_ids is None else sorted(reader.project_ids)
    whole = since.replace(minute=0, second=0, microsecond=0)
    parameters = {"tenant": reader.tenant_id, "projects": projects, "zone": time_zone, "since": whole, "until": until}
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
