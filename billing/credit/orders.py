"""Orders of prepaid credit: a tenant orders a top-up, or a prepaid tier with its first one; the operator records the
payment (`billing/credit/moves.py`) or cancels the order. No money moves here. Amounts are nano-EUR without VAT.
"""

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from billing.clock import database_now
from billing.contracts.contracts import contract_in_force
from billing.credit.account import account_of
from billing.limits.budgets import HIGHEST_LIMIT
from billing.models import CreditOrder, CreditPayment, Tier
from billing.money import format_eur
from identity import audit
from identity.access import Caller
from identity.errors import Conflict, Invalid, NotFound
from identity.models import Tenant
from identity.notices import notify
from identity.operators import Operator, operators_who
from identity.permissions import OperatorPermission, Permission
from identity.wording import clean_text

PURCHASE_ORDER_LENGTH_MAX = 64
REASON_LENGTH_MAX = 500
OPEN_MAX = 10  # orders of a tenant
SMALLEST_TOP_UP = 10**7  # a cent: nobody transfers less


def order_top_up(*, by: Caller, amount_nano_eur: int, purchase_order: str = "") -> CreditOrder:
    """Order credit; the first time, at least what the tier asks for. The operator is told.

    Raises `Forbidden`, `Invalid`, `Conflict`: suspended, billed afterwards, too many open orders.
    """
    by.require(Permission.CREDIT_ORDER)
    number = clean_text(purchase_order, "purchase_order", PURCHASE_ORDER_LENGTH_MAX)
    with transaction.atomic():
        tenant = _locked(by.tenant)
        running = contract_in_force(tenant)
        if running is None or running.tier.prepaid_nano_eur is None:
            raise Conflict(_("Your contract is billed afterwards: choose a prepaid tier first."))
        least = smallest_top_up(tenant, running.tier)
        if type(amount_nano_eur) is not int or not least <= amount_nano_eur <= HIGHEST_LIMIT:
            raise Invalid(
                "amount_nano_eur", _("At least %(amount)s.") % {"amount": format_eur(least, get_language() or "en")}
            )
        return _order(by, tenant, CreditOrder(amount_nano_eur=amount_nano_eur, purchase_order=number))


def order_tier(*, by: Caller, tenant: Tenant, tier: Tier, amount_nano_eur: int) -> CreditOrder:
    """Order a prepaid tier with its credit; an open order of another tier is cancelled. Within `choose_tier` only."""
    now = database_now()
    earlier = CreditOrder.objects.filter(tenant=tenant, state=CreditOrder.State.OPEN, tier__isnull=False)
    earlier.update(state=CreditOrder.State.CANCELLED, closed_at=now)
    return _order(by, tenant, CreditOrder(amount_nano_eur=amount_nano_eur, tier=tier))


def smallest_top_up(tenant: Tenant, tier: Tier) -> int:
    """What a top-up comes to at least: the first one, what the tier asks for."""
    is_first = not CreditPayment.objects.filter(tenant=tenant).exists()
    return max(tier.prepaid_nano_eur or 0 if is_first else 0, SMALLEST_TOP_UP)


def to_pay_for(tenant: Tenant, tier: Tier) -> int:
    """What has to be paid before the tier begins: what it asks for, where so much credit is not there; else 0."""
    asked = tier.prepaid_nano_eur or 0
    account = account_of(tenant) if asked else None
    return 0 if account is not None and account.balance_nano_eur >= asked else asked


def withdraw_order(*, by: Caller, order_id: int) -> None:
    """Take an open order back. Raises `Forbidden`, `NotFound`, `Conflict` where it is closed."""
    by.require(Permission.CREDIT_ORDER)
    with transaction.atomic():
        order = _close(_locked(by.tenant), order_id, "")
        detail = {"order": order.pk}
        audit.record(
            actor=by.actor, action="credit.order_withdrawn", target=_target(order), tenant=by.tenant, detail=detail
        )


def cancel_order(*, by: Operator, order: CreditOrder, reason: str) -> None:
    """As the operator; the tenant is told the reason. Raises `Forbidden`, `Invalid`, `Conflict` where it is closed."""
    by.require(OperatorPermission.LEDGER_CORRECT)
    reason = clean_text(reason, "reason", REASON_LENGTH_MAX)
    if not reason:
        raise Invalid("reason", _("Say why: the organisation reads it."))
    with transaction.atomic():
        tenant = Tenant.objects.select_for_update(no_key=True).get(pk=order.tenant_id)
        closed = _close(tenant, order.pk, reason)
        detail = {"order": closed.pk, "reason": reason}
        audit.record(
            actor=by.actor, action="credit.order_cancelled", target=_target(closed), tenant=tenant, detail=detail
        )
        audit.record(actor=by.actor, action="credit.order_cancelled", target=_target(closed), detail=detail)
        context = {"amount_nano_eur": closed.amount_nano_eur, "reason": reason}
        notify(tenant, "credit.order_cancelled", context=context)


def open_orders() -> QuerySet[CreditOrder]:
    """Of all tenants, the oldest first: what the operator waits for."""
    found = CreditOrder.objects.filter(state=CreditOrder.State.OPEN, tenant__closed_at=None)
    return found.select_related("tenant", "tier", "ordered_by").order_by("ordered_at", "pk")


def order_by_id(order_id: int) -> CreditOrder:
    """An order of any tenant, for the operator. Raises `NotFound`."""
    found = CreditOrder.objects.select_related("tenant", "tier", "payment").filter(pk=order_id).first()
    if found is None:
        raise NotFound("order")
    return found


def _order(by: Caller, tenant: Tenant, order: CreditOrder) -> CreditOrder:
    if CreditOrder.objects.filter(tenant=tenant, state=CreditOrder.State.OPEN).count() >= OPEN_MAX:
        raise Conflict(_("Too many orders are open: withdraw one, or wait for the operator."))
    order.tenant, order.ordered_by = tenant, by.person
    order.save(force_insert=True)
    detail = {"amount_nano_eur": order.amount_nano_eur, "purchase_order": order.purchase_order}
    detail["tier"] = order.tier.code if order.tier else ""
    audit.record(actor=by.actor, action="credit.ordered", target=_target(order), tenant=tenant, detail=detail)
    context = {"organisation": tenant.name, "amount_nano_eur": order.amount_nano_eur}
    context["purchase_order"] = order.purchase_order or "–"
    notify(None, "credit.ordered", context=context, people=operators_who(OperatorPermission.BILLING_READ))
    return order


def _locked(tenant: Tenant) -> Tenant:
    fresh = Tenant.objects.select_for_update(no_key=True).get(pk=tenant.pk)
    if fresh.status != Tenant.Status.ACTIVE:
        raise Conflict(_("The organisation is suspended."))
    return fresh


def _close(tenant: Tenant, order_id: int, reason: str) -> CreditOrder:
    order = CreditOrder.objects.select_for_update(of=("self",)).filter(pk=order_id, tenant=tenant).first()
    if order is None:
        raise NotFound("order")
    if order.state != CreditOrder.State.OPEN:
        raise Conflict(_("The order is closed already."))
    changes = {"state": CreditOrder.State.CANCELLED, "closed_at": database_now(), "reason": reason}
    CreditOrder.objects.filter(pk=order.pk).update(**changes)
    return order


def _target(order: CreditOrder) -> audit.Target:
    return audit.Target("credit order", str(order.pk))
