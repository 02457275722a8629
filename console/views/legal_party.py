"""Who an organisation is in law: said by its owner or finance, or by the operator for it."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from billing.invoices.legal_parties import party_of, put_party
from console.forms.billing_identity import PartyForm
from console.pages import operator_page, tenant_page
from console.refusals import show_at_form
from console.views.operator.tenant_changes import tenant_or_404
from identity.access import Caller
from identity.errors import Invalid
from identity.models import Person
from identity.operators import operator_for_person, setting_up
from identity.permissions import OperatorPermission, Permission


@require_http_methods(["GET", "POST"])
@tenant_page(Permission.BILLING_READ)
def legal_party(request: HttpRequest, caller: Caller) -> HttpResponse:
    """What invoices say of the buyer; changed by who may."""
    may_change = caller.may(Permission.BILLING_UPDATE)
    form = PartyForm(request.POST or None, party=party_of(caller.tenant))
    if request.method == "POST":
        caller.require(Permission.BILLING_UPDATE)
        if _is_kept(request, form, caller):
            return redirect("billing-legal", slug=caller.tenant.slug)
    shown = {"form": form, "may_change": may_change}
    return render(request, "console/billing/legal.html", shown)


@require_http_methods(["GET", "POST"])
@operator_page(OperatorPermission.CONTRACT_UPDATE)
def operator_legal_party(request: HttpRequest, operator: Person, slug: str) -> HttpResponse:
    """The same, by the operator."""
    tenant = tenant_or_404(slug)
    form = PartyForm(request.POST or None, party=party_of(tenant))
    if request.method == "POST" and _is_kept(request, form, setting_up(tenant, operator_for_person(operator))):
        return redirect("operator-legal-party", slug=slug)
    return render(request, "console/operator/closing/legal.html", {"form": form, "tenant": tenant})


def _is_kept(request: HttpRequest, form: PartyForm, caller: Caller) -> bool:
    if not form.is_valid():
        return False
    try:
        put_party(by=caller, wish=form.wish)
    except Invalid as error:
        show_at_form(form, error)
        return False
    messages.success(request, _("The legal identity is kept. Invoices say it from now on."))
    return True
