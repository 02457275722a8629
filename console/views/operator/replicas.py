"""The engines of a model: one more, and what is done with each."""

from collections.abc import Callable

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from console.forms.operator_models import PlacesForm, ServedForm
from console.pages import operator_page
from console.views.operator.models import changed, model_or_404, put_on_form
from gateway.pools.models import Pool, Replica
from gateway.pools.places import set_requests_at_once
from gateway.pools.publishing import add_engine, drain, eject, put_back, take_away
from gateway.pools.reasons import in_readers_language
from identity.errors import Conflict, Invalid, NotFound
from identity.models import Person
from identity.operators import Operator, operator_for_person
from identity.permissions import OperatorPermission


@operator_page(OperatorPermission.CAPACITY_UPDATE)
@require_http_methods(["GET", "POST"])
def add_replica(request: HttpRequest, operator: Person, model_id: int) -> HttpResponse:
    """One more engine of the model. It is tried at once."""
    found = model_or_404(model_id)
    served = Replica.objects.filter(pool__model=found).values_list("pool__served_name", flat=True).first()
    form = ServedForm(request.POST or None, initial={"served_name": served or found.name})
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        try:
            replica = add_engine(
                model=found,
                address=given["url"],
                api_key=given["api_key"],
                served_name=given["served_name"],
                by=operator_for_person(operator),
            )
        except (Invalid, Conflict) as refused:
            put_on_form(form, refused)
        else:
            _tell(request, replica)
            return redirect("operator-model", model_id=found.pk)
    shown = {"form": form, "model": found, "what": "engine"}
    return render(request, "console/operator/models/form.html", shown)


@operator_page(OperatorPermission.CAPACITY_UPDATE)
@require_http_methods(["GET", "POST"])
def change_pool(request: HttpRequest, operator: Person, model_id: int, pool_id: int) -> HttpResponse:
    """How many requests its engines get at once."""
    pool = Pool.objects.filter(pk=pool_id, model=model_id).select_related("model").first()
    if pool is None:
        raise NotFound("pool")
    form = PlacesForm(request.POST or None, initial={"requests_at_once": pool.requests_at_once})

    def change() -> str:
        number = form.cleaned_data["requests_at_once"]
        if set_requests_at_once(pool, number=number, by=operator_for_person(operator)):
            return _("It holds from now on. What is under way comes to its end.")
        return _("It was so before.")

    return changed(request, pool.model, form, change, "pool")


@operator_page(OperatorPermission.CAPACITY_UPDATE)
@require_POST
def change_replica(request: HttpRequest, operator: Person, model_id: int, replica_id: int, act: str) -> HttpResponse:
    """Drain it, eject it, put it back or take it away."""
    replica = Replica.objects.filter(pk=replica_id, pool__model=model_id).select_related("pool__model").first()
    if replica is None:
        raise NotFound("replica")
    if act not in _ACTS:
        raise NotFound("act")
    try:
        _ACTS[act](request, replica, operator_for_person(operator))
    except Conflict as refused:
        messages.error(request, str(refused))
    return redirect("operator-model", model_id=model_id)


def _drain(request: HttpRequest, replica: Replica, by: Operator) -> None:
    drain(replica, by=by)
    messages.success(request, _("It gets no new requests, and ends those that it is answering."))


def _eject(request: HttpRequest, replica: Replica, by: Operator) -> None:
    eject(replica, by=by)
    messages.success(request, _("It is out. What it was answering is broken off within seconds."))


def _back(request: HttpRequest, replica: Replica, by: Operator) -> None:
    put_back(replica, by=by)
    _tell(request, replica)


def _remove(request: HttpRequest, replica: Replica, by: Operator) -> None:
    take_away(replica, by=by)
    messages.success(request, _("The engine is off the list."))


def _tell(request: HttpRequest, replica: Replica) -> None:
    if replica.state == Replica.State.READY:
        messages.success(request, _("The engine answers and tells what it uses: it takes requests."))
    else:
        text = _("The engine is on the list, but takes no requests yet: {reason}")
        messages.warning(request, text.format(reason=in_readers_language(replica.state_reason)))


_ACTS: dict[str, Callable[[HttpRequest, Replica, Operator], None]] = {
    "drain": _drain,
    "eject": _eject,
    "back": _back,
    "remove": _remove,
}
