"""The operator's price lists: all of them, one, another one."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from billing.prices.listed import meters_of, prices_on_list
from billing.prices.price_lists import make_price_list, price_list, price_lists
from console.forms.operator_prices import PriceListForm
from console.pages import operator_page
from console.refusals import show_at_form
from identity.errors import Conflict, Invalid
from identity.models import Person
from identity.operators import operator_for_person
from identity.permissions import OperatorPermission

LISTS_SHOWN = 100  # more are found by their name


@require_GET
@operator_page(OperatorPermission.PLATFORM_READ)
def price_lists_page(request: HttpRequest, operator: Person) -> HttpResponse:
    """All price lists, with who pays by each."""
    text = request.GET.get("q", "").strip()
    found = price_lists(text, most=LISTS_SHOWN + 1)
    shown = {"lists": found[:LISTS_SHOWN], "text": text, "has_more": len(found) > LISTS_SHOWN}
    return render(request, "console/operator/price_lists/price_lists.html", shown)


@require_GET
@operator_page(OperatorPermission.PLATFORM_READ)
def price_list_page(request: HttpRequest, operator: Person, list_id: int) -> HttpResponse:
    """One list: what each model costs on it, by meter and mode, and what is scheduled."""
    found = price_list(list_id)
    listed = prices_on_list(found.card)
    shown = {"list": found, "listed": listed, "meters": meters_of(listed)}
    return render(request, "console/operator/price_lists/price_list.html", shown)


@require_http_methods(["GET", "POST"])
@operator_page(OperatorPermission.PRICE_UPDATE)
def price_list_new(request: HttpRequest, operator: Person) -> HttpResponse:
    """Make a list, empty or as a copy."""
    form = PriceListForm(request.POST or None, copied=request.GET.get("copy", ""))
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        by = operator_for_person(operator)
        try:
            made = make_price_list(by=by, name=given["name"], copy_of=form.card, factor_millionths=given["factor"])
        except (Conflict, Invalid) as error:
            show_at_form(form, error)
        else:
            messages.success(request, _("The price list %(name)s is there.") % {"name": made.name})
            return redirect("operator-price-list", list_id=made.pk)
    return render(request, "console/operator/price_lists/new.html", {"form": form})
