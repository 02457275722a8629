"""A tenant as the operator looks at it: its contract, projects, limits and how many people it has. Reads only.

What lies within, keys, requests, members one by one, is the tenant's: it takes a support session. Money is nano-EUR.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection
from django.db.models import Count

from billing.contracts.contracts import contract_in_force
from billing.limits.standing import BudgetStanding, LimitStanding, budgets_on, limits_on
from billing.models import Contract
from billing.models import Scope as Holder
from billing.tenants.listed import TenantLine, tenant_by_slug
from identity.models import Membership, Tenant
from identity.name_order import BY_NAME_SQL
from identity.operators import Operator

PROJECTS_SHOWN = 20
_PROJECTS = f"""
    select p.name, p.cost_centre, p.status, coalesce(s.spent, 0)::bigint, count(*) over ()
    from identity_project p join identity_tenant t on t.id = p.tenant_id
    cross join lateral billing_period_bounds_v1('month', t.time_zone, now()) m
    left join lateral (
        select sum(u.cost_nano_eur) as spent from billing_usage_day u
        where u.tenant_id = t.id and u.project_id = p.id and u.day >= date_trunc('day', m.starts_at, 'UTC')
    ) s on true
    where p.tenant_id = %(tenant)s order by 4 desc, {BY_NAME_SQL.format("p.name")}, p.id limit %(size)s
"""  # noqa: S608  # constants of ours


@dataclass(frozen=True, slots=True)
class ProjectLine:
    """A project, and what it spent on the days (UTC) of this month; `projects` is how many there are in all."""

    name: str
    cost_centre: str
    status: str
    spent_nano_eur: int
    projects: int


@dataclass(frozen=True, slots=True)
class TenantDetail:
    """All of a tenant's page. `people`: role -> how many."""

    line: TenantLine
    contract: Contract | None
    budgets: Sequence[BudgetStanding]
    limits: Sequence[LimitStanding]
    projects: Sequence[ProjectLine]
    people: Sequence[tuple[str, int]]


def tenant_detail(by: Operator, slug: str) -> TenantDetail:
    """Raises `Forbidden`, `NotFound`."""
    line = tenant_by_slug(by, slug)
    counted = Membership.objects.filter(tenant=line.id).values_list("role").annotate(Count("pk")).order_by("role")
    with connection.cursor() as cursor:
        cursor.execute(_PROJECTS, {"tenant": line.id, "size": PROJECTS_SHOWN})
        projects = [ProjectLine(*row) for row in cursor.fetchall()]
    return TenantDetail(
        line=line,
        contract=contract_in_force(Tenant(pk=line.id)),
        budgets=budgets_on(line.id, Holder.TENANT, line.id),
        limits=limits_on(line.id, Holder.TENANT, line.id),
        projects=projects,
        people=list(counted),
    )
