"""An organisation's prepaid credit: what is left of it, where it came from, a top-up ordered."""

from operator import attrgetter

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from billing.contracts.contracts import contract_in_force
from billing.credit.account import Lot, account_of, bank_account_of, lots_of, movements_of, orders_of
from billing.credit.alerts import Thresholds, choose_thresholds, thresholds_of
from billing.credit.orders import order_top_up, smallest_top_up, withdraw_order
from billing.invoices.document.page import in_fours
from billing.models import CreditOrder
from console.forms.credit import CreditAlertsForm, TopUpForm
from console.pages import tenant_page
from console.refusals import show_at_form
from identity.access import Caller
from identity.errors import Conflict, Invalid
from identity.permissions import Permission

_SHOWN = 50  # lots, entries and orders on the page: the newest; the API and exports have all


@tenant_page(Permission.BILLING_READ)
@require_GET
def credit(request: HttpRequest, caller: Caller) -> HttpResponse:
    """Balance, lots, movements and orders."""
    tenant = caller.tenant
    lots, orders = lots_of(tenant, size=_SHOWN), orders_of(tenant, size=_SHOWN)
    bank = next(filter(None, map(bank_account_of, orders)), None)
    contract = contract_in_force(tenant)
    shown = {
        "credit": account_of(tenant),
        "lots": lots,
        "next_end": next_end(lots),
        "movements": movements_of(tenant, size=_SHOWN),
        "orders": orders,
        "bank": bank,
        "iban": in_fours(bank.iban) if bank else "",
        "alerts": thresholds_of(tenant),
        "tier": contract.tier if contract else None,
        "OPEN": CreditOrder.State.OPEN,
    }
    return render(request, "console/billing/credit.html", shown)


@tenant_page(Permission.CREDIT_ORDER)
@require_http_methods(["GET", "POST"])
def credit_order(request: HttpRequest, caller: Caller) -> HttpResponse:
    """Order a top-up."""
    contract = contract_in_force(caller.tenant)
    least = smallest_top_up(caller.tenant, contract.tier) if contract else 0
    form = TopUpForm(request.POST or None, initial={"amount": least if least >= 10**9 else ""})
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            order_top_up(by=caller, amount_nano_eur=data["amount"], purchase_order=data["purchase_order"])
        except (Conflict, Invalid) as error:
            show_at_form(form, error, called={"amount_nano_eur": "amount"})
        else:
            messages.success(request, _("The top-up is ordered. It becomes credit when your payment is recorded."))
            return redirect("billing-credit", slug=caller.tenant.slug)
    return render(request, "console/billing/credit_order.html", {"form": form, "least": least})


@tenant_page(Permission.CREDIT_ORDER)
@require_POST
def credit_withdraw(request: HttpRequest, caller: Caller, order_id: int) -> HttpResponse:
    """Take an order back."""
    try:
        withdraw_order(by=caller, order_id=order_id)
    except Conflict:
        messages.error(request, _("The order is closed already."))
    else:
        messages.success(request, _("The order is withdrawn."))
    return redirect("billing-credit", slug=caller.tenant.slug)


@tenant_page(Permission.CREDIT_ORDER)
@require_http_methods(["GET", "POST"])
def credit_alerts(request: HttpRequest, caller: Caller) -> HttpResponse:
    """Choose when people are told."""
    present = thresholds_of(caller.tenant)
    initial = {"percents": ", ".join(map(str, present.percents)), "amount": present.amount_nano_eur}
    form = CreditAlertsForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            choose_thresholds(by=caller, wanted=Thresholds(data["percents"], data["amount"] or None))
        except Invalid as error:
            show_at_form(form, error, called={"amount_nano_eur": "amount"})
        else:
            messages.success(request, _("You are told at these balances."))
            return redirect("billing-credit", slug=caller.tenant.slug)
    return render(request, "console/billing/credit_alerts.html", {"form": form})


def next_end(lots: list[Lot]) -> Lot | None:
    """The lot that ends first of those with something left."""
    ending = [lot for lot in lots if lot.expires_at is not None and lot.left_nano_eur]
    return min(ending, key=attrgetter("expires_at"), default=None)
