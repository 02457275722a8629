"""A price list as a table: taken out for a spreadsheet, brought in after a look at each line."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from billing.models import RateCard
from billing.prices.changes import Outcome, PricePlan, plan_prices, put_prices
from billing.prices.files import OPTIONAL, REQUIRED, price_rows, read_price_wishes
from billing.prices.price_lists import card_of_list
from billing.pricing import METERS
from console.csv_files import csv_file
from console.forms.operator_prices import PriceFileForm
from console.pages import operator_page
from console.refusals import sentence_of, show_at_form
from console.views.operator.prices import previewed
from identity.errors import Invalid
from identity.models import Person
from identity.operators import Operator, operator_for_person
from identity.permissions import OperatorPermission

_EXAMPLE = """model,mode,valid_from,input,output,reasoning
gpt-oss:120b,standard,2027-01-01,1.80,8,8
gpt-oss:120b,batch,2027-01-01,0.90,4,4"""


@require_GET
@operator_page(OperatorPermission.PLATFORM_READ)
def price_list_export(request: HttpRequest, operator: Person, list_id: int) -> HttpResponse:
    """All prices of the list, as the import takes them."""
    card = card_of_list(list_id)
    name = slugify(card.name)[:60] or str(card.pk)
    return csv_file(f"beffroi-prices-{name}.csv", (*REQUIRED, *OPTIONAL), price_rows(card))


@require_http_methods(["GET", "POST"])
@operator_page(OperatorPermission.PRICE_UPDATE)
def price_list_import(request: HttpRequest, operator: Person, list_id: int) -> HttpResponse:
    """Bring a table: first a look at each line and at last month, then, asked once more, the change."""
    card = card_of_list(list_id)
    form = PriceFileForm(request.POST or None, request.FILES or None)
    shown: dict[str, object] = {}
    if "correct" in request.POST:
        form = PriceFileForm(initial={name: request.POST.get(name, "") for name in ("text", "time_zone", "reason")})
    elif request.method == "POST" and form.is_valid():
        try:
            shown = _looked_at(card, form, operator_for_person(operator), is_asked="make" in request.POST)
        except Invalid as error:
            form.add_error(None, _("The table %(fault)s.") % {"fault": error.message})
    shown |= {
        "card": card,
        "form": form,
        "required": REQUIRED,
        "optional": OPTIONAL,
        "example": _EXAMPLE,
    }
    return render(request, "console/operator/price_lists/import.html", shown)


def _looked_at(card: RateCard, form: PriceFileForm, by: Operator, *, is_asked: bool) -> dict[str, object]:
    """What became, or would become, of the table. Raises `Invalid`."""
    wishes = read_price_wishes(form.cleaned_data["text"], zone=form.zone)
    if not wishes:
        raise Invalid("file", _("has no line besides its first"))
    plans = None
    if is_asked:
        try:
            plans = put_prices(by=by, rate_card=card, wishes=wishes, reason=form.cleaned_data["reason"])
        except Invalid as error:
            show_at_form(form, error)
    is_asked = plans is not None
    if plans is None:
        plans = plan_prices(by=by, rate_card=card, wishes=wishes)
    counts = {outcome.value: sum(plan.outcome == outcome for plan in plans) for outcome in Outcome}
    is_clean = not counts[Outcome.REFUSED]
    is_done = is_asked and is_clean
    return {
        "lines": [
            line_of(plan, is_done=is_done)
            for plan in sorted(plans, key=lambda plan: (plan.error is None, plan.wish.line))
        ],
        "counts": counts,
        "is_clean": is_clean,
        "is_done": is_done,
        "text": form.cleaned_data["text"],
        "zone": form.cleaned_data["time_zone"],
        **({} if is_done else previewed(card, plans)),
    }


def line_of(plan: PricePlan, *, is_done: bool) -> tuple[PricePlan, str, list[tuple[str, int | None, int]], str]:
    """The plan, its state, what differs a meter (before, after), and what is wrong."""
    state = "to_add" if plan.outcome == Outcome.ADDED and not is_done else plan.outcome.value
    old = plan.old or {}
    parts = [
        (meter, old.get(meter), plan.new[meter])
        for meter in METERS
        if meter in plan.new and old.get(meter) != plan.new[meter]
    ]
    return plan, state, parts, sentence_of(plan.error) if plan.error else ""
