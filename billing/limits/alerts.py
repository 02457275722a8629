"""Telling people that a budget of their organisation or of a project reached a threshold that they chose.

Once a period, threshold and limit: whoever raises a budget is told anew. Of several reached at once, the highest is
told. A hard budget is never spent to the last nano-euro, as a request is refused once its upper bound does not fit: it
counts as used up from 95 % on, once it has refused one. Of a key's budget only who answers for it is told, and where
nobody does its page shows it.
"""

from typing import Any

from django.db import connection, transaction

from billing.limits.budget_duties import holder_of
from billing.models import Budget
from identity.budget_duties import people_answering
from identity.models import ApiKey, Role, Tenant
from identity.notice_kinds import KINDS
from identity.notices import notify

TOLD_AT_ONCE_MAX = 500  # budgets a run; the next one tells the others
_REACHED = """
    select * from (
        select distinct on (b.id) b.id, b.tenant_id, b.is_hard, percent, b.limit_nano_eur,
            p.spent_nano_eur, case when b.period <> 'once' then p.ends_at end,
            concat_ws(':', 'budget', b.id, extract(epoch from p.starts_at)::bigint, b.limit_nano_eur, percent) as once
        from billing_budget_period p
        join billing_budget b on b.id = p.budget_id and b.is_active and (
            b.scope in ('tenant', 'project') or exists (select from identity_budgetduty d where d.budget_id = b.id)
        )
        cross join unnest(b.alert_percents) percent
        where p.ends_at > now() and p.spent_nano_eur > 0 and (
            p.spent_nano_eur::numeric * 100 >= b.limit_nano_eur::numeric * percent
            or percent = 100 and b.is_hard and p.spent_nano_eur::numeric * 100 >= b.limit_nano_eur::numeric * 95
                and exists (
                    select from billing_refusal r where r.tenant_id = b.tenant_id and r.at >= p.starts_at
                        and b.scope_id = case b.scope
                            when 'tenant' then r.tenant_id when 'project' then r.project_id else r.key_id end
                        and r.limit_name = 'budget/' || b.period || '/' || b.scope
                )
        )
        order by b.id, percent desc
    ) reached
    where not exists (
        select from identity_notice n where n.tenant_id = reached.tenant_id and n.once_key = reached.once
    )
    order by id limit %s
"""


def tell_reached_budgets() -> int:
    """Tell of every threshold that was reached and not told yet; how many these were."""
    with connection.cursor() as cursor:
        cursor.execute(_REACHED, [TOLD_AT_ONCE_MAX])
        rows = cursor.fetchall()
    for row in rows:
        _tell(*row)
    return len(rows)


def _tell(
    budget_id: int,
    tenant_id: int,
    is_hard: bool,  # noqa: FBT001  # a column of the row
    percent: int,
    limit_nano_eur: int,
    spent_nano_eur: int,
    resets_at: Any,
    once_key: str,
) -> None:
    tenant = Tenant.objects.get(pk=tenant_id)
    holder = holder_of(Budget.objects.get(pk=budget_id))
    context = {
        "name": holder.name if holder else tenant.name,
        "percent": percent,
        "spent_nano_eur": spent_nano_eur,
        "limit_nano_eur": limit_nano_eur,
        "resets_at": resets_at.isoformat() if resets_at else "–",
    }
    kind = "budget.exhausted" if percent == 100 and is_hard else "budget.reached"
    people = [person for person in (people_answering([budget_id]).get(budget_id),) if person]
    roles: frozenset[Role] | None = KINDS[kind].roles
    project = holder.project if isinstance(holder, ApiKey) else holder
    if isinstance(holder, ApiKey) and people:
        roles = None  # whoever answered for it may have lost sight of it: only then those are told who hear of projects
    with transaction.atomic():
        notify(tenant, kind, context=context, roles=roles, people=people, project=project, once_key=once_key)
