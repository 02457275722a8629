"""All pools at a glance; all engines, pool by pool or machine by machine."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET

from console.fleet_words import LEGEND
from console.pages import is_partial, operator_page
from console.templatetags.operator_models import is_in_trouble
from gateway.pools.fleet.board import fleet_board
from gateway.pools.models import Replica
from identity.models import Person
from identity.permissions import OperatorPermission

GROUPINGS = {"pool": _("Pool"), "machine": _("Machine")}


@dataclass(frozen=True, slots=True)
class Group:
    """The engines of a pool or of a machine, those in trouble first."""

    name: str
    replicas: list[Replica]

    @property
    def is_short(self) -> bool:
        """Whether one does not take requests."""
        return self.ready < len(self.replicas)

    @property
    def ready(self) -> int:
        """How many take requests."""
        return sum(replica.takes_requests for replica in self.replicas)


@operator_page(OperatorPermission.PLATFORM_READ)
@require_GET
def pools(request: HttpRequest, operator: Person) -> HttpResponse:
    """Pools by nodes, those that are short of a replica first. An open page asks for what is new."""
    page = "_board.html" if is_partial(request) else "pools.html"
    return render(request, f"console/operator/pools/{page}", {"board": fleet_board(), "legend": LEGEND.items()})


@operator_page(OperatorPermission.PLATFORM_READ)
@require_GET
def engines(request: HttpRequest, operator: Person) -> HttpResponse:
    """What is done to one is done on its model's page. The groups that are short of an engine come first."""
    by = request.GET.get("by", "")
    by = by if by in GROUPINGS else "pool"
    replicas = Replica.objects.select_related("pool__model").order_by("name")
    groups = _grouped(replicas, _pool_of) if by == "pool" else _grouped(replicas, _machine_of)
    shown = {
        "groups": sorted(groups, key=lambda group: (not group.is_short, group.name)),
        "by": by,
        "groupings": GROUPINGS.items(),
        "ready": sum(group.ready for group in groups),
        "every": sum(len(group.replicas) for group in groups),
    }
    return render(request, "console/operator/pools/engines.html", shown)


def _grouped(replicas: Iterable[Replica], name: Callable[[Replica], str]) -> list[Group]:
    ordered = sorted(replicas, key=lambda replica: (name(replica), not is_in_trouble(replica), replica.name))
    return [Group(found, list(of)) for found, of in groupby(ordered, key=name)]


def _pool_of(replica: Replica) -> str:
    return replica.pool.name


def _machine_of(replica: Replica) -> str:
    """Its node; where nobody named one, the host of its address."""
    return replica.node or str(urlsplit(replica.url).hostname)
