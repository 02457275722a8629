"""Who uses which model, over all tenants, from the ledger's sums of whole days (UTC). The platform's own is left out.

Money is nano-EUR.
"""

from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.db import connection

TENANTS_SHOWN = 100
_CLIENTS = "not exists (select from identity_tenant t where t.id = u.tenant_id and t.is_platform)"
_BY_MODEL = f"""
    select u.model_id, coalesce(sum(u.requests) filter (where u.day = %(today)s), 0)::bigint,
        sum(u.requests)::bigint, count(distinct u.tenant_id), sum(u.cost_nano_eur)::bigint
    from billing_usage_day u where u.day >= %(month)s and {_CLIENTS} group by u.model_id
"""  # noqa: S608  # constants of ours
_BY_TENANT = f"""
    select t.id, t.slug, t.name, u.requests, u.tokens, u.cost from (
        select u.tenant_id, sum(u.requests)::bigint as requests, sum(u.cost_nano_eur)::bigint as cost,
            sum(u.input_quantity + u.cached_quantity + u.output_quantity + u.reasoning_quantity)::bigint as tokens
        from billing_usage_day u where u.model_id = %(model)s and u.day >= %(month)s and {_CLIENTS} group by 1
    ) u join identity_tenant t on t.id = u.tenant_id order by u.cost desc, t.name limit %(most)s
"""  # noqa: S608


class ModelUse(NamedTuple):
    """What all tenants together used of a model: requests of today and of this month, and how many tenants did."""

    requests_today: int = 0
    requests: int = 0
    tenants: int = 0
    cost_nano_eur: int = 0


class TenantUse(NamedTuple):
    """What a tenant used of a model this month."""

    tenant_id: int
    slug: str
    name: str
    requests: int
    tokens: int
    cost_nano_eur: int


def use_by_model(*, now: datetime) -> dict[int, ModelUse]:
    """By model id, this month's; in one query. Models that nobody used are not there."""
    with connection.cursor() as cursor:
        cursor.execute(_BY_MODEL, _times(now))
        return {model_id: ModelUse(*figures) for model_id, *figures in cursor.fetchall()}


def tenants_that_used(model_id: int, *, now: datetime) -> list[TenantUse]:
    """Those that used the model this month, who paid most first; `TENANTS_SHOWN` at most."""
    with connection.cursor() as cursor:
        cursor.execute(_BY_TENANT, {**_times(now), "model": model_id, "most": TENANTS_SHOWN})
        return [TenantUse(*row) for row in cursor.fetchall()]


def _times(now: datetime) -> dict[str, Any]:
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return {"today": today, "month": today.replace(day=1)}
