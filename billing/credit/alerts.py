"""Telling people that their prepaid credit runs low, is used up, or is about to expire; each once.

Low: below a share of the last top-up, or an amount, that they chose (`CreditAlerts`; else 20 and 5 percent), once a
top-up and threshold; of several, the lowest. Used up: less than a request needs is left, since one was refused. About
to expire: 30 and 7 days before, once a lot. Notices go to webhooks too (`identity/notices.py`).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.utils.translation import gettext as _

from billing.models import CreditAlerts
from identity import audit
from identity.access import Caller
from identity.errors import Invalid
from identity.models import Tenant
from identity.notices import notify
from identity.permissions import Permission

TOLD_AT_ONCE_MAX = 500
PERCENTS = (20, 5)
PERCENTS_MAX = 5
DAYS_BEFORE = (30, 7)
_LOW = """
    select * from (
        select distinct on (t.tenant_id) t.tenant_id, left_.nano_eur, threshold.nano_eur,
            concat_ws(':', 'credit', t.entry_id, threshold.name), threshold.name = 'zero'
        from (
            select distinct on (c.tenant_id) c.tenant_id, c.entry_id, e.amount_nano_eur, e.created_at
            from billing_credit_entry c join billing_ledger_entry e on e.id = c.entry_id
            where e.kind = 'top_up' order by c.tenant_id, e.created_at desc, e.id desc
        ) t
        join billing_budget b on b.tenant_id = t.tenant_id and b.source = 'credit' and b.is_active
        left join billing_budget_period p on p.budget_id = b.id
        left join billing_creditalerts a on a.tenant_id = t.tenant_id
        cross join lateral (select b.limit_nano_eur - coalesce(p.spent_nano_eur, 0) as nano_eur) left_
        cross join lateral (
            select 'percent ' || x as name, t.amount_nano_eur / 100 * x as nano_eur
                from unnest(coalesce(a.percents, %(percents)s)) x
            union all select 'amount ' || a.amount_nano_eur, a.amount_nano_eur where a.amount_nano_eur is not null
            union all select 'zero', 0 where left_.nano_eur <= 0 or exists (
                select from billing_refusal r where r.tenant_id = t.tenant_id and r.at >= t.created_at
                    and r.limit_name = 'credit/tenant' and left_.nano_eur * 20 <= t.amount_nano_eur
            )
        ) threshold
        where threshold.name = 'zero' or left_.nano_eur < threshold.nano_eur
        order by t.tenant_id, threshold.nano_eur
    ) low (tenant_id, left_nano_eur, threshold_nano_eur, once, is_zero)
    where not exists (select from identity_notice n where n.tenant_id = low.tenant_id and n.once_key = low.once)
    order by tenant_id limit %(most)s
"""
_ENDING = """
    select * from (
        select distinct on (l.lot_id) c.tenant_id, l.left_nano_eur, l.expires_at,
            concat_ws(':', 'credit', l.lot_id, 'ends', d.days) as once
        from (
            select distinct tenant_id from billing_credit_entry
            where expires_at > now() and expires_at <= now() + make_interval(days => %(longest)s)
        ) c
        cross join lateral billing_credit_lots_v1(c.tenant_id) l
        join unnest(%(days)s) d (days) on l.expires_at <= now() + make_interval(days => d.days)
        where l.expires_at > now() and l.left_nano_eur > 0
        order by l.lot_id, d.days
    ) ending
    where not exists (select from identity_notice n where n.tenant_id = ending.tenant_id and n.once_key = ending.once)
    order by tenant_id limit %(most)s
"""


class Thresholds(NamedTuple):
    """When people are told: shares of the last top-up in percent, and an amount in nano-EUR (None: none)."""

    percents: Sequence[int]
    amount_nano_eur: int | None


def thresholds_of(tenant: Tenant) -> Thresholds:
    """Those that were chosen, else the usual ones."""
    found = CreditAlerts.objects.filter(tenant=tenant).first()
    return Thresholds(found.percents, found.amount_nano_eur) if found else Thresholds(PERCENTS, None)


def choose_thresholds(*, by: Caller, wanted: Thresholds) -> Thresholds:
    """Be told at these. Raises `Forbidden`, `Invalid`."""
    by.require(Permission.CREDIT_ORDER)
    percents, amount = sorted({*wanted.percents}, reverse=True), wanted.amount_nano_eur
    if len(percents) > PERCENTS_MAX or any(type(one) is not int or not 1 <= one <= 100 for one in percents):
        raise Invalid("percents", _("At most %(count)s whole numbers from 1 to 100.") % {"count": PERCENTS_MAX})
    if amount is not None and (type(amount) is not int or not 0 < amount <= 10**18):
        raise Invalid("amount_nano_eur", _("An amount above zero, and at most a thousand million euros."))
    with transaction.atomic():
        Tenant.objects.select_for_update(no_key=True).get(pk=by.tenant.pk)
        values = {"percents": percents, "amount_nano_eur": amount}
        before = thresholds_of(by.tenant)
        CreditAlerts.objects.update_or_create(tenant=by.tenant, defaults=values)
        told = {"percents": list(before.percents), "amount_nano_eur": before.amount_nano_eur}
        target = audit.Target("credit", "")
        audit.record(
            actor=by.actor, action="credit.alerts_set", target=target, tenant=by.tenant, before=told, after=values
        )
    return Thresholds(percents, amount)


def tell_of_credit() -> int:
    """Tell of what was not told yet; how many notices. For the worker."""
    with connection.cursor() as cursor:
        cursor.execute(_LOW, {"percents": list(PERCENTS), "most": TOLD_AT_ONCE_MAX})
        low = cursor.fetchall()
        values: dict[str, Any] = {"days": list(DAYS_BEFORE), "longest": max(DAYS_BEFORE), "most": TOLD_AT_ONCE_MAX}
        cursor.execute(_ENDING, values)
        ending = cursor.fetchall()
    for tenant_id, left, threshold, once_key, is_zero in low:
        _tell_of_low(tenant_id, max(left, 0), threshold, once_key, is_zero=is_zero)
    for tenant_id, left, expires_at, once_key in ending:
        _tell_of_end(tenant_id, left, expires_at, once_key)
    return len(low) + len(ending)


def _tell_of_low(tenant_id: int, left: int, threshold: int, once_key: str, *, is_zero: bool) -> None:
    tenant = Tenant.objects.get(pk=tenant_id)
    context = {"left_nano_eur": left, "threshold_nano_eur": threshold}
    notify(tenant, "credit.used_up" if is_zero else "credit.low", context=context, once_key=once_key)


def _tell_of_end(tenant_id: int, left: int, expires_at: datetime, once_key: str) -> None:
    context = {"left_nano_eur": left, "expires_at": expires_at.isoformat()}
    notify(Tenant.objects.get(pk=tenant_id), "credit.ending", context=context, once_key=once_key)
