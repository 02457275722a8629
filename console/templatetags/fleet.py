"""How nodes and managed pools are said on pages."""

from django import template
from django.utils.html import format_html_join
from django.utils.safestring import SafeString, mark_safe

from console.fleet_words import EVENTS, NODES, OBSTACLES
from console.templatetags.operator_models import REPLICAS
from gateway.pools.fleet.overview import GpuView, NodeOverview
from gateway.pools.fleet.placement import Obstacle
from gateway.pools.fleet_tables import FleetEvent, Node

register = template.Library()

BAR = 1_000  # what a GPU's bar is wide, in its own units
_MIB_OF_GIB = 1024


@register.simple_tag
def node_states(one: NodeOverview) -> SafeString:
    """Whether it reports, and whether it is in service."""
    states = [one.state] if one.node.service == Node.Service.IN else [one.state, one.node.service]
    shown = '<span class="status status-{}"><span class="status-dot" aria-hidden="true"></span>{}</span>'
    return format_html_join(mark_safe(" "), shown, (NODES[state] for state in states))


@register.filter
def gib(memory_mb: int) -> str:
    """MiB as GiB, whole where it is."""
    amount = memory_mb / _MIB_OF_GIB
    return f"{amount:.0f} GiB" if amount >= 10 or amount == int(amount) else f"{amount:.1f} GiB"


@register.filter
def bars(gpu: GpuView) -> list[tuple[int, int, str]]:
    """Of what is held of a GPU: where it begins, how wide it is, what it is."""
    size = max(gpu.memory_mb, 1)
    return [
        (
            one.starts_at * BAR // size,
            max(2, one.memory_mb * BAR // size - 4),
            f"{one.replica.pool.name} {gib(one.memory_mb)}",
        )
        for one in gpu.held
    ]


@register.filter
def obstacle_word(obstacle: Obstacle) -> str:
    """What is in the way."""
    return str(OBSTACLES[obstacle])


@register.filter
def event_word(event: FleetEvent) -> str:
    """What happened; a state that a replica reached is said by its word."""
    if event.kind == "state":
        return str(REPLICAS[event.to_state][1]) if event.to_state in REPLICAS else event.to_state
    return str(EVENTS.get(event.kind, event.kind))
