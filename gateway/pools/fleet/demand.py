"""Lets the number of replicas follow the demand: notes what automatic pools have to do, says how many each gets.

What they have to do is what engines report and what waits in the gateways' lines; somebody who asks for a pool that has
no replica is only there (`gateway_demand.py`).
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from gateway.pools.fleet import events, reasons
from gateway.pools.fleet.asking import share_asked
from gateway.pools.fleet.gateway_demand import asked_of, note_asked
from gateway.pools.fleet.loads import loads_of, note_loads
from gateway.pools.fleet.placement import PASSING, misfit
from gateway.pools.fleet.rationing import Claim, Size, grants
from gateway.pools.fleet.scaling import Load, Policy, Why, Wish, is_pressing, wish
from gateway.pools.fleet.world import (
    SILENT,
    Drain,
    Gpu,
    NodeView,
    Phase,
    Place,
    Plan,
    PoolView,
    ReplicaView,
    Sleep,
    Stop,
    Wake,
    World,
)
from gateway.pools.models import Pool, Replica


@dataclass(frozen=True, slots=True)
class Advice:
    """How many replicas a pool is to have: what its demand asks for, and what there is room for beside the others."""

    wish: Wish
    granted: int

    @property
    def reason(self) -> str:
        """In a sentence, English as in every event."""
        if self.granted < self.wish.replicas:
            return reasons.GPUS_SHORT % {"wanted": self.wish.replicas}
        return _REASONS[self.wish.why]


_REASONS: Mapping[Why, str] = {
    Why.REQUESTS: reasons.ASKED_FOR,
    Why.CACHE: reasons.CACHE_FULL,
    Why.FIRST_TOKEN: reasons.FIRST_TOKEN_LATE,
    Why.LATELY: reasons.NEEDED_LATELY,
    Why.MINIMUM: reasons.AT_MINIMUM,
    Why.MAXIMUM: reasons.AT_MAXIMUM,
    Why.ONE: reasons.NEVER_COLD,
    Why.IDLE: reasons.ASLEEP,
}


def follow_demand(pools: Sequence[Pool], replicas: Sequence[Replica], world: World) -> Mapping[int, Advice]:
    """A part of the reconciler's step, with the rows locked: note loads, then change what automatic pools are to have.
    Gives the advice of each by its id.
    """
    automatic = [pool for pool in pools if pool.policy == Pool.Policy.AUTOMATIC]
    if not automatic:
        return {}
    asked = share_asked(automatic, asked_of(automatic, world.now), world)
    note_asked(automatic, asked)
    note_loads(automatic, replicas, asked, world.now)
    advice = advice_for(pools, world)
    for pool in automatic:
        told = advice[pool.pk]
        if told.granted != pool.wanted:
            pool.wanted = told.granted
            pool.save(update_fields=["wanted"])
            events.note_pool(pool, "scaled", reason=told.reason)
    return {pool.pk: advice[pool.pk] for pool in automatic}


def note_stuck(pools: Sequence[Pool], advice: Mapping[int, Advice], world: World, plan: Plan) -> None:
    """A part of the reconciler's step, after its plan: tell gateways of pools that were asked and that nothing can be
    started of now, so that nobody waits in vain. What only pauses, or waits for GPUs that are being freed, will come.
    """
    woken = {action.replica for action in plan.actions if isinstance(action, Wake)}
    alive = {one.pool for one in world.replicas if one.is_awake or one.id in woken}
    alive |= {action.pool for action in plan.actions if isinstance(action, Place)}
    ended = {action.replica for action in plan.actions if isinstance(action, Drain | Sleep | Stop)}
    freed = {one.node for one in world.replicas if one.id in ended or one.is_leaving or _falls_asleep(one)}
    freeing = [node for node in world.nodes if node.id in freed]
    views, shortages = {view.id: view for view in world.pools}, {one.pool: one for one in plan.shortages}
    for pool in pools:
        told, short = advice.get(pool.pk), shortages.get(pool.pk)
        comes = short is not None and (
            any(misfit(node, views[pool.pk].configuration) is None for node in freeing)
            or not PASSING.isdisjoint(short.why.values())
        )
        is_stuck = told is not None and told.wish.replicas > 0 and pool.wakes and pool.pk not in alive and not comes
        if is_stuck != pool.is_stuck:
            pool.is_stuck = is_stuck
            pool.save(update_fields=["is_stuck"])


def _falls_asleep(replica: ReplicaView) -> bool:
    return replica.phase == Phase.SLEEPING and not replica.is_asleep


def advice_for(pools: Sequence[Pool], world: World) -> dict[int, Advice]:
    """What each managed pool would get now, by its id. Changes nothing: what operators are shown beforehand.

    A pool that a person counts claims just that. Of nodes that take nothing new counts what runs there.
    """
    views = {view.id: view for view in world.pools}
    managed = [pool for pool in pools if pool.policy != Pool.Policy.UNMANAGED and pool.pk in views]
    loads = loads_of(managed, world.now)
    wishes = {pool.pk: _wish(pool, loads[pool.pk], world.now) for pool in managed}
    running = Counter(replica.pool for replica in world.replicas if replica.is_awake)
    claims = [
        _claim(pool, views[pool.pk], wishes[pool.pk], loads[pool.pk], running[pool.pk], world) for pool in managed
    ]
    given = grants(claims, _memory(world))
    lacking = {pool.pk for pool in managed if running[pool.pk] < given[pool.name]}
    return {
        pool.pk: Advice(wishes[pool.pk], _granted(pool, wishes[pool.pk], given[pool.name], lacking - {pool.pk}))
        for pool in managed
    }


def policy_of(pool: Pool) -> Policy:
    """What its operators set. It needs `requests_at_once`."""
    return Policy(
        minimum=pool.minimum,
        maximum=pool.maximum,
        requests_at_once=pool.requests_at_once or 1,
        first_token_ms=pool.model.target_first_token_ms,
        zero_after_s=pool.zero_after_s,
    )


def _wish(pool: Pool, loads: Sequence[Load], now: datetime) -> Wish:
    if pool.policy == Pool.Policy.MANUAL:
        return Wish(min(max(pool.wanted, pool.minimum), pool.maximum), Why.MINIMUM)
    asked_at = pool.asked_at.timestamp() if pool.asked_at else None
    return wish(policy_of(pool), loads, now.timestamp(), asked_at=asked_at)


def _claim(pool: Pool, view: PoolView, wished: Wish, loads: Sequence[Load], holds: int, world: World) -> Claim:
    is_manual, wanted = pool.policy == Pool.Policy.MANUAL, view.configuration
    return Claim(
        pool=pool.name,
        size=Size(wanted.gpus, wanted.memory_mb),
        minimum=wished.replicas if is_manual else pool.minimum,
        wanted=wished.replicas,
        priority=pool.priority,
        nodes=frozenset(place for place, node in enumerate(world.nodes) if misfit(node, wanted) is None),
        is_pressing=is_pressing(policy_of(pool), loads, world.now.timestamp()),
        holds=holds,
    )


def _memory(world: World) -> list[list[int]]:
    """The memory of each node's GPUs in MB; of a node that takes nothing new, what its replicas hold and keep."""
    pools, held = {pool.id: pool for pool in world.pools}, Counter[tuple[int, int]]()
    for replica in world.replicas:
        if replica.is_awake:
            size = pools[replica.pool].configurations[replica.generation].memory_mb
            held.update({(replica.node, index): size for index in replica.gpus})
    return [[_counted(node, gpu, held[node.id, gpu.index], world) for gpu in node.gpus] for node in world.nodes]


def _counted(node: NodeView, gpu: Gpu, held: int, world: World) -> int:
    if node.is_drained:
        return 0
    takes_new = node.takes_new and not node.is_silent_for(SILENT, world.now)
    return gpu.memory_mb if takes_new else held


def _granted(pool: Pool, wished: Wish, given: int, lacking: Collection[int]) -> int:
    """What is given; but nothing is taken away only because it could be packed otherwise: that takes another pool that
    lacks something of what it is given.
    """
    return given if lacking else max(given, min(wished.replicas, pool.wanted))
