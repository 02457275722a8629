"""The operator's tiers: all of them, one, a new one, a change, withdrawn, offered again, brought to its contracts."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from billing.contracts.tier_changes import (
    put_tier,
    renew_contracts,
    set_offered,
    tier_with_contracts,
    tiers_with_contracts,
)
from billing.models import Tier
from console.forms.operator_tiers import TierForm
from console.pages import operator_page
from console.refusals import show_at_form
from gateway.pools.sight import models_seen_on
from identity.errors import Conflict, Invalid
from identity.models import Person
from identity.operators import operator_for_person
from identity.permissions import OperatorPermission

_FIELDS = {"monthly_cap_nano_eur": "cap", "prepaid_nano_eur": "prepaid"}  # of the verb -> of the form


@require_GET
@operator_page(OperatorPermission.PLATFORM_READ)
def tiers(request: HttpRequest, operator: Person) -> HttpResponse:
    """All tiers, first those that are offered, with how many organisations are on them."""
    found = sorted(tiers_with_contracts(), key=lambda tier: (tier.withdrawn_at is not None, tier.by_agreement, tier.pk))
    return render(request, "console/operator/tiers/tiers.html", {"tiers": found})


@require_GET
@operator_page(OperatorPermission.PLATFORM_READ)
def tier(request: HttpRequest, operator: Person, code: str) -> HttpResponse:
    """One tier: what contracts of it begin with, who has one, which models it shows."""
    found = tier_with_contracts(code)
    shown = {"tier": found, "models": models_seen_on(found), "of_tier": True}
    return render(request, "console/operator/tiers/tier.html", shown)


@require_http_methods(["GET", "POST"])
@operator_page(OperatorPermission.CONTRACT_UPDATE)
def tier_new(request: HttpRequest, operator: Person) -> HttpResponse:
    """Make a tier."""
    return _form(request, operator, None)


@require_http_methods(["GET", "POST"])
@operator_page(OperatorPermission.CONTRACT_UPDATE)
def tier_change(request: HttpRequest, operator: Person, code: str) -> HttpResponse:
    """Change a tier, for contracts that start later."""
    return _form(request, operator, tier_with_contracts(code))


@require_POST
@operator_page(OperatorPermission.CONTRACT_UPDATE)
def tier_offer(request: HttpRequest, operator: Person, code: str, *, is_offered: bool) -> HttpResponse:
    """Let contracts start on it again, or none any more."""
    found = tier_with_contracts(code)
    set_offered(by=operator_for_person(operator), tier=found, is_offered=is_offered)
    told = _("%(name)s is offered again.") if is_offered else _("%(name)s is not offered any more.")
    messages.success(request, told % {"name": found.name})
    return redirect("operator-tier", code=code)


@require_POST
@operator_page(OperatorPermission.CONTRACT_UPDATE)
def tier_renew(request: HttpRequest, operator: Person, code: str) -> HttpResponse:
    """Bring its limits and cap to the contracts that have earlier ones."""
    renewed = renew_contracts(by=operator_for_person(operator), tier=tier_with_contracts(code))
    told = ngettext("%(count)s contract is renewed.", "%(count)s contracts are renewed.", renewed.done)
    messages.success(request, told % {"count": renewed.done})
    return redirect("operator-tier", code=code)


def _form(request: HttpRequest, operator: Person, found: Tier | None) -> HttpResponse:
    form = TierForm(request.POST or None, tier=found)
    if request.method == "POST" and form.is_valid():
        code = found.code if found else form.cleaned_data["code"]
        try:
            if found is None and Tier.objects.filter(code=code).exists():
                raise Conflict(_("There is a tier of this code already."))
            made, is_new, _changed = put_tier(by=operator_for_person(operator), code=code, wish=form.wish)
        except Invalid as error:
            show_at_form(form, Invalid(_FIELDS.get(error.field, error.field), error.message))
        except Conflict as error:
            show_at_form(form, error)
        else:
            told = _("The tier %(name)s is there.") if is_new else _("%(name)s is changed, for contracts to come.")
            messages.success(request, told % {"name": made.name})
            return redirect("operator-tier", code=made.code)
    return render(request, "console/operator/tiers/form.html", {"form": form, "tier": found})
