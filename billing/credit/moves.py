"""What moves prepaid credit: a payment, a correction, the end of a lot. Each is an entry of the ledger, made once by
its idempotency key, and the credit's limit follows from it in the same transaction (decision 0014).
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from django.db import DatabaseError, connection, transaction
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from billing.clock import database_now, is_to_come
from billing.contracts.contracts import card_of, contract_in_force, start_contract, terms_brought
from billing.contracts.tier_choice import Hindrance, is_up, next_month, prospect_of
from billing.credit.budget import make_account
from billing.credit.orders import to_pay_for
from billing.limits.budgets import HIGHEST_LIMIT
from billing.limits.places import place_of
from billing.models import CreditOrder, CreditPayment, CreditRule, LedgerEntry, Tier, TierChoice
from billing.money import format_eur
from identity import audit
from identity.errors import Conflict, Invalid, NotFound
from identity.models import Tenant
from identity.notices import notify
from identity.operators import Operator
from identity.permissions import OperatorPermission
from identity.wording import clean_name, clean_text

REFERENCE_LENGTH_MAX = 100
IDEMPOTENCY_KEY_LENGTH_MAX = 100
REASON_LENGTH_MAX = 500
EXPIRED_AT_ONCE = 500  # tenants a call of the worker's
_KIND = LedgerEntry.Kind
_OVERDRAWN = "BF002"
_DUE = """
    select e.tenant_id from (select distinct tenant_id from billing_credit_entry where expires_at <= now()) e
    where exists (select from billing_credit_lots_v1(e.tenant_id) l where l.expires_at <= now() and l.left_nano_eur > 0)
    union select tenant_id from billing_credit_ending order by 1 limit %s
"""


@dataclass(frozen=True, slots=True)
class Payment:
    """What came in. amount_nano_eur: without VAT, as it becomes credit; received_on: the bank's day."""

    amount_nano_eur: int
    received_on: date
    idempotency_key: str
    reference: str = ""


class Recorded(NamedTuple):
    """The entry of a payment; `is_new` false: it had been recorded before. `tier`: began with it."""

    entry_id: UUID
    is_new: bool
    tier: Tier | None = None


def record_payment(*, by: Operator, tenant: Tenant, payment: Payment, order: CreditOrder | None = None) -> Recorded:
    """Make a payment credit, once a tenant and idempotency key; `order`: it pays it, and the tier that waited begins.

    The same key with the same payment again changes nothing. Raises `Forbidden`, `Invalid` (a day to come too; less
    than the tier that waits asks for), `Conflict` (the key was used for another payment; the order is closed; its tier
    would end what was agreed since), `NotFound` for an order of another tenant.
    """
    by.require(OperatorPermission.LEDGER_CORRECT)
    payment = _checked(payment)
    with transaction.atomic():
        fresh = _locked(tenant)
        known = _recorded_before(fresh, payment, order)
        if known is not None:
            return Recorded(known, is_new=False)
        if is_to_come(payment.received_on, database_now(), fresh.time_zone):
            raise Invalid("received_on", _("must not be in the future"))
        paid = _open_order(fresh, order)
        make_account(place_of(fresh))
        ends = end_of_lot(fresh, paid.tier if paid else None)
        reason = clean_text(payment.reference, "reference", REFERENCE_LENGTH_MAX)
        entry = _enter(by.actor, fresh, _KIND.TOP_UP, payment.amount_nano_eur, ends, reason, _key(payment))
        CreditPayment.objects.create(
            entry_id=entry,
            tenant=fresh,
            order=paid,
            amount_nano_eur=payment.amount_nano_eur,
            received_on=payment.received_on,
            reference=reason,
        )
        if paid and paid.tier and to_pay_for(fresh, paid.tier):
            raise Invalid("amount_nano_eur", _too_little_for(paid.tier))
        tier = _close_order(by, fresh, paid) if paid else None
        detail = {"entry": str(entry), "received_on": payment.received_on.isoformat()}
        _audit(by, fresh, "credit.recorded", payment.amount_nano_eur, detail)
        context = {"amount_nano_eur": payment.amount_nano_eur, "reference": reason or "–"}
        notify(fresh, "credit.recorded", context=context)
    return Recorded(entry, is_new=True, tier=tier)


def correct_credit(
    *, by: Operator, tenant: Tenant, amount_nano_eur: int, reason: str, idempotency_key: str
) -> Recorded:
    """Add to the credit, or take from it (below zero): a mistake corrected, or money paid back.

    What is added does not expire. Raises `Forbidden`, `Invalid`, `Conflict` where less is neither spent nor reserved,
    or the key was used for another one.
    """
    by.require(OperatorPermission.LEDGER_CORRECT)
    _check_amount(abs(amount_nano_eur))
    reason = clean_text(reason, "reason", REASON_LENGTH_MAX)
    if not reason:
        raise Invalid("reason", _("Say why: it is kept with the entry."))
    key = f"credit {clean_name(idempotency_key, 'idempotency_key', IDEMPOTENCY_KEY_LENGTH_MAX)}"
    with transaction.atomic():
        fresh = _locked(tenant)
        known = LedgerEntry.objects.filter(tenant_id=fresh.pk, idempotency_key=key).first()
        if known is not None:
            if (known.amount_nano_eur, known.reason) != (amount_nano_eur, reason):
                raise Conflict(_("This idempotency key was used for another entry."))
            return Recorded(known.pk, is_new=False)
        make_account(place_of(fresh))
        entry = _enter(by.actor, fresh, _KIND.CORRECTION, amount_nano_eur, None, reason, key)
        _audit(by, fresh, "credit.corrected", amount_nano_eur, {"entry": str(entry), "reason": reason})
    return Recorded(entry, is_new=True)


def give_back(*, by: Operator, tenant: Tenant, month: date, number: str, amount_nano_eur: int) -> UUID:
    """Let be credit again what was used of it and the month's bill of that number has no room for: its entry, once a
    month. It does not expire. In the transaction of whoever issues, who has locked the tenant.
    """
    told = {"number": number, "month": f"{month:%Y-%m}"}
    reason = _("Given back with %(number)s: more credit was used in %(month)s than there was to pay.") % told
    entry = _enter(by.actor, tenant, _KIND.CORRECTION, amount_nano_eur, None, reason, f"given back {month:%Y-%m}")
    _audit(by, tenant, "credit.given_back", amount_nano_eur, {"entry": str(entry), **told})
    return entry


def end_of_lot(tenant: Tenant, tier: Tier | None = None) -> datetime | None:
    """When credit that is recorded now ends: after the last of its days in the tenant's time zone. None: never.

    tier: whose rule counts; None: that of the contract in force
    """
    running = contract_in_force(tenant)
    tier_id = tier.pk if tier else running.tier_id if running else None
    own = CreditRule.objects.filter(tier=tier_id).first() if tier_id else None
    rule = own or CreditRule.objects.filter(tier=None).first()
    if rule is None or rule.months is None:
        return None
    zone = ZoneInfo(tenant.time_zone)
    last = _months_later(database_now().astimezone(zone).date(), rule.months)
    return datetime.combine(last + timedelta(days=1), time(), zone)


def expire_lots() -> int:
    """End the lots whose time is over, each tenant in a transaction of its own; how many entries. For the worker.

    What requests under way may still charge expires when they have ended; until then each call looks again.
    """
    with connection.cursor() as cursor:
        cursor.execute(_DUE, [EXPIRED_AT_ONCE])
        tenants = [tenant_id for (tenant_id,) in cursor.fetchall()]
    return sum(_expire(tenant_id) for tenant_id in tenants)


def _expire(tenant_id: int) -> int:
    with transaction.atomic():
        tenant = Tenant.objects.select_for_update(no_key=True).get(pk=tenant_id)
        with connection.cursor() as cursor:
            cursor.execute("select lot_id, amount_nano_eur from expire_credit_v1(%s)", [tenant_id])
            ended = cursor.fetchall()
        for lot, amount in ended:
            target = audit.Target("credit", str(lot))
            detail = {"amount_nano_eur": amount}
            actor = audit.Actor.system("billing")
            audit.record(actor=actor, action="credit.expired", target=target, tenant=tenant, detail=detail)
        if ended:
            notify(tenant, "credit.expired", context={"amount_nano_eur": sum(amount for _lot, amount in ended)})
    return len(ended)


def _checked(payment: Payment) -> Payment:
    _check_amount(payment.amount_nano_eur)
    key = clean_name(payment.idempotency_key, "idempotency_key", IDEMPOTENCY_KEY_LENGTH_MAX)
    reference = clean_text(payment.reference, "reference", REFERENCE_LENGTH_MAX)
    return Payment(payment.amount_nano_eur, payment.received_on, key, reference)


def _check_amount(amount_nano_eur: int) -> None:
    if type(amount_nano_eur) is not int or not 0 < amount_nano_eur <= HIGHEST_LIMIT:
        raise Invalid("amount_nano_eur", _("An amount above zero, and at most a thousand million euros."))


def _key(payment: Payment) -> str:
    return f"payment {payment.idempotency_key}"


def _locked(tenant: Tenant) -> Tenant:
    found = Tenant.objects.select_for_update(no_key=True).filter(pk=tenant.pk, is_platform=False, closed_at=None)
    fresh = found.first()
    if fresh is None:
        raise NotFound("tenant")
    return fresh


def _recorded_before(tenant: Tenant, payment: Payment, order: CreditOrder | None) -> UUID | None:
    """The entry of that key. Raises `Conflict` where it is of another payment."""
    known = LedgerEntry.objects.filter(tenant_id=tenant.pk, idempotency_key=_key(payment)).first()
    if known is None:
        return None
    told = CreditPayment.objects.get(pk=known.pk)
    before = (told.amount_nano_eur, told.received_on, told.reference, told.order_id)
    if before != (payment.amount_nano_eur, payment.received_on, payment.reference, order.pk if order else None):
        raise Conflict(_("This idempotency key was used for another payment."))
    return known.pk


def _open_order(tenant: Tenant, order: CreditOrder | None) -> CreditOrder | None:
    if order is None:
        return None
    fresh = CreditOrder.objects.select_for_update(of=("self",)).select_related("tier__rate_card")
    found = fresh.filter(pk=order.pk, tenant=tenant).first()
    if found is None:
        raise NotFound("order")
    if found.state != CreditOrder.State.OPEN:
        raise Conflict(_("The order is closed already."))
    if found.tier is not None and prospect_of(tenant, found.tier).hindrance == Hindrance.AGREED_NOW:
        raise Conflict(_("Another contract was agreed since it was ordered: cancel the order, and record the payment."))
    return found


def _too_little_for(tier: Tier) -> str:
    asked = format_eur(tier.prepaid_nano_eur or 0, get_language() or "en")
    told = {"tier": tier.name, "amount": asked}
    return (
        _("%(tier)s asks for %(amount)s of credit. Record a part on the organisation's page, not for the order.") % told
    )


def _close_order(by: Operator, tenant: Tenant, order: CreditOrder) -> Tier | None:
    """Mark it paid; the tier that began with it. None: none waited, it is not offered any more, or it begins with the
    next month, as one does of which something is lower than now.
    """
    now = database_now()
    CreditOrder.objects.filter(pk=order.pk).update(state=CreditOrder.State.PAID, closed_at=now)
    tier = order.tier
    if tier is None:
        return None
    if tier.withdrawn_at is not None:
        notify(tenant, "contract.change_lapsed", context={"tier": tier.name})
        return None
    if not is_up(terms_brought(tenant), tier):
        TierChoice.objects.filter(tenant=tenant, closed_at=None).update(closed_at=now)
        TierChoice.objects.create(tenant=tenant, tier=tier, starts_at=next_month(tenant, now))
        return None
    running = contract_in_force(tenant)
    start_contract(tenant=tenant, tier=tier, rate_card=card_of(tier), actor=by.actor)
    before = running.tier.name if running else "–"
    notify(tenant, "contract.changed", context={"tier": tier.name, "before": before})
    return tier


def _enter(
    actor: audit.Actor, tenant: Tenant, kind: str, amount: int, ends: datetime | None, reason: str, key: str
) -> UUID:
    values: list[Any] = [uuid4(), tenant.pk, kind, amount, ends, reason, f"{actor.kind}:{actor.name}", key]
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("select enter_credit_v1(%s, %s, %s, %s, %s, %s, %s, %s)", values)
            entry: UUID = cursor.fetchone()[0]
    except DatabaseError as error:
        if getattr(error.__cause__, "sqlstate", "") == _OVERDRAWN:
            raise Conflict(_("Less than that is neither spent nor reserved.")) from None
        raise
    return entry


def _audit(by: Operator, tenant: Tenant, action: str, amount_nano_eur: int, detail: dict[str, str]) -> None:
    told = {"amount_nano_eur": amount_nano_eur, **detail}
    target = audit.Target("credit", detail["entry"])
    # In both chains, the tenant's first: the order that all writers keep.
    audit.record(actor=by.actor, action=action, target=target, tenant=tenant, detail=told)
    audit.record(actor=by.actor, action=action, target=target, detail=told | {"tenant": tenant.slug})


def _months_later(day: date, months: int) -> date:
    """The same day of a later month, or that month's last."""
    index = day.year * 12 + day.month - 1 + months
    first = date(index // 12, index % 12 + 1, 1)
    last = (first + timedelta(days=32)).replace(day=1) - timedelta(days=1)
    return first.replace(day=min(day.day, last.day))
