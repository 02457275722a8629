"""What an operator agrees on with an organisation: values of its contract, discounts and fixed lines of its bill."""

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from billing.contracts.agreements import agreements_of, draft_agreement, end_agreement, put_agreement
from billing.contracts.contracts import contract_in_force
from billing.contracts.own_prices import plan_own_prices, put_own_prices
from billing.contracts.sheet import Dated, contract_sheet, contracts_of, dated, prices_left_behind
from billing.contracts.terms import add_term, end_term, this_month
from billing.models import Agreement
from billing.prices.changes import Outcome
from billing.prices.files import read_price_wishes
from billing.tenants.changes import agreement_change
from billing.tenants.listed import tenant_by_slug
from console.forms.operator_agreements import AgreementForm, OwnPricesForm, TermEndForm, TermForm
from console.pages import operator_page
from console.refusals import sentence_of, show_at_form
from console.views.operator.price_files import line_of
from console.views.operator.tenant_changes import tenant_or_404
from identity.errors import Conflict, Invalid
from identity.models import Person
from identity.operators import operator_for_person
from identity.permissions import OperatorPermission

_EXAMPLE = """model,input,output
gpt-oss:120b,1.20,5.50"""
_CALLED = {"monthly_cap_nano_eur": "cap_amount"}


@require_GET
@operator_page(OperatorPermission.PLATFORM_READ)
def tenant_terms(request: HttpRequest, operator: Person, slug: str) -> HttpResponse:
    """Its contract: each value with its source, what is agreed and planned, discounts and fixed lines, earlier ones."""
    found = tenant_or_404(slug)
    sheet = contract_sheet(found)
    left_behind = prices_left_behind(sheet.contract) if sheet else None
    shown = {
        "tenant": found,
        "sheet": sheet,
        "has_own_list": left_behind is not None,
        "left_behind": left_behind,
        "contracts": contracts_of(found),
        "this_month": timezone.localdate(timezone=ZoneInfo(found.time_zone)),
    }
    return render(request, "console/operator/agreements/terms.html", shown)


@require_http_methods(["GET", "POST"])
@operator_page(OperatorPermission.CONTRACT_UPDATE)
def tenant_agreement(request: HttpRequest, operator: Person, slug: str) -> HttpResponse:
    """Agree on values: first a look at what they change, then, asked once more, they count."""
    found = tenant_or_404(slug)
    running = contract_in_force(found)
    if running is None:
        return redirect("operator-tenant-contract", slug=slug)
    known = [dated(one, found) for one in agreements_of(found)]
    form = AgreementForm(request.POST or None, tier=running.tier, now=_chosen(request, known))
    shown: dict[str, object] = {"form": form, "tenant": found, "contract": running}
    if request.method == "POST" and form.is_valid():
        by = operator_for_person(operator)
        try:
            if "agree" in request.POST:
                agreement, is_new = put_agreement(by=by, tenant=found, wish=form.wish)
                messages.success(request, _told(agreement, is_new=is_new))
                return redirect("operator-tenant-terms", slug=slug)
            draft = draft_agreement(tenant=found, wish=form.wish)
        except (Invalid, Conflict) as error:
            show_at_form(form, error, called=_CALLED)
        else:
            change = agreement_change(running=running, agreement=draft)
            spent = tenant_by_slug(by, slug).spent_nano_eur
            is_below = draft.begun_at is not None and change.cap_after is not None and spent >= change.cap_after
            shown |= {"change": change, "draft": dated(draft, found), "spent": spent, "is_below": is_below}
    return render(request, "console/operator/agreements/agreement.html", shown)


@require_http_methods(["GET", "POST"])
@operator_page(OperatorPermission.PRICE_UPDATE)
def tenant_own_prices(request: HttpRequest, operator: Person, slug: str) -> HttpResponse:
    """Agree on prices of some models: first a look at what each costs now, then, asked once more, they count."""
    found, by = tenant_or_404(slug), operator_for_person(operator)
    form = OwnPricesForm(request.POST or None)
    shown: dict[str, object] = {
        "form": form,
        "tenant": found,
        "example": _EXAMPLE,
        "contract": contract_in_force(found),
    }
    if request.method == "POST" and form.is_valid():
        try:
            wishes = read_price_wishes(form.cleaned_data["text"], zone=ZoneInfo(found.time_zone))
            plans, short = plan_own_prices(by=by, tenant=found, wishes=wishes)
            may_agree = all(plan.outcome != Outcome.REFUSED for plan in plans)
            shown |= {"lines": [line_of(plan, is_done=False) for plan in plans], "may_agree": may_agree}
            shown["short_notice"] = short
            if "agree" in request.POST and may_agree:
                put_own_prices(by=by, tenant=found, wishes=wishes, reason=form.cleaned_data["reason"])
                messages.success(request, _("These prices count from now on. The organisation is told."))
                return redirect("operator-tenant-terms", slug=slug)
        except (Invalid, Conflict) as error:
            at = "reason" if isinstance(error, Invalid) and error.field == "reason" else "text"
            form.add_error(at, _said(error))
    return render(request, "console/operator/agreements/own_prices.html", shown)


@require_POST
@operator_page(OperatorPermission.CONTRACT_UPDATE)
def tenant_agreement_end(request: HttpRequest, operator: Person, slug: str, agreement_id: int) -> HttpResponse:
    """End what is agreed, now, or take back what is planned."""
    found = tenant_or_404(slug)
    try:
        end_agreement(by=operator_for_person(operator), tenant=found, agreement_id=agreement_id)
    except Conflict as error:
        messages.error(request, sentence_of(error))
    else:
        messages.success(request, _("It counts no more. The organisation is told."))
    return redirect("operator-tenant-terms", slug=slug)


@require_http_methods(["GET", "POST"])
@operator_page(OperatorPermission.CONTRACT_UPDATE)
def tenant_term_new(request: HttpRequest, operator: Person, slug: str) -> HttpResponse:
    """Agree on a discount or a fixed line."""
    found = tenant_or_404(slug)
    form = TermForm(request.POST or None, initial={"first_month": this_month(found)})
    if request.method == "POST" and form.is_valid():
        try:
            _term, is_new = add_term(by=operator_for_person(operator), tenant=found, wish=form.wish)
        except (Invalid, Conflict) as error:
            show_at_form(form, error)
        else:
            told = _("It stands on the bills of its months. The organisation is told.")
            messages.success(request, told if is_new else _("That was agreed already."))
            return redirect("operator-tenant-terms", slug=slug)
    return render(request, "console/operator/agreements/term.html", {"form": form, "tenant": found})


@require_POST
@operator_page(OperatorPermission.CONTRACT_UPDATE)
def tenant_term_end(request: HttpRequest, operator: Person, slug: str, term_id: int) -> HttpResponse:
    """Set the last month of a discount or fixed line."""
    found = tenant_or_404(slug)
    form = TermEndForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("Give a month, such as 2027-01."))
        return redirect("operator-tenant-terms", slug=slug)
    by, last_month = operator_for_person(operator), form.cleaned_data["last_month"]
    try:
        end_term(by=by, tenant=found, term_id=term_id, last_month=last_month)
    except (Invalid, Conflict) as error:
        messages.error(request, sentence_of(error))
    else:
        messages.success(request, _("It ends with that month. The organisation is told."))
    return redirect("operator-tenant-terms", slug=slug)


def _chosen(request: HttpRequest, known: Sequence[Dated]) -> Dated | None:
    """The agreement that is to be changed: one that is planned and asked for, or the one in force."""
    asked = request.GET.get("planned", "")
    if asked == "new":
        return None
    wanted = (one for one in known if one.is_planned and str(one.agreement.pk) == asked)
    in_force = (one for one in known if not one.is_planned)
    return next(wanted, None) or next(in_force, None)


def _said(error: Invalid | Conflict) -> str:
    """Of a table it is what the sentence about it goes on with."""
    if isinstance(error, Invalid) and error.field == "file":
        return _("The table %(fault)s.") % {"fault": error.message}
    return sentence_of(error)


def _told(agreement: Agreement, *, is_new: bool) -> str:
    if not is_new:
        return _("That is agreed already.")
    if agreement.begun_at is None:
        return _("It is planned. The organisation is told.")
    return _("It is in force from now on. The organisation is told.")
