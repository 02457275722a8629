"""Every project of a tenant with its money this month, its budgets and how many keys it has. Reads only, two queries.

Money is nano-EUR and comes from the sums that the ledger writes with each charge.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from django.db import connection

from billing.limits.standing import BudgetStanding, budgets_of_projects
from billing.usage.day_sums import DAYS_USED, DaysUsed
from billing.usage.projection import WINDOW, projected, recent_since
from billing.usage.statement import month_of
from identity.models import Tenant

KEYS_COUNTED_MAX = 1_000  # of a project; more are "more than 1,000", which costs the same however many there are

_FIGURES = f"""
    with {DAYS_USED}, spent as (
        select project_id, sum(cost_nano_eur) filter (where local_day >= %(month_from)s) as of_month,
            sum(cost_nano_eur) filter (where local_day >= %(recent_from)s) as recent,
            min(local_day) filter (where local_day >= %(recent_from)s and requests > 0) as first_recent
        from used group by 1
    )
    select p.id, coalesce(s.of_month, 0)::bigint, coalesce(s.recent, 0)::bigint, s.first_recent, k.keys
    from identity_project p left join spent s on s.project_id = p.id
    cross join lateral (
        select count(*) as keys from (
            select from identity_apikey where project_id = p.id and revoked_at is null
            limit {KEYS_COUNTED_MAX + 1}
        ) counted
    ) k
    where p.tenant_id = %(tenant)s and p.id = any(%(projects)s)
"""  # noqa: S608  # constants of ours


@dataclass(frozen=True, slots=True)
class ProjectFigures:
    """`keys` are those not revoked, counted up to `KEYS_COUNTED_MAX` + 1. `budget` binds first this month, if any."""

    project_id: int
    spent_nano_eur: int
    projected_nano_eur: int
    keys: int
    budgets: Sequence[BudgetStanding]

    @property
    def budget(self) -> BudgetStanding | None:
        """The budget a month, else whichever has least left."""
        monthly = [budget for budget in self.budgets if budget.period == "month"]
        return min(monthly or self.budgets, key=lambda budget: budget.left_nano_eur, default=None)

    @property
    def is_over(self) -> bool:
        """Whether the month will end above its budget, if it goes on like this."""
        return self.budget is not None and self.projected_nano_eur > self.budget.limit_nano_eur

    @property
    def has_more_keys(self) -> bool:
        """Whether there are more keys than were counted."""
        return self.keys > KEYS_COUNTED_MAX


def figures_of_projects(tenant: Tenant, project_ids: Collection[int], *, now: datetime) -> dict[int, ProjectFigures]:
    """By project id; the month is the one of `now`."""
    budgets: dict[int, list[BudgetStanding]] = {}
    for budget in budgets_of_projects(tenant.pk, list(project_ids)):
        budgets.setdefault(budget.scope_id, []).append(budget)
    today = now.astimezone(ZoneInfo(tenant.time_zone)).date()
    month_from, recent_from = today.replace(day=1), today - WINDOW
    wanted = DaysUsed(tenant.pk, min(month_from, recent_from), today, tenant.time_zone, project_ids)
    parameters = wanted.parameters() | {"month_from": month_from, "recent_from": recent_from}
    _starts_at, ends_at = month_of(tenant, today)
    with connection.cursor() as cursor:
        cursor.execute(_FIGURES, parameters)
        rows = cursor.fetchall()
    found = {}
    for project_id, spent, recent, first_recent, keys in rows:
        of_project = budgets.get(project_id, [])
        monthly = [budget for budget in of_project if budget.period == "month"]
        estimate = projected(
            spent=spent,
            reserved=max((budget.held_nano_eur for budget in monthly), default=0),
            recent=recent,
            recent_since=recent_since(first_recent, today, tenant.time_zone),
            now=now,
            ends_at=ends_at,
        )
        found[project_id] = ProjectFigures(project_id, spent, estimate, keys, of_project)
    return found
