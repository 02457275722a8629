"""The estimator: what an imagined use would cost a month at each model, side by side."""

from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from billing.prices.estimates import Estimate
from console.estimate_form import REASONS, EstimateForm
from console.offer import Offered, offer_to
from console.pages import is_partial, tenant_page
from identity.access import Caller
from identity.permissions import Permission
from models_catalog.models import LanguageModel

Kind = LanguageModel.Kind


@dataclass(frozen=True, slots=True)
class Line:
    """What it comes to at a model. `fits`: a request has room in its context."""

    one: Offered
    estimate: Estimate
    fits: bool
    is_chosen: bool


@require_GET
@tenant_page(Permission.MODEL_READ)
def estimator(request: HttpRequest, caller: Caller) -> HttpResponse:
    """The form, and what can be called now with what it would cost, the cheapest first."""
    offer = [one for one in offer_to(caller.tenant) if one.is_callable and one.price]
    kinds = [kind for kind in Kind if any(one.model.kind == kind for one in offer)]
    kind = next((kind for kind in kinds if kind == request.GET.get("kind")), kinds[0] if kinds else Kind.CHAT)
    of_kind = [one for one in offer if one.model.kind == kind]
    may_reason = any(REASONS in one.model.capabilities for one in of_kind)
    form = EstimateForm(kind, request.GET, may_reason=may_reason)
    chosen = set(request.GET.getlist("model"))
    lines = _lines(form, of_kind, chosen)
    only = [line for line in lines if line.is_chosen]
    shown = {
        "form": form,
        "kind": kind,
        "kinds": kinds,
        "lines": only or lines,
        "is_narrowed": bool(only),
        "reads_tokens": "input" in form.fields,
    }
    template = "console/models/_estimates.html" if is_partial(request) else "console/models/estimator.html"
    return render(request, template, shown)


def _lines(form: EstimateForm, offer: list[Offered], chosen: set[str]) -> list[Line]:
    """The cheapest first; what has no room for a request last."""
    found = [
        Line(one, estimate, form.tokens <= one.model.context_window, one.model.name in chosen)
        for one in offer
        if (estimate := form.estimate(one)) is not None
    ]
    return sorted(found, key=lambda line: (not line.fits, line.estimate.month_nano_eur, line.one.model.name))
