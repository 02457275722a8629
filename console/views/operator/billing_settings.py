"""How the seller bills: bank account, mentions, series, approval, accounts, rates of VAT."""

from datetime import date

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from billing.invoices.settings import (
    SettingsChanges,
    billing_settings,
    change_billing_settings,
    end_vat_rate,
    known_rates,
    put_vat_rate,
)
from billing.invoices.vat_rates import AS_OF
from console.catalog_words import country_name
from console.forms.billing_identity import FORMS, RateForm, changes_of, filled
from console.pages import operator_page
from console.refusals import show_at_form
from identity.errors import Invalid, NotFound
from identity.models import Person, Service
from identity.operators import operator_for_person
from identity.permissions import OperatorPermission
from identity.service import service


@require_GET
@operator_page(OperatorPermission.BILLING_READ)
def settings_page(request: HttpRequest, operator: Person) -> HttpResponse:
    """All of it, a form a subject."""
    return _page(request)


@require_POST
@operator_page(OperatorPermission.CONTRACT_UPDATE)
def settings_change(request: HttpRequest, operator: Person, subject: str) -> HttpResponse:
    """Change what one of the forms holds."""
    if subject not in FORMS:
        raise NotFound("subject")
    form = FORMS[subject](request.POST, auto_id=f"{subject}_%s")
    if form.is_valid():
        changes: SettingsChanges = changes_of(subject, form.cleaned_data)
        try:
            change_billing_settings(by=operator_for_person(operator), **changes)
        except Invalid as error:
            show_at_form(form, error)
        else:
            messages.success(request, _("The settings are kept."))
            return redirect("operator-billing-settings")
    return _page(request, subject, form)


@require_http_methods(["GET", "POST"])
@operator_page(OperatorPermission.CONTRACT_UPDATE)
def rates(request: HttpRequest, operator: Person) -> HttpResponse:
    """The rates of VAT, those that are shipped and the operator's own; one more."""
    form = RateForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            put_vat_rate(
                by=operator_for_person(operator),
                country=data["country"],
                valid_from=data["valid_from"],
                basis_points=int(data["percent"] * 100),
            )
        except Invalid as error:
            show_at_form(form, error)
        else:
            messages.success(request, _("The rate is kept."))
            return redirect("operator-vat-rates")
    by_name = sorted(known_rates(), key=lambda one: country_name(one.rate.country))
    return render(request, "console/operator/closing/rates.html", {"form": form, "rates": by_name, "as_of": AS_OF})


@require_POST
@operator_page(OperatorPermission.CONTRACT_UPDATE)
def rate_end(request: HttpRequest, operator: Person) -> HttpResponse:
    """Take an own rate away."""
    try:
        day = date.fromisoformat(request.POST.get("valid_from", ""))
    except ValueError:
        raise NotFound("rate") from None
    end_vat_rate(by=operator_for_person(operator), country=request.POST.get("country", ""), valid_from=day)
    messages.success(request, _("The rate was taken away."))
    return redirect("operator-vat-rates")


def _page(request: HttpRequest, part: str = "", form: forms.Form | None = None) -> HttpResponse:
    known = billing_settings()
    shown = {one: filled(one, known) for one in FORMS}
    if form is not None:
        shown[part] = form
    is_seller = service().trade == Service.Trade.SELLER
    return render(request, "console/operator/closing/settings.html", {"forms": shown, "is_seller": is_seller})
