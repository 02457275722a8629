"""The operator's managed pools: one of them, how many replicas it has, and how one is started."""

from django.contrib import messages
from django.db import transaction
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from console.forms.fleet import CountForm, ManageForm, WishForm, arguments_text, pairs_text
from console.pages import is_partial, operator_page
from console.refusals import show_at_form
from console.views.operator.models import model_or_404
from gateway.pools.fleet.managed_pools import Count, configure_pool, manage_pool, scale_pool, wish_of
from gateway.pools.fleet.overview import pool_overview
from gateway.pools.fleet.previews import CountFit, Fit, fit_of, fit_of_count
from gateway.pools.fleet.start_logs import last_logs, log_or_404
from gateway.pools.fleet.work import PoolDemand, pool_demand, work_of
from gateway.pools.models import Pool
from gateway.pools.places import set_requests_at_once
from identity.errors import Invalid, NotFound
from identity.models import Person
from identity.operators import operator_for_person
from identity.permissions import OperatorPermission

_CALLED = {"gpu_memory_mb": "gpu_memory_gib", "weights": "location"}


@operator_page(OperatorPermission.PLATFORM_READ)
@require_GET
def pool(request: HttpRequest, operator: Person, name: str) -> HttpResponse:
    """Its replicas, what is missing and why, how one is started, what happened."""
    one = pool_overview(name)
    if one is None:
        raise NotFound("pool")
    shown = {
        "one": one,
        "pool": one.pool,
        "demand": PoolDemand(one.pool, work_of(one.replicas), one.ready, None, ()),
        "arguments": arguments_text(one.wish.arguments).splitlines(),
        "labels": pairs_text(one.wish.labels).splitlines(),
    }
    return render(request, "console/operator/pools/pool.html", shown)


@operator_page(OperatorPermission.PLATFORM_READ)
@require_GET
def demand(request: HttpRequest, operator: Person, name: str) -> HttpResponse:
    """The part of its page that tells what it has to do, now and in the last hour."""
    if not is_partial(request):
        return redirect("operator-managed-pool", name=name)
    found = pool_demand(name)
    if found is None:
        raise NotFound("pool")
    return render(request, "console/operator/pools/_demand.html", {"demand": found, "is_whole": True})


@operator_page(OperatorPermission.PLATFORM_READ)
@require_GET
def logs(request: HttpRequest, operator: Person, name: str) -> HttpResponse:
    """Of its engines' last starts, what they printed."""
    found = pool_or_404(name)
    return render(request, "console/operator/pools/logs.html", {"pool": found, "logs": last_logs(found)})


@operator_page(OperatorPermission.PLATFORM_READ)
@require_GET
def log(request: HttpRequest, operator: Person, name: str, log_id: int) -> HttpResponse:
    """What one of its engines printed until it was ready."""
    found = pool_or_404(name)
    shown = {"pool": found, "log": log_or_404(found, log_id)}
    return render(request, "console/operator/pools/log.html", shown)


@operator_page(OperatorPermission.CAPACITY_UPDATE)
@require_http_methods(["GET", "POST"])
def scale(request: HttpRequest, operator: Person, name: str) -> HttpResponse:
    """How many replicas it has. With `preview`, it only says what that would mean now."""
    found = pool_or_404(name)
    form, fit = CountForm.of(found, request.POST or None), None
    if request.method == "POST" and form.is_valid():
        try:
            if "preview" in request.POST:
                fit = fit_of_count(found, form.count, policy=form.policy_wanted)
            else:
                by, number = operator_for_person(operator), form.cleaned_data["requests_at_once"]
                with transaction.atomic():
                    set_requests_at_once(found, number=number, by=by)
                    scale_pool(found, form.count, policy=form.policy_wanted, by=by)
                messages.success(request, _("The reconciler sees to it within seconds."))
                return redirect("operator-managed-pool", name=name)
        except Invalid as refused:
            show_at_form(form, refused, called={"zero_after_s": "zero_after_min"})
    return _form_page(request, form, fit, {"pool": found, "what": "scale"})


@operator_page(OperatorPermission.CAPACITY_UPDATE)
@require_http_methods(["GET", "POST"])
def configure(request: HttpRequest, operator: Person, name: str) -> HttpResponse:
    """How a replica is started. With `preview`, it only says where one would fit."""
    found = pool_or_404(name)
    form, fit = WishForm(request.POST or None, wish=wish_of(found)), None
    if request.method == "POST" and form.is_valid():
        try:
            if "preview" in request.POST:
                fit = fit_of(form.wish)
            else:
                is_new = configure_pool(found, form.wish, by=operator_for_person(operator))
                text = _("Replicas get it one at a time.") if is_new else _("It was so before.")
                messages.success(request, text)
                return redirect("operator-managed-pool", name=name)
        except Invalid as refused:
            show_at_form(form, refused, called=_CALLED)
    return _form_page(request, form, fit, {"pool": found, "what": "configure"})


@operator_page(OperatorPermission.CAPACITY_UPDATE)
@require_http_methods(["GET", "POST"])
def manage(request: HttpRequest, operator: Person, model_id: int) -> HttpResponse:
    """Have a model's replicas kept running on nodes. With `preview`, it only says where one would fit."""
    model = model_or_404(model_id)
    known = Pool.objects.filter(model=model).exclude(generation=0).first()
    if known is not None:
        return redirect("operator-managed-pool", name=known.name)
    form, fit = ManageForm(request.POST or None), None
    if request.method == "POST" and form.is_valid():
        try:
            if "preview" in request.POST:
                fit = fit_of(form.wish)
            else:
                wanted = form.cleaned_data["wanted"]
                count, by = Count(0, max(wanted, 1), wanted), operator_for_person(operator)
                made = manage_pool(model=model, wish=form.wish, count=count, by=by)
                messages.success(request, _("The reconciler sees to it within seconds."))
                return redirect("operator-managed-pool", name=made.name)
        except Invalid as refused:
            show_at_form(form, refused, called=_CALLED)
    return _form_page(request, form, fit, {"model": model, "what": "manage"})


def pool_or_404(name: str) -> Pool:
    """A pool that is managed, or was. Raises `NotFound`."""
    found = Pool.objects.select_related("model").filter(name=name).exclude(generation=0).first()
    if found is None:
        raise NotFound("pool")
    return found


def _form_page(request: HttpRequest, form: Form, fit: Fit | CountFit | None, shown: dict[str, object]) -> HttpResponse:
    return render(request, "console/operator/pools/pool_form.html", {**shown, "form": form, "fit": fit})
