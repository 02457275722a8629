"""The operator's models: all of them, each of them, its price, who sees it and its end."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_http_methods

from billing.models import Tier
from billing.prices.price_book import reference_prices_in_force
from billing.usage.by_model import TENANTS_SHOWN, tenants_that_used
from console.forms.operator_models import DescriptionForm, EndForm, PriceForm, TargetsForm, VisibilityForm
from console.pages import is_partial, operator_page
from console.probe_strip import strip_of
from gateway.pools.availability import day_since, is_answering, outcomes_of
from gateway.pools.model_state import ModelState, model_states, reference_prices, stage_of
from gateway.pools.models import Replica
from gateway.pools.publishing import (
    describe_model,
    missing_of,
    publish,
    set_reference_price,
    show_to,
    withdraw,
)
from gateway.pools.serving import served_models
from gateway.pools.targets import Targets, day_of, set_targets
from identity.errors import Conflict, Invalid, NotFound
from identity.models import Person, Tenant
from identity.operators import operator_for_person
from identity.permissions import OperatorPermission
from models_catalog.models import LanguageModel

_STEPS = {"engine": 1, "entry": 2, "price": 3, "visibility": 4}  # of the way to a published model

_ORDER = {"published": 0, "ending": 1, "draft": 2, "hidden": 3, "ended": 4}


@operator_page(OperatorPermission.PLATFORM_READ)
@require_GET
def models(request: HttpRequest, operator: Person) -> HttpResponse:
    """What is offered here, first what fails; and what is only described."""
    states = model_states(list(LanguageModel.objects.order_by("name")), now=timezone.now())
    here = [one for one in states if _is_here(one)]
    rows = sorted(here, key=lambda one: (one.answers is not False, _ORDER[one.stage]))
    shown = {"rows": rows, "described": len(states) - len(here)}
    return render(request, "console/operator/models/models.html", shown)


@operator_page(OperatorPermission.PLATFORM_READ)
@require_GET
def model(request: HttpRequest, operator: Person, model_id: int) -> HttpResponse:
    """One model: does it answer, who uses it, its engines, price, audience and end."""
    found, now = model_or_404(model_id), timezone.now()
    probes = outcomes_of(found.pk, since=day_since(now), until=now)
    strip, targets, day = strip_of(probes, now=now), Targets.of(found), day_of(probes.values())
    tenants = tenants_that_used(found.pk, now=now)
    replicas = list(Replica.objects.filter(pool__model=found).select_related("pool").order_by("name"))
    prices, stage = reference_prices([found.pk], now).get(found.pk, {}), stage_of(found, now=now)
    has_engine = bool(served_models([found.pk]))
    shown: dict[str, Any] = {
        "model": found,
        "stage": stage,
        "strip": strip,
        "targets": targets,
        "day": day,
        "met_answered": day.met_answered(targets),
        "met_first_token": day.met_first_token(targets),
        "answers": is_answering(strip.last, now=now),
        "tenants": tenants,
        "has_more_tenants": len(tenants) == TENANTS_SHOWN,
        "spent": sum(one.cost_nano_eur for one in tenants),
        "replicas": replicas,
        "pools": {replica.pool_id: replica.pool for replica in replicas}.values(),
        "prices": prices,
        "missing": missing_of(found, has_price=bool(prices), has_engine=has_engine) if stage == "draft" else [],
        "audience": _audience_names(found),
    }
    shown["step"] = next((step for step, what in ((1, "engine"), (3, "price")) if what in shown["missing"]), 4)
    return render(request, "console/operator/models/model.html", shown)


@operator_page(OperatorPermission.PRICE_UPDATE)
@require_http_methods(["GET", "POST"])
def price(request: HttpRequest, operator: Person, model_id: int) -> HttpResponse:
    """What it costs at the reference prices, from now."""
    found = model_or_404(model_id)
    known = reference_prices([found.pk], timezone.now()).get(found.pk, {})
    version = reference_prices_in_force().filter(model=found).first()
    by_minute = version is not None and version.audio_by_started_minute
    form = PriceForm(request.POST or None, kind=found.kind, known=known, by_started_minute=by_minute)

    def change() -> str:
        if set_reference_price(
            found,
            prices=form.prices,
            audio_by_started_minute=form.by_started_minute,
            reason=form.reason,
            by=operator_for_person(operator),
        ):
            return _("The price is in force from now on.")
        return _("The price was so before.")

    return changed(request, found, form, change, "price")


@operator_page(OperatorPermission.CATALOGUE_UPDATE)
@require_http_methods(["GET", "POST"])
def entry(request: HttpRequest, operator: Person, model_id: int) -> HttpResponse:
    """What organisations read about it, and its sizes."""
    found = model_or_404(model_id)
    form = DescriptionForm(request.POST or None, model=found)

    def change() -> str:
        if describe_model(found, form.cleaned_data, by=operator_for_person(operator)):
            return _("The entry is changed.")
        return _("The entry was so before.")

    return changed(request, found, form, change, "entry")


@operator_page(OperatorPermission.CATALOGUE_UPDATE)
@require_http_methods(["GET", "POST"])
def targets(request: HttpRequest, operator: Person, model_id: int) -> HttpResponse:
    """What the operator aims at with it."""
    found = model_or_404(model_id)
    form = TargetsForm(request.POST or None, targets=Targets.of(found))

    def change() -> str:
        if set_targets(found, targets=form.targets, by=operator_for_person(operator)):
            return _("The targets count from now on, over the last 24 hours.")
        return _("The targets were so before.")

    return changed(request, found, form, change, "targets")


@operator_page(OperatorPermission.CATALOGUE_UPDATE)
@require_http_methods(["GET", "POST"])
def visibility(request: HttpRequest, operator: Person, model_id: int) -> HttpResponse:
    """Who sees it; of a draft, this publishes it. With `find`, it only looks for organisations to choose."""
    found = model_or_404(model_id)
    form = VisibilityForm(request.POST or None, model=found)
    if "find" in request.POST:
        shown = {"form": form, "model": found, "what": "visibility", "step": None if found.published_at else 4}
        part = "console/operator/models/_tenants.html" if is_partial(request) else "console/operator/models/form.html"
        return render(request, part, shown)

    def change() -> str:
        by = operator_for_person(operator)
        if found.published_at is None:
            publish(found, audience=form.audience, by=by)
            return _("The model is published. The first probe comes within a minute.")
        show_to(found, audience=form.audience, by=by)
        return _("Who sees the model is changed, for keys in use too.")

    return changed(request, found, form, change, "visibility")


@operator_page(OperatorPermission.CATALOGUE_UPDATE)
@require_http_methods(["GET", "POST"])
def end(request: HttpRequest, operator: Person, model_id: int) -> HttpResponse:
    """Announce when it ends."""
    found = model_or_404(model_id)
    others = list(LanguageModel.objects.filter(kind=found.kind).exclude(pk=found.pk).order_by("name"))
    form = EndForm(request.POST or None, model=found, others=others)

    def change() -> str:
        by, given = operator_for_person(operator), form.cleaned_data
        successor = next((one for one in others if str(one.pk) == given["successor"]), None)
        told = withdraw(found, ends_on=given["ends_on"], successor=successor, by=by)
        return ngettext(
            "The end is announced: %(count)s organisation is told.",
            "The end is announced: %(count)s organisations are told.",
            told,
        ) % {"count": told}

    return changed(request, found, form, change, "end")


def _is_here(one: ModelState) -> bool:
    """Not only described: offered at some time, served, or kept from all."""
    model = one.model
    return model.published_at is not None or one.replicas > 0 or model.visibility == LanguageModel.Visibility.NOBODY


def model_or_404(model_id: int) -> LanguageModel:
    """The model, or `NotFound`."""
    found = LanguageModel.objects.select_related("successor").filter(pk=model_id).first()
    if found is None:
        raise NotFound("model")
    return found


def put_on_form(form: forms.Form, refused: Invalid | Conflict) -> None:
    """Show a verb's refusal at the field that it names, else above the form."""
    if isinstance(refused, Invalid):
        form.add_error(refused.field if refused.field in form.fields else None, refused.message)
    else:
        form.add_error(None, str(refused))


def changed(
    request: HttpRequest, found: LanguageModel, form: forms.Form, change: Callable[[], str], what: str
) -> HttpResponse:
    """The form's page; once it is sent and taken, the model's page with what `change` says."""
    if request.method == "POST" and form.is_valid():
        try:
            messages.success(request, change())
        except (Invalid, Conflict) as refused:
            put_on_form(form, refused)
        else:
            return redirect("operator-model", model_id=found.pk)
    step = _STEPS.get(what) if found.published_at is None else None
    shown = {"form": form, "model": found, "what": what, "step": step}
    return render(request, "console/operator/models/form.html", shown)


def _audience_names(found: LanguageModel) -> list[str]:
    """The tiers and tenants that see it, by name."""
    if found.visibility != LanguageModel.Visibility.CHOSEN:
        return []
    tiers = Tier.objects.filter(pk__in=found.visible_tiers).order_by("name").values_list("name", flat=True)
    tenants = Tenant.objects.filter(pk__in=found.visible_tenants).order_by("name").values_list("name", flat=True)
    return [*tiers, *tenants]
