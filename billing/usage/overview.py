"""The figures of a tenant's first page: this month's money, the last day and the last thirty. Three queries.

Sums are the ledger's own, which it writes with each charge, so they are as fresh as the charges; an hour counts to the
day in which it begins (`day_sums.py`). A reader who is confined to projects gets the figures of these projects.
Money is nano-EUR.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from django.db import connection

from billing.limits.standing import BudgetStanding, fullest_budgets
from billing.usage.day_sums import DAYS_USED, MINE, DaysUsed
from billing.usage.projection import WINDOW, projected, recent_since
from billing.usage.records import Reader, lowest_request_id

DAYS = 30
# First-token times are those of the newest so many records of the last hour: the same work for a busy tenant.
TIMED_RECORDS_MAX = 2_000
# A tenant may have thousands of projects: those whose budgets are used most are what a first page is about.
BUDGETS_MAX = 50
_BOUNDS = """
    select t.time_zone, m.starts_at as month_from, m.ends_at as month_to
    from identity_tenant t cross join lateral billing_period_bounds_v1('month', t.time_zone, now()) m
    where t.id = %(tenant)s
"""
_DAYS = f"""
    with {DAYS_USED}
    select u.local_day, m.name, u.requests, u.failed, u.cost, u.tokens_in, u.tokens_out from (
        select local_day, model_id, sum(requests)::bigint as requests, sum(failed_requests)::bigint as failed,
            sum(cost_nano_eur)::bigint as cost, sum(input_quantity + cached_quantity)::bigint as tokens_in,
            sum(output_quantity + reasoning_quantity)::bigint as tokens_out
        from used group by 1, 2 having sum(requests) <> 0
    ) u join models_catalog_languagemodel m on m.id = u.model_id order by 1, 2
"""  # noqa: S608  # constants of ours
_PULSE = f"""
    select b.time_zone, b.month_from, b.month_to, now(), (now() at time zone b.time_zone)::date,
        d.requests, d.failed, d.cost, d.tokens_in, d.tokens_out, h.reserved::bigint, h.running,
        t.p50, t.p95, t.timed, coalesce(r.last, 0)::bigint, coalesce(r.before, 0)::bigint, coalesce(r.code, '')
    from ({_BOUNDS}) b cross join (
        select coalesce(sum(requests), 0)::bigint as requests, coalesce(sum(failed_requests), 0)::bigint as failed,
            coalesce(sum(cost_nano_eur), 0)::bigint as cost,
            coalesce(sum(input_quantity + cached_quantity), 0)::bigint as tokens_in,
            coalesce(sum(output_quantity + reasoning_quantity), 0)::bigint as tokens_out
        from billing_usage_hour u
        where u.tenant_id = %(tenant)s and u.hour >= now() - interval '1 day' and {MINE}
    ) d cross join (
        select coalesce(sum(amount_nano_eur), 0) as reserved, count(*) as running from billing_hold u
        where u.tenant_id = %(tenant)s and {MINE}
    ) h cross join (
        select percentile_disc(0.5) within group (order by ttft_ms) as p50,
            percentile_disc(0.95) within group (order by ttft_ms) as p95, count(*) as timed
        from (
            select u.ttft_ms from billing_usage_record u
            where u.tenant_id = %(tenant)s and u.request_id >= %(hour_ago)s and {MINE}
            order by u.request_id desc limit {TIMED_RECORDS_MAX}
        ) newest where ttft_ms is not null
    ) t cross join (
        select sum(last) as last, sum(before) as before, (array_agg(code order by last desc))[1] as code from (
            select u.code, coalesce(sum(refusals) filter (where u.minute > now() - interval '1 day'), 0) as last,
                coalesce(sum(refusals) filter (where u.minute <= now() - interval '1 day'), 0) as before
            from billing_refusal_count u
            where u.tenant_id = %(tenant)s and u.minute > now() - interval '2 days' and {MINE} group by 1
        ) codes
    ) r
"""  # noqa: S608


class Totals(NamedTuple):
    """Requests added up; failed ones were answered with a status of 400 or more."""

    requests: int = 0
    failed: int = 0
    cost_nano_eur: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def plus(self, other: "Totals") -> "Totals":
        """Both together."""
        return Totals(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


class DayOfModel(NamedTuple):
    """What was used of a model on a day of the tenant's time zone."""

    day: date
    model: str
    totals: Totals


@dataclass(frozen=True, slots=True)
class Month:
    """This month's money. `limit_nano_eur` None: no budget a month. `is_hard`: it refuses what would pass it."""

    starts_at: datetime
    ends_at: datetime
    spent_nano_eur: int
    reserved_nano_eur: int
    projected_nano_eur: int
    limit_nano_eur: int | None
    is_hard: bool

    @property
    def used_nano_eur(self) -> int:
        """Spent and reserved."""
        return self.spent_nano_eur + self.reserved_nano_eur

    @property
    def left_nano_eur(self) -> int:
        """Of the limit; never below zero."""
        return max((self.limit_nano_eur or 0) - self.used_nano_eur, 0)

    @property
    def is_over_pace(self) -> bool:
        """Whether the limit will not last, if it goes on like this."""
        return self.limit_nano_eur is not None and self.projected_nano_eur > self.limit_nano_eur


@dataclass(frozen=True, slots=True)
class Pulse:
    """Now and the last day. First-token times (ms, None without any) are of `timed` records of the last hour.

    `refusals` are those of the last 24 hours, `refusals_before` of the 24 hours before, `commonest_code` the last's.
    """

    running: int
    first_token_p50_ms: int | None
    first_token_p95_ms: int | None
    timed: int
    refusals: int
    refusals_before: int
    commonest_code: str


@dataclass(frozen=True, slots=True)
class Overview:
    """The first page's figures. `days` has the last `DAYS` days on which something was used, up to `today`."""

    month: Month
    pulse: Pulse
    today: date
    last_day: Totals
    last_days: Totals
    days: Sequence[DayOfModel]
    budgets: Sequence[BudgetStanding]

    @property
    def last_days_tokens(self) -> int:
        """Of all models, in and out."""
        return self.last_days.input_tokens + self.last_days.output_tokens

    @property
    def models(self) -> list[tuple[str, Totals]]:
        """What was used of each model in the last days, the most tokens first."""
        found: dict[str, Totals] = {}
        for _, model, totals in self.days:
            found[model] = found.get(model, Totals()).plus(totals)
        return sorted(found.items(), key=lambda item: (-item[1].input_tokens - item[1].output_tokens, item[0]))


def overview(reader: Reader, *, now: datetime) -> Overview:
    """All of it for the reader; `now` only bounds the records that first-token times are taken from."""
    projects = None if reader.project_ids is None else sorted(reader.project_ids)
    hour_ago = lowest_request_id(now - timedelta(hours=1))
    parameters = {"tenant": reader.tenant_id, "projects": projects, "hour_ago": hour_ago}
    with connection.cursor() as cursor:
        cursor.execute(_PULSE, parameters)
        zone, month_from, month_to, at, today, *figures = cursor.fetchone()
        last_day, reserved, pulse = Totals(*figures[:5]), figures[5], Pulse(*figures[6:])
        month_first, shown_first = month_from.astimezone(ZoneInfo(zone)).date(), today - timedelta(days=DAYS - 1)
        wanted = DaysUsed(reader.tenant_id, min(month_first, shown_first), today, zone, projects)
        cursor.execute(_DAYS, wanted.parameters())
        days = [DayOfModel(row[0], row[1], Totals(*row[2:])) for row in cursor.fetchall()]
    budgets = fullest_budgets(reader.tenant_id, projects, size=BUDGETS_MAX)
    spent = sum(day.totals.cost_nano_eur for day in days if day.day >= month_first)
    money = _money_of_month(reader, budgets) or _Money(spent, reserved, None, is_hard=False)
    shown = [day for day in days if day.day >= shown_first]
    recent = [day for day in days if day.day >= today - WINDOW]
    return Overview(
        month=Month(
            month_from, month_to, money.spent, money.reserved,
            projected(
                spent=money.spent,
                reserved=money.reserved,
                recent=sum(day.totals.cost_nano_eur for day in recent),
                recent_since=recent_since(min((day.day for day in recent), default=None), today, zone),
                now=at,
                ends_at=month_to,
            ),
            money.limit, money.is_hard,
        ),
        pulse=pulse,
        today=today,
        last_day=last_day,
        last_days=_sum(day.totals for day in shown),
        days=shown,
        budgets=budgets,
    )  # fmt: skip


class _Money(NamedTuple):
    """Of this month, as the budget counts or, without one, as the sums do."""

    spent: int
    reserved: int
    limit: int | None
    is_hard: bool


def _money_of_month(reader: Reader, budgets: Sequence[BudgetStanding]) -> _Money | None:
    """Of the tenant's budget a month that binds first; for who is confined to projects, of theirs if each has one."""
    monthly: dict[int, BudgetStanding] = {}
    scope = "tenant" if reader.project_ids is None else "project"
    for budget in budgets:
        if budget.scope == scope and budget.period == "month":
            rival = monthly.get(budget.scope_id, budget)
            monthly[budget.scope_id] = min(rival, budget, key=lambda one: one.left_nano_eur)
    wanted = {reader.tenant_id} if reader.project_ids is None else reader.project_ids
    if not monthly or monthly.keys() != wanted:
        return None
    found = monthly.values()
    return _Money(
        sum(budget.spent_nano_eur for budget in found),
        sum(budget.held_nano_eur for budget in found),
        sum(budget.limit_nano_eur for budget in found),
        is_hard=all(budget.is_hard for budget in found),
    )


def _sum(totals: Any) -> Totals:
    whole = Totals()
    for one in totals:
        whole = whole.plus(one)
    return whole
