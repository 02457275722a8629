"""What all tenants together were charged in a month: by day and model, and tenant by tenant. Reads only, nano-EUR.

Days and months begin at midnight UTC here, as the sums of days do; a tenant's own statement keeps its time zone. The
platform's own account is none of them.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.db import connection

MONTHS_BACK = 13  # as long as usage is kept
_DAYS = """
    select u.day at time zone 'UTC', m.name, sum(u.cost_nano_eur)::bigint
    from billing_usage_day u
    join identity_tenant t on t.id = u.tenant_id and not t.is_platform
    join models_catalog_languagemodel m on m.id = u.model_id
    where u.day >= %(first)s and u.day < %(until)s group by 1, 2
"""
_TENANTS = """
    with used as (
        select u.tenant_id,
            coalesce(sum(u.cost_nano_eur) filter (where u.day >= %(first)s), 0) as cost,
            coalesce(sum(u.cost_nano_eur) filter (where u.day < %(before_until)s), 0) as cost_before,
            coalesce(sum(u.requests) filter (where u.day >= %(first)s), 0) as requests
        from billing_usage_day u where u.day >= %(before)s and u.day < %(until)s group by 1
    ), refunded as (
        select e.tenant_id,
            coalesce(sum(e.amount_nano_eur) filter (where e.created_at >= %(first)s), 0) as refund,
            coalesce(sum(e.amount_nano_eur) filter (where e.created_at < %(before_until)s), 0) as refund_before
        from billing_ledger_entry e
        where e.kind = 'refund' and e.created_at >= %(before)s and e.created_at < %(until)s group by 1
    )
    select t.slug, coalesce(t.external_id, ''), t.name, (u.cost - coalesce(r.refund, 0))::bigint,
        (u.cost_before - coalesce(r.refund_before, 0))::bigint, u.requests::bigint
    from used u join identity_tenant t on t.id = u.tenant_id and not t.is_platform
    left join refunded r on r.tenant_id = u.tenant_id
    where u.requests > 0 or u.cost_before > 0 or r.refund > 0 order by 4 desc, t.slug
"""


@dataclass(frozen=True, slots=True)
class Month:
    """The days of a month that are over or run; the same of the month before, whole where this one is over."""

    first: date
    last: date
    before: date
    before_last: date
    is_over: bool

    @classmethod
    def of(cls, day: date, *, today: date) -> "Month":
        """The month of that day, no further than today."""
        first = day.replace(day=1)
        end = (first + timedelta(days=32)).replace(day=1) - timedelta(days=1)
        last = min(end, max(today, first))
        before_end = first - timedelta(days=1)
        before = before_end.replace(day=1)
        before_last = before_end if last == end else min(before_end, before + (last - first))
        return cls(first, last, before, before_last, today > end)

    @property
    def days(self) -> list[date]:
        """From the first to the last."""
        return [self.first + timedelta(days=number) for number in range((self.last - self.first).days + 1)]


@dataclass(frozen=True, slots=True)
class TenantUse:
    """What a tenant was charged, less what was given back; `cost_before`: in the days of the month before."""

    slug: str
    external_id: str
    name: str
    cost_nano_eur: int
    cost_before_nano_eur: int
    requests: int


@dataclass(frozen=True, slots=True)
class PlatformUse:
    """A month of all tenants: the dearest first, and what each model's requests cost a day before refunds."""

    month: Month
    tenants: Sequence[TenantUse]
    by_model: Mapping[str, Mapping[date, int]]

    @property
    def cost_nano_eur(self) -> int:
        """Charged, less what was given back."""
        return sum(one.cost_nano_eur for one in self.tenants)

    @property
    def cost_before_nano_eur(self) -> int:
        """The same in the days of the month before."""
        return sum(one.cost_before_nano_eur for one in self.tenants)

    @property
    def requests(self) -> int:
        """Of all tenants."""
        return sum(one.requests for one in self.tenants)


def platform_use(month: Month) -> PlatformUse:
    """What the month came to so far, in two queries."""
    bounds = {
        "first": _midnight(month.first),
        "until": _midnight(month.last + timedelta(days=1)),
        "before": _midnight(month.before),
        "before_until": _midnight(month.before_last + timedelta(days=1)),
    }
    by_model: dict[str, dict[date, int]] = defaultdict(dict)
    with connection.cursor() as cursor:
        cursor.execute(_DAYS, bounds)
        for day, model, cost in cursor.fetchall():
            by_model[model][day.date()] = cost
        cursor.execute(_TENANTS, bounds)
        tenants = [TenantUse(*row) for row in cursor.fetchall()]
    return PlatformUse(month, tenants, by_model)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
