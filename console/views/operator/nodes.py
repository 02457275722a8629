"""The operator's nodes: all of them with what runs on them, one more, and what is done with each."""

from collections.abc import Callable

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from console.forms.fleet import LabelsForm, NodeForm, pairs_text
from console.pages import is_partial, operator_page
from console.refusals import show_at_form
from gateway.pools.fleet.nodes import add_node, label_node, node_or_404, remove_node, renew_token, set_service
from gateway.pools.fleet.overview import events_of_node, machine_of, nodes_overview
from gateway.pools.fleet_tables import Node
from identity.errors import Conflict, Invalid, NotFound
from identity.models import Person
from identity.operators import Operator, operator_for_person
from identity.permissions import OperatorPermission


@operator_page(OperatorPermission.PLATFORM_READ)
@require_GET
def nodes(request: HttpRequest, operator: Person) -> HttpResponse:
    """Those that are not heard first."""
    found = nodes_overview(list(Node.objects.order_by("name")))
    order = ("silent", "waiting", "reports")
    shown = {"nodes": sorted(found, key=lambda one: order.index(one.state))}
    return render(request, "console/operator/pools/nodes.html", shown)


@operator_page(OperatorPermission.CAPACITY_UPDATE)
@require_http_methods(["GET", "POST"])
def add(request: HttpRequest, operator: Person) -> HttpResponse:
    """A name and labels; the answer shows once what to type on the machine."""
    form = NodeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        given, by = form.cleaned_data, operator_for_person(operator)
        try:
            node, token = add_node(name=given["name"], labels=given["labels"], by=by)
        except (Invalid, Conflict) as refused:
            show_at_form(form, refused)
        else:
            return _page(request, node, token)
    return render(request, "console/operator/pools/node_form.html", {"form": form, "what": "add"})


@operator_page(OperatorPermission.PLATFORM_READ)
@require_GET
def node(request: HttpRequest, operator: Person, name: str) -> HttpResponse:
    """One node: its GPUs, its replicas, what happened there. A page that waits for its machine asks by itself."""
    found = node_or_404(name)
    if is_partial(request):
        has_come = {"HX-Redirect": reverse("operator-node", kwargs={"name": name})} if found.reported_at else {}
        return HttpResponse(status=204, headers=has_come)
    return _page(request, found, "")


@operator_page(OperatorPermission.CAPACITY_UPDATE)
@require_http_methods(["GET", "POST"])
def labels(request: HttpRequest, operator: Person, name: str) -> HttpResponse:
    """What placement may ask of it."""
    found = node_or_404(name)
    form = LabelsForm(request.POST or None, initial={"labels": pairs_text(found.labels)})
    if request.method == "POST" and form.is_valid():
        try:
            label_node(found, labels=form.cleaned_data["labels"], by=operator_for_person(operator))
        except Invalid as refused:
            show_at_form(form, refused)
        else:
            messages.success(request, _("New replicas are placed by these labels."))
            return redirect("operator-node", name=name)
    return render(request, "console/operator/pools/node_form.html", {"form": form, "node": found, "what": "labels"})


@operator_page(OperatorPermission.CAPACITY_UPDATE)
@require_POST
def change(request: HttpRequest, operator: Person, name: str, act: str) -> HttpResponse:
    """Cordon it, drain it, take it into service again, remove it, or let another machine take its place."""
    found, by = node_or_404(name), operator_for_person(operator)
    if act == "token":
        return _page(request, found, renew_token(found, by=by))
    if act not in _ACTS:
        raise NotFound("act")
    try:
        messages.success(request, _ACTS[act](found, by))
    except Conflict as refused:
        messages.error(request, str(refused))
        return redirect("operator-node", name=name)
    return redirect("operator-nodes") if act == "remove" else redirect("operator-node", name=name)


def _page(request: HttpRequest, found: Node, token: str) -> HttpResponse:
    [overview] = nodes_overview([found])
    command = f"BEFFROI_NODE_TOKEN={token} .venv/bin/python manage.py node --platform {settings.PUBLIC_URL}"
    shown = {
        "one": overview,
        "node": found,
        "text": command if token else "",
        "labels": pairs_text(found.labels).splitlines(),
        "machine": machine_of(found),
        "events": events_of_node(found),
    }
    return render(request, "console/operator/pools/node.html", shown)


def _cordon(found: Node, by: Operator) -> str:
    set_service(found, Node.Service.CORDONED, by=by)
    return _("It keeps what it has, and gets nothing new.")


def _drain(found: Node, by: Operator) -> str:
    set_service(found, Node.Service.DRAINING, by=by)
    return _("Its replicas go elsewhere, one of each pool at a time.")


def _uncordon(found: Node, by: Operator) -> str:
    set_service(found, Node.Service.IN, by=by)
    return _("It is in service again.")


def _remove(found: Node, by: Operator) -> str:
    remove_node(found, by=by)
    return _("The node is off the list.")


_ACTS: dict[str, Callable[[Node, Operator], str]] = {
    "cordon": _cordon,
    "drain": _drain,
    "uncordon": _uncordon,
    "remove": _remove,
}
