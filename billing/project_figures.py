"""Every project of a tenant with its money this month, its budgets and how many keys it has. Reads only, two queries.

Money is nano-EUR and comes from the hourly sums, which the ledger writes with each charge.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from billing.projection import WINDOW, projected
from billing.standing import BudgetStanding, budgets_of_projects

KEYS_COUNTED_MAX = 1_000  # of a project; more are "more than 1,000", which costs the same however many there are

_FIGURES = f"""
    with bounds as (
        select m.starts_at as month_from, m.ends_at as month_to
        from identity_tenant t cross join lateral billing_period_bounds_v1('month', t.time_zone, now()) m
        where t.id = %(tenant)s
    ), used as (
        select u.project_id, sum(u.cost_nano_eur) filter (where u.hour >= b.month_from) as spent,
            sum(u.cost_nano_eur) filter (where u.hour >= now() - interval '7 days') as recent,
            min(u.hour) filter (where u.hour >= now() - interval '7 days') as recent_from
        from bounds b join billing_usage_hour u on u.tenant_id = %(tenant)s
            and u.hour >= date_trunc('hour', least(b.month_from, now() - interval '7 days'))
        where u.project_id = any(%(projects)s) group by 1
    )
    select p.id, b.month_to, now(), coalesce(u.spent, 0)::bigint, coalesce(u.recent, 0)::bigint, u.recent_from, k.keys
    from identity_project p cross join bounds b left join used u on u.project_id = p.id
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


def figures_of_projects(tenant_id: int, project_ids: Collection[int]) -> dict[int, ProjectFigures]:
    """By project id."""
    ids = list(project_ids)
    budgets: dict[int, list[BudgetStanding]] = {}
    for budget in budgets_of_projects(tenant_id, ids):
        budgets.setdefault(budget.scope_id, []).append(budget)
    with connection.cursor() as cursor:
        cursor.execute(_FIGURES, {"tenant": tenant_id, "projects": ids})
        rows = cursor.fetchall()
    return {row[0]: _figures(row, budgets.get(row[0], [])) for row in rows}


def _figures(row: tuple[Any, ...], budgets: Sequence[BudgetStanding]) -> ProjectFigures:
    project_id, ends_at, now, spent, recent, recent_from, keys = row
    monthly = [budget for budget in budgets if budget.period == "month"]
    began: datetime = recent_from or now
    estimate = projected(
        spent=spent,
        reserved=max((budget.held_nano_eur for budget in monthly), default=0),
        recent=recent,
        recent_since=max(began, now - WINDOW),
        now=now,
        ends_at=ends_at,
    )
    return ProjectFigures(project_id, spent, estimate, keys, budgets)
