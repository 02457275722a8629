"""Prepaid credit as the operator sees it: orders that wait for a payment, payments recorded, a tenant's credit."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from billing.contracts.tiers import all_tiers
from billing.credit.account import account_of, lots_of, movements_of, orders_of
from billing.credit.moves import Payment, Recorded, correct_credit, record_payment
from billing.credit.orders import cancel_order, open_orders, order_by_id
from billing.credit.rules import Rule, credit_rules, remove_credit_rule, set_credit_rule
from billing.models import CreditOrder, Tier
from console.forms.credit import CancelOrderForm, CorrectionForm, CreditRuleForm, PaymentForm
from console.pages import operator_page
from console.refusals import show_at_form
from console.views.credit import next_end
from console.views.operator.tenant_changes import tenant_or_404
from identity.errors import Conflict, Invalid, NotFound
from identity.models import Person, Tenant
from identity.operators import Operator, operator_for_person
from identity.permissions import OperatorPermission

_SHOWN = 50  # of a table: the newest; the API has all
_OPEN_SHOWN = 200
_CALLED = {"amount_nano_eur": "amount"}


@operator_page(OperatorPermission.BILLING_READ)
@require_GET
def credit_orders(request: HttpRequest, operator: Person) -> HttpResponse:
    """The orders that wait for a payment, and how long credit lasts."""
    shown = {"orders": list(open_orders()[:_OPEN_SHOWN]), "rules": credit_rules()}
    return render(request, "console/operator/credit/orders.html", shown)


@operator_page(OperatorPermission.LEDGER_CORRECT)
@require_http_methods(["GET", "POST"])
def credit_order(request: HttpRequest, operator: Person, order_id: int) -> HttpResponse:
    """Record the payment of an order."""
    order = _open_order(order_id)
    initial = {"amount": order.amount_nano_eur, "received_on": timezone.localdate()}
    form = PaymentForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        recorded = _recorded(form, operator_for_person(operator), order.tenant, order)
        if recorded is not None:
            _tell(request, recorded)
            return redirect("operator-tenant-credit", slug=order.tenant.slug)
    shown = {"form": form, "order": order, "tenant": order.tenant}
    return render(request, "console/operator/credit/payment.html", shown)


@operator_page(OperatorPermission.LEDGER_CORRECT)
@require_http_methods(["GET", "POST"])
def credit_order_cancel(request: HttpRequest, operator: Person, order_id: int) -> HttpResponse:
    """Cancel an order, with a reason."""
    order = _open_order(order_id)
    form = CancelOrderForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            cancel_order(by=operator_for_person(operator), order=order, reason=form.cleaned_data["reason"])
        except (Conflict, Invalid) as error:
            show_at_form(form, error)
        else:
            messages.success(request, _("The order is cancelled."))
            return redirect("operator-credit")
    return render(request, "console/operator/credit/cancel.html", {"form": form, "order": order})


@operator_page(OperatorPermission.CONTRACT_UPDATE)
@require_http_methods(["GET", "POST"])
def credit_rule(request: HttpRequest, operator: Person) -> HttpResponse:
    """Say how long credit lasts."""
    tiers: list[Tier] = [tier for tier in all_tiers() if tier.prepaid_nano_eur is not None]
    form = CreditRuleForm(request.POST or None, tiers=tiers)
    if request.method == "POST" and form.is_valid():
        by, data = operator_for_person(operator), form.cleaned_data
        if data["how"] == "default":
            remove_credit_rule(by=by, tier=form.chosen_tier)
        else:
            months = data["months"] if data["how"] == "months" else None
            set_credit_rule(by=by, rule=Rule(form.chosen_tier, months))
        messages.success(request, _("The rule counts for credit that is recorded from now on."))
        return redirect("operator-credit")
    return render(request, "console/operator/credit/rule.html", {"form": form})


@operator_page(OperatorPermission.BILLING_READ)
@require_GET
def tenant_credit(request: HttpRequest, operator: Person, slug: str) -> HttpResponse:
    """An organisation's credit."""
    found = tenant_or_404(slug)
    lots = lots_of(found, size=_SHOWN)
    shown = {
        "tenant": found,
        "credit": account_of(found),
        "lots": lots,
        "next_end": next_end(lots),
        "movements": movements_of(found, size=_SHOWN),
        "orders": orders_of(found, size=_SHOWN),
        "OPEN": CreditOrder.State.OPEN,
    }
    return render(request, "console/operator/credit/tenant.html", shown)


@operator_page(OperatorPermission.LEDGER_CORRECT)
@require_http_methods(["GET", "POST"])
def tenant_credit_record(request: HttpRequest, operator: Person, slug: str) -> HttpResponse:
    """Record a payment that nobody ordered."""
    found = tenant_or_404(slug)
    form = PaymentForm(request.POST or None, initial={"received_on": timezone.localdate()})
    if request.method == "POST" and form.is_valid():
        recorded = _recorded(form, operator_for_person(operator), found, None)
        if recorded is not None:
            _tell(request, recorded)
            return redirect("operator-tenant-credit", slug=slug)
    return render(request, "console/operator/credit/payment.html", {"form": form, "tenant": found})


@operator_page(OperatorPermission.LEDGER_CORRECT)
@require_http_methods(["GET", "POST"])
def tenant_credit_correct(request: HttpRequest, operator: Person, slug: str) -> HttpResponse:
    """Correct the credit, or enter what was paid back."""
    found = tenant_or_404(slug)
    form = CorrectionForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            correct_credit(
                by=operator_for_person(operator),
                tenant=found,
                amount_nano_eur=data["amount"],
                reason=data["reason"],
                idempotency_key=data["idempotency_key"],
            )
        except (Conflict, Invalid) as error:
            show_at_form(form, error, called=_CALLED)
        else:
            messages.success(request, _("The credit is corrected."))
            return redirect("operator-tenant-credit", slug=slug)
    shown = {"form": form, "tenant": found, "credit": account_of(found)}
    return render(request, "console/operator/credit/correct.html", shown)


def _open_order(order_id: int) -> CreditOrder:
    order = order_by_id(order_id)
    if order.tenant.closed_at is not None:
        raise NotFound("order")
    return order


def _recorded(form: PaymentForm, by: Operator, tenant: Tenant, order: CreditOrder | None) -> Recorded | None:
    data: dict[str, Any] = form.cleaned_data
    payment = Payment(data["amount"], data["received_on"], data["idempotency_key"], data["reference"])
    try:
        return record_payment(by=by, tenant=tenant, payment=payment, order=order)
    except (Conflict, Invalid) as error:
        show_at_form(form, error, called=_CALLED)
    return None


def _tell(request: HttpRequest, recorded: Recorded) -> None:
    if not recorded.is_new:
        messages.info(request, _("This payment had been recorded already. Nothing was added."))
    elif recorded.tier is not None:
        messages.success(request, _("The payment is recorded, and %(tier)s began.") % {"tier": recorded.tier.name})
    else:
        messages.success(request, _("The payment is recorded."))
