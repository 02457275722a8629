"""What a model costs on a price list: what it did and will, a change that is looked at first, one taken back."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from billing.models import RateCard
from billing.models.prices import Mode
from billing.prices.changes import (
    Outcome,
    PricePlan,
    changes_of,
    plan_prices,
    put_prices,
    short_notice,
    withdraw_price,
)
from billing.prices.listed import ListedPrice, meters_of, models_without_price, prices_of_model, withdrawn_prices
from billing.prices.preview import preview_prices
from billing.prices.price_lists import card_of_list
from billing.pricing import divide_half_even
from console.forms.operator_prices import PriceChangeForm, mode_of
from console.pages import operator_page
from console.refusals import show_at_form
from console.views.operator.models import model_or_404
from identity.errors import Conflict, Invalid
from identity.models import Person
from identity.operators import Operator, operator_for_person
from identity.permissions import OperatorPermission
from models_catalog.models import LanguageModel

MODELS_SHOWN = 500  # to choose from
TENANTS_SHOWN = 50  # of a preview; the sum has all
_BATCH_SHARE = 500_000  # millionths of the standard price that a batch price is proposed at
_FIELDS = {"valid_from": "starts_on", "prices": ""}  # of the verb -> of the form


@require_GET
@operator_page(OperatorPermission.PLATFORM_READ)
def price_history(request: HttpRequest, operator: Person, list_id: int, model_id: int) -> HttpResponse:
    """All that the model's prices on the list were, are and will be."""
    card, model = card_of_list(list_id), model_or_404(model_id)
    listed = {one.mode: one for one in prices_of_model(card, model)}
    modes = [(mode, listed.get(mode), meters_of([listed[mode]]) if mode in listed else []) for mode in Mode.values]
    shown = {"card": card, "model": model, "modes": modes, "withdrawn": withdrawn_prices(card, model)}
    return render(request, "console/operator/price_lists/history.html", shown)


@require_GET
@operator_page(OperatorPermission.PRICE_UPDATE)
def price_add(request: HttpRequest, operator: Person, list_id: int) -> HttpResponse:
    """Choose a model that the list says nothing of, and from there to its first price."""
    card, chosen = card_of_list(list_id), request.GET.get("model", "")
    if chosen.isdecimal():
        return redirect("operator-price-change", list_id=list_id, model_id=model_or_404(int(chosen[:18])).pk)
    shown = {"card": card, "models": models_without_price(card, most=MODELS_SHOWN)}
    return render(request, "console/operator/price_lists/add.html", shown)


@require_http_methods(["GET", "POST"])
@operator_page(OperatorPermission.PRICE_UPDATE)
def price_change(request: HttpRequest, operator: Person, list_id: int, model_id: int) -> HttpResponse:
    """Other prices for a model in a mode: first what they would have made of last month, then the change."""
    card, model = card_of_list(list_id), model_or_404(model_id)
    mode = mode_of(request.POST.get("mode") or request.GET.get("mode"))
    listed = {one.mode: one for one in prices_of_model(card, model)}
    known, by_minute = _proposed(listed, mode)
    form = PriceChangeForm(request.POST or None, model=model, mode=mode, known=known, by_started_minute=by_minute)
    shown = {"card": card, "model": model, "mode": mode, "form": form, "is_first": mode not in listed}
    if request.method == "POST" and form.is_valid():
        plan = _planned_or_put(request, card, form, operator_for_person(operator))
        if plan.outcome == Outcome.REFUSED:
            assert isinstance(plan.error, Invalid | Conflict)
            error = plan.error
            show_at_form(
                form, Invalid(_FIELDS.get(error.field, ""), error.message) if isinstance(error, Invalid) else error
            )
        elif plan.outcome == Outcome.SAME:
            form.add_error(None, _("It costs the same then already."))
        elif "save" in request.POST and not form.errors:
            messages.success(request, _told(plan, is_now=form.wish.valid_from is None))
            return redirect("operator-price-history", list_id=list_id, model_id=model_id)
        else:
            shown |= previewed(card, [plan])
    return render(request, "console/operator/price_lists/change.html", shown)


@require_POST
@operator_page(OperatorPermission.PRICE_UPDATE)
def price_withdraw(request: HttpRequest, operator: Person, list_id: int, version_id: int) -> HttpResponse:
    """Take scheduled prices back."""
    card = card_of_list(list_id)
    model_id = request.POST.get("model", "")
    withdraw_price(by=operator_for_person(operator), rate_card=card, version_id=version_id)
    messages.success(request, _("The change is withdrawn. Who was told of it is told."))
    if model_id.isdecimal():
        return redirect("operator-price-history", list_id=list_id, model_id=int(model_id[:18]))
    return redirect("operator-price-list", list_id=list_id)


def _planned_or_put(request: HttpRequest, card: RateCard, form: PriceChangeForm, by: Operator) -> PricePlan:
    """What became of the wish; only what would, where nobody said save or a reason is missing, which the form shows."""
    if "save" in request.POST:
        try:
            [plan] = put_prices(by=by, rate_card=card, wishes=[form.wish], reason=form.reason)
        except Invalid as error:
            show_at_form(form, error)
        else:
            return plan
    [plan] = plan_prices(by=by, rate_card=card, wishes=[form.wish])
    return plan


def previewed(card: RateCard, plans: list[PricePlan]) -> dict[str, object]:
    """What a template shows of the plans: last month at both prices, and whether the notice is short."""
    preview = preview_prices(card, changes_of(plans))
    return {
        "preview": preview,
        "preview_tenants": preview.tenants[:TENANTS_SHOWN],
        "preview_rest": max(len(preview.tenants) - TENANTS_SHOWN, 0),
        "short_notice": short_notice(card, plans),
        "rounds_otherwise": any(plan.outcome == Outcome.ADDED and plan.rounds_otherwise for plan in plans),
        "plans": plans,
    }


def _proposed(listed: dict[str, ListedPrice], mode: str) -> tuple[dict[str, int], bool]:
    """What stands in the form at first: the last prices known, and whether they count audio by started minute; for a
    first batch price half of the standard one.
    """
    known = listed.get(mode)
    if known is not None:
        last = known.coming[-1] if known.coming else known.in_force
        return (dict(last.prices), last.audio_by_started_minute) if last else ({}, False)
    standard = listed.get(Mode.STANDARD)
    if mode == Mode.STANDARD or standard is None or standard.in_force is None:
        return {}, False
    half = {meter: divide_half_even(price * _BATCH_SHARE) for meter, price in standard.in_force.prices.items()}
    return half, standard.in_force.audio_by_started_minute


def _told(plan: PricePlan, *, is_now: bool) -> str:
    assert isinstance(plan.model, LanguageModel)
    if is_now:
        return _("The price is in force from now on.")
    return _("The change is scheduled. Who pays by this list and had another price is told.")
