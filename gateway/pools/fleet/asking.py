"""Which of a model's automatic pools are asked where it has several: one wakes, the rest as the demand grows.

Gateways tell of models, not of pools. Were every pool of a model asked, a single request would start one engine in each
of them. So the pools stand in line, and as many of them are asked as it takes.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from gateway.pools.fleet.gateway_demand import Asked
from gateway.pools.fleet.placement import Room
from gateway.pools.fleet.reading import wanted_of
from gateway.pools.fleet.scaling import FULL
from gateway.pools.fleet.world import Phase, PoolView, World, held_mb
from gateway.pools.models import Pool


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pool that may answer. `priority`: higher is asked first, after those that are up already.

    reach: replicas that it has or could begin at once; places: requests that one of them answers well
    is_up: it is to have a replica anyhow; is_stuck: it was asked, and nothing can be started
    """

    pool: int
    name: str
    reach: int
    places: float
    priority: int = 0
    is_up: bool = False
    is_stuck: bool = False

    @property
    def rank(self) -> tuple[bool, int, bool, str]:
        """Its place in the line: what is up, then by priority, then what can start at once, then by name."""
        return not self.is_up, -self.priority, not self.reach, self.name


def who_is_asked(candidates: Iterable[Candidate], demand: int) -> list[int]:
    """The ids of the first in line that together can answer so many requests, one at least.

    One that can begin nothing now keeps nobody behind it from being asked. Where none can, the first one is asked that
    was not found stuck: others may give way to it. Where all are stuck, all are.
    """
    asked: list[Candidate] = []
    places = 0.0
    for one in sorted(candidates, key=lambda one: one.rank):
        asked.append(one)
        places += one.reach * one.places
        if places >= max(demand, 1):
            break
    if not places:
        asked = next(([one] for one in asked if not one.is_stuck), asked)
    return [one.pool for one in asked]


def share_asked(pools: Sequence[Pool], by_model: Mapping[int, Asked], world: World) -> dict[int, Asked]:
    """By pool, what it is asked: its part, in equal ones, of what waits for its model; nothing where it is not."""
    found = {pool.pk: Asked() for pool in pools}
    groups: dict[int, list[Pool]] = defaultdict(list)
    for pool in pools:
        groups[pool.model_id].append(pool)
    for model_id, group in groups.items():
        whole = by_model[model_id]
        answering = _answering(group, whole, world)
        for pk in answering:
            found[pk] = replace(whole, waiting=-(-whole.waiting // len(answering)))
    return found


def _answering(group: Sequence[Pool], whole: Asked, world: World) -> list[int]:
    if len(group) == 1 or not any(pool.wakes for pool in group):
        return [pool.pk for pool in group]
    views = {view.id: view for view in world.pools}
    of_group = {pool.pk for pool in group}
    busy = sum(one.busy or 0 for one in world.replicas if one.pool in of_group)
    candidates = [
        Candidate(
            pool=pool.pk,
            name=pool.name,
            reach=_reach(pool, views, world),
            places=(pool.requests_at_once or 1) * FULL,
            priority=pool.priority,
            is_up=wanted_of(pool) > 0 or not pool.wakes,
            is_stuck=pool.is_stuck,
        )
        for pool in group
    ]
    return who_is_asked(candidates, busy + whole.waiting)


def _reach(pool: Pool, views: Mapping[int, PoolView], world: World) -> int:
    """How many replicas it could have now, with what is free; what others would give up for it does not count."""
    room = Room(world, lambda one: held_mb(one, views[one.pool].configurations[one.generation]))
    configuration = views[pool.pk].configuration
    own = [one for one in world.replicas if one.pool == pool.pk]
    asleep = [one for one in own if one.phase == Phase.SLEEPING and one.is_asleep]
    more = configuration.memory_mb - configuration.asleep_mb
    count = sum(one.is_awake for one in own) + sum(room.wake(one, more) for one in asleep)
    while count < pool.maximum and room.place(pool.pk, pool.generation, configuration):
        count += 1
    return min(count, pool.maximum)
