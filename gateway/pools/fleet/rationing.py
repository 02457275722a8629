"""Who gets GPUs where they do not suffice for everybody: minimums first, then one for each pool that is asked now, then
wishes, each by priority. Pure.

Packed from empty nodes each time, so that the answer follows from what is wanted, and among equals from who has it
already: the same wishes give the same grants, and nothing is taken away again a moment later.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Size(NamedTuple):
    """What one replica takes: `memory_mb` on each of `gpus` different GPUs of one node. No GPUs: a place anywhere."""

    gpus: int
    memory_mb: int


@dataclass(frozen=True, slots=True)
class Claim:
    """What a pool wants of GPUs that others want too. `priority`: higher is served first; `wanted` >= 0. `nodes`: the
    positions of those that it may be on; None: any node will do.

    is_pressing: somebody asks for it now, and it has to have one; holds: how many replicas it has
    """

    pool: str
    size: Size
    minimum: int
    wanted: int
    priority: int = 0
    nodes: frozenset[int] | None = None
    is_pressing: bool = False
    holds: int = 0


def grants(claims: Sequence[Claim], nodes: Sequence[Sequence[int]]) -> dict[str, int]:
    """How many replicas each pool gets, never more than it wants.

    All minimums come before any wish above them, each by priority; among equals whoever has the smallest share of what
    it wants is next, then who has the replica already, then the larger one, as it is the harder to place.
    nodes: the memory of each node's GPUs in MB
    """
    free = [list(node) for node in nodes]
    given = {claim.pool: 0 for claim in claims}
    goals: tuple[Callable[[Claim], int], ...] = (
        lambda one: min(one.minimum, one.wanted),
        lambda one: min(int(one.is_pressing), one.wanted),
        lambda one: one.wanted,
    )
    for goal in goals:
        for priority in sorted({claim.priority for claim in claims}, reverse=True):
            _share(free, given, {one: goal(one) for one in claims if one.priority == priority})
    return given


def _share(free: list[list[int]], given: dict[str, int], goals: Mapping[Claim, int]) -> None:
    """Give one replica after the other, until each has its goal or nothing more fits."""
    open_goals = {claim: goal for claim, goal in goals.items() if given[claim.pool] < goal}
    while open_goals:
        claim = min(open_goals, key=lambda one: _turn(one, given[one.pool], open_goals[one]))
        if not _put([node for place, node in enumerate(free) if _may_be_on(place, claim)], claim.size):
            del open_goals[claim]
            continue
        given[claim.pool] += 1
        if given[claim.pool] == open_goals[claim]:
            del open_goals[claim]


def _turn(claim: Claim, given: int, goal: int) -> tuple[float, bool, int, str]:
    return given / goal, given >= claim.holds, -_weight(claim.size), claim.pool


def _may_be_on(place: int, claim: Claim) -> bool:
    return claim.nodes is None or place in claim.nodes


def _put(free: list[list[int]], size: Size) -> bool:
    """Take the memory of one replica where least is left over, so that whole GPUs stay free for large ones."""
    if not size.gpus:
        return True
    fitting = [(gpus, node) for node in free if len(gpus := _fitting(node, size)) == size.gpus]
    if not fitting:
        return False
    gpus, node = min(fitting, key=lambda one: sum(one[1][gpu] for gpu in one[0]))
    for gpu in gpus:
        node[gpu] -= size.memory_mb
    return True


def _fitting(node: Sequence[int], size: Size) -> list[int]:
    """The GPUs of the node that have the memory, the fullest first, as many as it takes."""
    able: Iterable[int] = (gpu for gpu, memory in enumerate(node) if memory >= size.memory_mb)
    return sorted(able, key=lambda gpu: node[gpu])[: size.gpus]


def _weight(size: Size) -> int:
    return size.gpus * size.memory_mb
