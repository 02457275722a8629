"""What a change would do, before anybody makes it: where replicas would begin, what is in the way. Changes nothing."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from billing.clock import database_now
from gateway.pools.fleet.managed_pools import Count, Wish, check_count, check_wish
from gateway.pools.fleet.placement import Obstacle, Room
from gateway.pools.fleet.planner import plan_fleet
from gateway.pools.fleet.reading import read_rows, read_world
from gateway.pools.fleet.world import Place, held_mb
from gateway.pools.models import Pool


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether one more replica would have a place now: `nodes` that have room, and what is in the way on the others."""

    nodes: tuple[str, ...]
    obstacles: Mapping[str, Obstacle]


@dataclass(frozen=True, slots=True)
class CountFit:
    """What so many replicas (`wanted`) would mean now: how many begin on which node, how many end, how many have no
    place, and then by node what is in the way.
    """

    wanted: int
    begin: Mapping[str, int]
    end: int
    missing: int
    obstacles: Mapping[str, Obstacle]


def fit_of(wish: Wish) -> Fit:
    """Where a replica would find a place now beside all that is there. Raises `Invalid`."""
    check_wish(wish)
    rows = read_rows()
    world = read_world(rows, {}, database_now())
    configurations = {one.id: one.configurations for one in world.pools}
    room = Room(world, lambda replica: held_mb(replica, configurations[replica.pool][replica.generation]))
    obstacles = room.obstacles(0, 0, wish.as_planned())
    names = {node.pk: node.name for node in rows.nodes}
    return Fit(
        tuple(name for pk, name in names.items() if pk not in obstacles),
        {names[pk]: obstacle for pk, obstacle in obstacles.items()},
    )


def fit_of_count(pool: Pool, count: Count, *, policy: Pool.Policy) -> CountFit:
    """What the reconciler's next step would do for the pool, beside all others. Where the demand says how many, as if
    it asked for the most that it may. Raises `Invalid`.
    """
    check_count(count)
    rows = read_rows()
    changed = next(one for one in rows.pools if one.pk == pool.pk)
    wanted = count.maximum if policy == Pool.Policy.AUTOMATIC else count.wanted
    wanted = 0 if policy == Pool.Policy.UNMANAGED else wanted
    changed.policy, changed.wanted = policy, wanted
    changed.minimum, changed.maximum = count.minimum, count.maximum
    world = read_world(rows, {}, database_now())
    plan = plan_fleet(world)
    names = {node.pk: node.name for node in rows.nodes}
    begin = Counter(names[one.node] for one in plan.actions if isinstance(one, Place) and one.pool == pool.pk)
    there = sum(one.pool == pool.pk and not one.is_leaving for one in world.replicas)
    short = next((one for one in plan.shortages if one.pool == pool.pk), None)
    return CountFit(
        wanted=wanted,
        begin=dict(sorted(begin.items())),
        end=max(0, there - wanted),
        missing=short.missing if short else 0,
        obstacles={names[pk]: Obstacle(obstacle) for pk, obstacle in short.why.items()} if short else {},
    )
