"""All tenants as the operator looks at them: what each spent this month, its cap, its last request, its owner.

The platform's own account is none of them. One query a page. Sums are the ledger's own (`billing_usage_day`, whole
days in UTC, and `billing_usage_hour` for what of the month lies outside of them); no usage record is read but each
tenant's last: `between` and the order by tenant leave PostgreSQL the index by tenant alone, where "=" lets it walk
through everybody's records in search of who has none. Money is nano-EUR.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from identity.errors import NotFound
from identity.name_order import BY_NAME_SQL
from identity.operators import Operator
from identity.permissions import OperatorPermission

SEARCH_LENGTH_MAX = 100

_LIST = """
    with page as materialized (
        select t.* from identity_tenant t where not t.is_platform and t.closed_at is null and ({which})
        order by {name}, t.id limit %(size)s
    ), bounds as (
        select p.id, m.starts_at,
            date_trunc('day', m.starts_at + interval '1 day' - interval '1 microsecond', 'UTC') as first_day
        from page p cross join lateral billing_period_bounds_v1('month', p.time_zone, now()) m
    )
    select p.id, p.slug, coalesce(p.external_id, ''), p.name, p.time_zone, p.status, p.suspended_at, p.suspended_reason,
        p.created_at, p.is_demo, coalesce(c.code, ''), coalesce(c.name, ''), s.spent, b.limit_nano_eur,
        coalesce(b.is_hard, false), r.admitted_at, coalesce(o.name, i.email, ''), o.name is null and i.email is not null
    from page p join bounds m on m.id = p.id
    left join lateral (
        select tier.code, tier.name from billing_contract contract join billing_tier tier on tier.id = contract.tier_id
        where contract.tenant_id = p.id and contract.ends_at is null
    ) c on true
    cross join lateral (
        select ((
            select coalesce(sum(u.cost_nano_eur), 0) from billing_usage_day u
            where u.tenant_id = p.id and u.day >= m.first_day
        ) + (
            select coalesce(sum(u.cost_nano_eur), 0) from billing_usage_hour u
            where u.tenant_id = p.id and u.hour >= m.starts_at and u.hour < m.first_day
        ))::bigint as spent
    ) s
    left join lateral (
        select limit_nano_eur, is_hard from billing_budget
        where tenant_id = p.id and scope = 'tenant' and scope_id = p.id and period = 'month' and is_active
        order by is_hard desc, limit_nano_eur limit 1
    ) b on true
    left join lateral (
        select u.admitted_at from billing_usage_record u where u.tenant_id between p.id and p.id
        order by u.tenant_id, u.request_id desc limit 1
    ) r on true
    left join lateral (
        select coalesce(nullif(person.name, ''), person.email) as name from identity_membership member
        join identity_person person on person.id = member.person_id
        where member.tenant_id = p.id and member.role = 'owner' and person.is_active order by member.id limit 1
    ) o on true
    left join lateral (
        select email from identity_invitation
        where tenant_id = p.id and role = 'owner' and accepted_at is null and withdrawn_at is null
            and expires_at > now() order by id limit 1
    ) i on true
    order by {page_name}, p.id
"""
_NAME = BY_NAME_SQL.format("t.name")
_FOUND = f"""
    (%(status)s = '' or t.status = %(status)s)
    and (%(text)s = '' or position(lower(%(text)s) in lower(t.name)) > 0 or position(lower(%(text)s) in t.slug) > 0
        or position(lower(%(text)s) in lower(t.external_id)) > 0)
    and (%(tier)s = '' or exists (
        select from billing_contract c join billing_tier i on i.id = c.tier_id
        where c.tenant_id = t.id and c.ends_at is null and i.code = %(tier)s))
    and (%(after)s = 0
        or ({_NAME}, t.id) > (
            select {BY_NAME_SQL.format("a.name")}, a.id from identity_tenant a where a.id = %(after)s))
"""  # noqa: S608  # constants of ours


@dataclass(frozen=True, slots=True)
class TenantLine:
    """A tenant in the operator's list. `spent_nano_eur` of this month, in its time zone.

    limit_nano_eur: of the budget a month that binds first; None without one; `is_hard`: it refuses what would pass it
    owner: a name, or the address that is invited; "" where nobody is
    """

    id: int
    slug: str
    external_id: str
    name: str
    time_zone: str
    status: str
    suspended_at: datetime | None
    suspended_reason: str
    created_at: datetime
    is_demo: bool
    tier: str
    tier_name: str
    spent_nano_eur: int
    limit_nano_eur: int | None
    is_hard: bool
    last_request_at: datetime | None
    owner: str
    owner_is_invited: bool

    @property
    def is_suspended(self) -> bool:
        """Whether its keys are refused."""
        return self.status == "suspended"


@dataclass(frozen=True, slots=True)
class TenantPage:
    """Some tenants by name; `next` is the id after which the list goes on, None at its end."""

    tenants: Sequence[TenantLine]
    next: int | None


def tenants_for(
    by: Operator, *, size: int, after: int = 0, text: str = "", status: str = "", tier: str = ""
) -> TenantPage:
    """Tenants by name. text: in name, slug or external id; tier: the code of their contract's. Raises `Forbidden`."""
    by.require(OperatorPermission.PLATFORM_READ)
    words = text.strip()[:SEARCH_LENGTH_MAX]
    values = {"size": size + 1, "after": after, "text": words, "status": status, "tier": tier}
    found = _lines(_FOUND, values)
    page = found[:size]
    return TenantPage(page, page[-1].id if len(found) > size else None)


def tenant_by_slug(by: Operator, slug: str) -> TenantLine:
    """One tenant. Raises `Forbidden`, `NotFound`."""
    return _one(by, "t.slug = %(key)s", slug)


def tenant_by_external_id(by: Operator, external_id: str) -> TenantLine:
    """One tenant. Raises `Forbidden`, `NotFound`."""
    return _one(by, "t.external_id = %(key)s", external_id)


def _one(by: Operator, which: str, key: str) -> TenantLine:
    by.require(OperatorPermission.PLATFORM_READ)
    found = _lines(which, {"key": key, "size": 1})
    if not found:
        raise NotFound("tenant")
    return found[0]


def _lines(which: str, parameters: Mapping[str, Any]) -> list[TenantLine]:
    with connection.cursor() as cursor:
        cursor.execute(_LIST.format(which=which, name=_NAME, page_name=BY_NAME_SQL.format("p.name")), parameters)
        return [TenantLine(*row) for row in cursor.fetchall()]
