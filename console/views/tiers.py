"""Tiers as an organisation sees them: side by side on its last month, and another one taken."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from billing.contracts.tier_choice import choose_tier, prospect_of, sentence_of, withdraw_choice
from billing.contracts.tier_comparison import compare_tiers
from billing.contracts.tiers import all_tiers
from billing.models import Tier
from billing.tenants.changes import contract_change
from console.pages import tenant_page
from console.refusals import sentence_of as sentence_of_refusal
from identity.access import Caller
from identity.errors import Conflict, Invalid, NotFound
from identity.permissions import Permission


@tenant_page(Permission.BILLING_READ)
@require_GET
def tiers(request: HttpRequest, caller: Caller) -> HttpResponse:
    """What each tier gives, and what last month would have cost on it."""
    comparison = compare_tiers(caller.tenant)
    offers = [(offer, sentence_of(offer.hindrance) if offer.hindrance else "") for offer in comparison.offers]
    shown = {"comparison": comparison, "offers": offers, "next": comparison.next}
    return render(request, "console/billing/tiers.html", shown)


@tenant_page(Permission.TIER_CHOOSE)
@require_http_methods(["GET", "POST"])
def tier_choose(request: HttpRequest, caller: Caller, code: str) -> HttpResponse:
    """Take a tier: first what it changes and when, then, asked again, the change."""
    found = _tier_or_404(code)
    refused, prospect = "", prospect_of(caller.tenant, found)
    if request.method == "POST":
        try:
            chosen = choose_tier(by=caller, tier=found)
        except (Conflict, Invalid) as error:
            refused = sentence_of_refusal(error)
        else:
            if chosen.order is not None:
                at_once = _("%(tier)s begins when the payment of its credit is recorded.")
                later = _("%(tier)s begins with the next month after the payment of its credit is recorded.")
                messages.success(request, (later if prospect.starts_at else at_once) % {"tier": found.name})
                return redirect("billing-credit", slug=caller.tenant.slug)
            if chosen.is_in_force:
                told = _("%(tier)s is your tier from now on.") % {"tier": found.name}
            else:
                told = _("%(tier)s begins with the next month.") % {"tier": found.name}
            messages.success(request, told)
            return redirect("billing", slug=caller.tenant.slug)
    shown = {
        "tier": found,
        "change": None if prospect.hindrance else contract_change(tenant=caller.tenant, tier=found),
        "starts_at": prospect.starts_at,
        "to_pay": prospect.to_pay_nano_eur,
        "refused": refused or (sentence_of(prospect.hindrance) if prospect.hindrance else ""),
    }
    return render(request, "console/billing/tier.html", shown)


@tenant_page(Permission.TIER_CHOOSE)
@require_POST
def tier_withdraw(request: HttpRequest, caller: Caller) -> HttpResponse:
    """Stay on the tier in force."""
    if withdraw_choice(by=caller):
        messages.success(request, _("Your tier stays as it is."))
    return redirect("billing-tiers", slug=caller.tenant.slug)


def _tier_or_404(code: str) -> Tier:
    found = all_tiers().select_related("rate_card").filter(code=code, withdrawn_at=None).first()
    if found is None:
        raise NotFound("tier")
    return found
