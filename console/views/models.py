"""Models: what this tenant may call, and each of them with its price, speed, life and a way to try it."""

from typing import NamedTuple

from django.conf import settings
from django.db.models import BooleanField, Count, ExpressionWrapper, Window
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET

from billing.prices.estimates import template_tokens
from billing.prices.visibility import visible_model
from console.estimate_form import REASONS, EstimateForm
from console.offer import Offered, Wanted, choices_of, offer_to, offered_model
from console.pages import is_partial, tenant_page
from console.snippets import snippets_for
from console.try_it_words import words
from identity import access
from identity.access import Caller
from identity.errors import NotFound
from identity.model_lists import listing_one_of
from identity.models import Project
from identity.permissions import Permission

_FILTERS = ("use", "modality", "family", "language")
_PROJECTS_SHOWN = 200  # to choose from: more are no list any more


@tenant_page(Permission.MODEL_READ)
@require_GET
def models(request: HttpRequest, caller: Caller) -> HttpResponse:
    """Cards of what can be called, or of the whole catalog."""
    offer = offer_to(caller.tenant)
    given = request.GET
    wanted = Wanted(
        text=given.get("q", "")[:100],
        everything=given.get("show") == "all",
        **{name: given.get(name, "") for name in _FILTERS},
    )
    shown = [one for one in offer if wanted.fits(one)]
    context = {
        "offer": shown,
        "wanted": wanted,
        "is_narrowed": bool(wanted.text) or any(getattr(wanted, name) for name in _FILTERS),
        "callable_count": sum(one.is_callable for one in offer),
        "catalog_count": len(offer),
    }
    if is_partial(request):
        return render(request, "console/models/cards.html", context)
    return render(request, "console/models/models.html", context | {"choices": choices_of(offer)})


@tenant_page(Permission.MODEL_READ)
@require_GET
def model(request: HttpRequest, caller: Caller, model: str) -> HttpResponse:
    """One model. Its aliases lead here, too."""
    offered = offered_model(caller.tenant, model)
    if offered is None:
        meant = visible_model(caller.tenant, model)
        if meant is None:
            raise NotFound("model")
        return redirect("model", slug=caller.tenant.slug, model=meant.name)
    may_reason = REASONS in offered.model.capabilities
    form = EstimateForm(offered.model.kind, request.GET, may_reason=may_reason)
    added = template_tokens(offered.model)
    context = {"one": offered, "form": form, "estimate": form.estimate(offered), "template_tokens": added}
    if is_partial(request):
        return render(request, "console/models/estimate.html", context)
    callers = _callers_of(caller, offered)
    may_try = offered.is_tried_here and caller.may(Permission.PLAYGROUND_USE)
    more = {
        "snippets": snippets_for(offered.model.kind, settings.PUBLIC_URL, offered.model.name),
        "callers": callers,
        "projects": callers.projects if may_try and callers else [],
        "may_try": may_try,
        "base_url": settings.PUBLIC_URL,
        "words": words() if may_try else {},
    }
    return render(request, "console/models/model.html", context | more)


class Callers(NamedTuple):
    """The reader's projects that may call a model. `others`: there are some that may not."""

    projects: list[Project]
    others: bool


def _callers_of(caller: Caller, offered: Offered) -> Callers | None:
    """None for who may not know of projects."""
    if not caller.may(Permission.PROJECT_READ):
        return None
    active = access.projects_for(caller).filter(status=Project.Status.ACTIVE)
    may_call = listing_one_of((offered.model.name, *offered.aliases))
    first = active.annotate(
        may_call=ExpressionWrapper(may_call, BooleanField()), others=Window(Count("id", filter=~may_call))
    ).order_by("-may_call", *active.query.order_by)[:_PROJECTS_SHOWN]
    return Callers([one for one in first if one.may_call], any(one.others for one in first[:1]))
