"""How nodes and managed pools are said on pages."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.timezone import localtime
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

from console import formats
from console.fleet_words import EVENTS, NODES, OBSTACLES, WITHOUT_PLACE
from console.templatetags.console import share
from console.templatetags.operator_models import REPLICAS, is_in_trouble, shown_state, why_so
from gateway.pools.fleet.board import Board, PoolRow
from gateway.pools.fleet.overview import GpuView, NodeOverview
from gateway.pools.fleet.placement import Obstacle
from gateway.pools.fleet.work import PoolDemand
from gateway.pools.fleet_tables import FleetEvent, Node
from gateway.pools.models import Replica

register = template.Library()

BAR = 1_000  # what a GPU's bar is wide, in its own units
_MIB_OF_GIB = 1024
_GIB_SHOWN_MOST = 2_000
_DOT = mark_safe('<span class="status-dot" aria-hidden="true"></span>')
_MARKS_MOST = 4  # of one cell; past it a number says how many there are


@register.simple_tag
def node_states(one: NodeOverview) -> SafeString:
    """Whether it reports, and whether it is in service."""
    states = [one.state] if one.node.service == Node.Service.IN else [one.state, one.node.service]
    shown = '<span class="status status-{}"><span class="status-dot" aria-hidden="true"></span>{}</span>'
    return format_html_join(mark_safe(" "), shown, (NODES[state] for state in states))


@register.simple_tag
def node_dot(one: NodeOverview) -> SafeString:
    """The same in a narrow place: the word that matters more, as a dot."""
    tone, word = NODES[one.state if one.state != "reports" or one.node.service == Node.Service.IN else one.node.service]
    return format_html('<span class="status-{}" title="{}">{}{}</span>', tone, word, _DOT, _unseen(word))


@register.filter
def reporting(nodes: Iterable[NodeOverview]) -> int:
    """How many of them are heard."""
    return sum(one.state == "reports" for one in nodes)


@register.filter
def part_held(board: Board) -> str:
    """How much of all GPUs' memory replicas hold."""
    return share(board.held_mb, board.memory_mb)


@register.filter
def held_width(gpu: GpuView) -> int:
    """What replicas hold of it, in a bar's units."""
    return (gpu.memory_mb - gpu.free_mb) * BAR // max(gpu.memory_mb, 1)


@register.filter
def used_width(gpu: GpuView) -> int:
    """What is in use of it, by whatever runs there."""
    return min(gpu.used_mb, gpu.memory_mb) * BAR // max(gpu.memory_mb, 1)


@register.filter
def kinds(gpus: Iterable[GpuView]) -> str:
    """What GPUs they are: "8 × NVIDIA H200 (140 GiB)"."""
    found = Counter((gpu.name or "GPU", gpu.memory_mb) for gpu in gpus)
    return ", ".join(f"{number} × {name} ({gib(memory_mb)})" for (name, memory_mb), number in found.items())


@register.filter
def cells(row: PoolRow, nodes: Sequence[NodeOverview]) -> list[tuple[tuple[Replica, ...], str]]:
    """Each cell of the row with the name of its column."""
    names = [one.node.name for one in nodes]
    return list(zip(row.cells, [*names, _("by address")], strict=False))


@register.simple_tag
def mark(tone: str) -> SafeString:
    """A replica in a narrow place: its tone has a shape as well."""
    return format_html('<span class="mark mark-{}" aria-hidden="true"></span>', tone)


@register.simple_tag
def marks(replicas: Sequence[Replica]) -> SafeString:
    """The replicas of a pool on a node, each a mark; in words for those who do not see them."""
    states = Counter(map(shown_state, replicas))
    told = [(f"{number} {REPLICAS[state][1]}", REPLICAS[state][0], number) for state, number in states.items()]
    shown = ((words, _marks(tone, number), _unseen(words)) for words, tone, number in told)
    return format_html_join("", '<span class="marks" title="{}">{}{}</span>', shown)


@register.simple_tag
def ready_of(row: PoolRow) -> SafeString:
    """How many of those that are wanted take requests."""
    tone = "green" if not row.is_short else "yellow" if row.ready else "red"
    tone = tone if row.wanted else "secondary"
    word = _("%(ready)s of %(wanted)s") % {"ready": row.ready, "wanted": row.wanted}
    shown = '<span class="status status-{}"><span class="status-dot" aria-hidden="true"></span>{}</span>'
    return format_html(shown, tone, word)


@register.filter
def troubles(row: PoolRow) -> list[str]:
    """What is not as it should be with a pool, in short sentences."""
    found = []
    if row.missing:
        without = ngettext("%(number)s replica has no place", "%(number)s replicas have no place", row.missing)
        why = WITHOUT_PLACE[row.obstacle] if row.obstacle else _("there is no node")
        found.append(_("%(what)s: %(why)s.") % {"what": without % {"number": row.missing}, "why": why})
    if row.failures:
        text = ngettext("It failed once.", "It failed %(number)s times in a row.", row.failures)
        found.append(text % {"number": row.failures})
    failed = next(filter(is_in_trouble, row.replicas), None)
    if failed is not None:
        found.append(f"{failed.name} · {why_so(failed)}")
    return found


@register.filter
def gib(memory_mb: int) -> str:
    """MiB as GiB, whole where it is; of very much, TiB."""
    amount = memory_mb / _MIB_OF_GIB
    if amount >= _GIB_SHOWN_MOST:
        return f"{amount / 1024:.1f} TiB"
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
def by_obstacle(obstacles: Mapping[str, Obstacle]) -> list[tuple[str, list[str]]]:
    """What is in the way, and on which nodes; what is in the way on most comes first."""
    found: dict[Obstacle, list[str]] = {}
    for name, obstacle in obstacles.items():
        found.setdefault(obstacle, []).append(name)
    return [(str(OBSTACLES[each]), found[each]) for each in sorted(found, key=lambda each: -len(found[each]))]


@register.filter
def event_word(event: FleetEvent) -> str:
    """What happened; a state that a replica reached is said by its word."""
    if event.kind == "state":
        return str(REPLICAS[event.to_state][1]) if event.to_state in REPLICAS else event.to_state
    return str(EVENTS.get(event.kind, event.kind))


@register.filter
def as_percent(part: float) -> str:
    """A part of 1, whole percent."""
    return f"{part:.0%}"


@register.filter
def busy(replica: Replica) -> str:
    """What a replica that runs has to do, as its node said last."""
    seen = replica.observed
    if seen.get("state") != "running" or shown_state(replica) not in (Replica.State.READY, Replica.State.DRAINING):
        return ""
    told = {"running": seen.get("running", 0), "waiting": seen.get("waiting", 0)}
    cache = as_percent(seen.get("kv_cache_use", 0.0))
    return _("%(running)s under way, %(waiting)s wait, KV cache %(cache)s") % {**told, "cache": cache}


@register.simple_tag
def hour_of(demand: PoolDemand) -> dict[str, object]:
    """Its minutes as bars, 600 by 100, and its places as a line over them."""
    places = demand.pool.requests_at_once or 0
    most = max(max(minute.asked, minute.ready * places) for minute in demand.minutes) or 1
    ends_at = demand.minutes[-1].starts_at
    drawn = []
    for minute in demand.minutes:
        x = 590 - 10 * round((ends_at - minute.starts_at).total_seconds() / 60)
        words = f"{localtime(minute.starts_at):%H:%M} · {minute.asked}"
        drawn.append((x, minute, words))
    line = " ".join(
        f"{x},{_height(m.ready * places, most)} {x + 10},{_height(m.ready * places, most)}" for x, m, _w in drawn
    )
    return {
        "most": max(minute.asked for minute in demand.minutes),
        "bars": [(x + 1, _height(m.asked, most), 100 - _height(m.asked, most), words) for x, m, words in drawn],
        "capacity": line if places else "",
    }


@register.filter
def touched(event: FleetEvent, page: str) -> str:
    """What an event is about, but for what the page is about: its replica, and the models that it touched."""
    return " · ".join(filter(None, (event.replica, event.model if page == "node" else "")))


@register.filter
def before(event: FleetEvent) -> str:
    """How it was before, from when until when."""
    assert event.began_at
    language = get_language() or "en"
    lasted = formats.span(int((event.at - event.began_at).total_seconds()), language)
    known = REPLICAS.get(event.from_state)
    told = {"state": known[1] if known else _("silent"), "when": formats.moment(localtime(event.began_at), language)}
    return _("%(state)s before, since %(when)s: %(lasted)s") % {**told, "lasted": lasted}


def _height(number: int, most: int) -> int:
    """Where a figure is drawn, from above, of 100; what is not nothing is seen."""
    return 100 - (max(1, number * 96 // most) if number else 0)


def _marks(tone: str, number: int) -> SafeString:
    if number > _MARKS_MOST:
        return format_html('{}<span aria-hidden="true">{}</span>', mark(tone), number)
    return format_html_join("", "{}", ((mark(tone),) for _each in range(number)))


def _unseen(words: object) -> SafeString:
    """For those who hear the page."""
    return format_html('<span class="visually-hidden">{}</span>', words)
