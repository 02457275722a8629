"""Lets the number of replicas follow the demand: notes what automatic pools have to do, says how many each gets."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from gateway.pools.fleet import events, reasons
from gateway.pools.fleet.placement import lacks_labels
from gateway.pools.fleet.rationing import Claim, Size, grants
from gateway.pools.fleet.scaling import CALM_S, Load, Policy, Why, Wish, wish
from gateway.pools.fleet.world import SILENT, Gpu, NodeView, PoolView, World
from gateway.pools.fleet_tables import PoolLoad
from gateway.pools.models import ModelProbe, Pool, Replica

NOTED_EVERY = timedelta(seconds=4)  # the reconciler comes every five seconds, and more often where something changed
KEPT = timedelta(hours=1)
PROBE_COUNTS = timedelta(minutes=2)  # a model is probed once a minute


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
    Why.IDLE: reasons.NEVER_COLD,
}


def follow_demand(pools: Sequence[Pool], replicas: Sequence[Replica], world: World) -> bool:
    """A part of the reconciler's step, with the rows locked: note loads, then change what automatic pools are to have.
    True where it changed.
    """
    automatic = [pool for pool in pools if pool.policy == Pool.Policy.AUTOMATIC]
    if not automatic:
        return False
    _note_loads(automatic, replicas, world.now)
    advice, changed = advice_for(pools, world), False
    for pool in automatic:
        told = advice[pool.pk]
        if told.granted != pool.wanted:
            pool.wanted, changed = told.granted, True
            pool.save(update_fields=["wanted"])
            events.note_pool(pool, "scaled", reason=told.reason)
    return changed


def advice_for(pools: Sequence[Pool], world: World) -> dict[int, Advice]:
    """What each managed pool would get now, by its id. Changes nothing: what operators are shown beforehand.

    A pool that a person counts claims just that. Of nodes that take nothing new counts what runs there.
    """
    views = {view.id: view for view in world.pools}
    managed = [pool for pool in pools if pool.policy != Pool.Policy.UNMANAGED and pool.pk in views]
    wishes = _wishes(managed, world.now)
    claims = [_claim(pool, views[pool.pk], wishes[pool.pk], world) for pool in managed]
    given = grants(claims, _memory(world))
    running = Counter(replica.pool for replica in world.replicas if not replica.is_leaving)
    lacking = {pool.pk for pool in managed if running[pool.pk] < given[pool.name]}
    return {
        pool.pk: Advice(wishes[pool.pk], _granted(pool, wishes[pool.pk], given[pool.name], lacking - {pool.pk}))
        for pool in managed
    }


def policy_of(pool: Pool) -> Policy:
    """What its operators set. It needs `requests_at_once`; without a request it keeps one, as nothing wakes it yet."""
    return Policy(
        minimum=pool.minimum,
        maximum=pool.maximum,
        requests_at_once=pool.requests_at_once or 1,
        first_token_ms=pool.model.target_first_token_ms,
    )


def _wishes(pools: Sequence[Pool], now: datetime) -> dict[int, Wish]:
    automatic = [pool.pk for pool in pools if pool.policy == Pool.Policy.AUTOMATIC]
    loads: dict[int, list[Load]] = defaultdict(list)
    since = now - timedelta(seconds=CALM_S)
    for row in PoolLoad.objects.filter(pool__in=automatic, at__gt=since, at__lte=now).order_by("at"):
        load = Load(
            row.at.timestamp(), row.ready, row.running, row.waiting, row.kv_cache_use, row.first_token_ms or None
        )
        loads[row.pool_id].append(load)
    found = {}
    for pool in pools:
        if pool.pk in automatic:
            found[pool.pk] = wish(policy_of(pool), loads[pool.pk], now.timestamp())
        else:
            found[pool.pk] = Wish(min(max(pool.wanted, pool.minimum), pool.maximum), Why.MINIMUM)
    return found


def _claim(pool: Pool, view: PoolView, wished: Wish, world: World) -> Claim:
    is_manual, wanted = pool.policy == Pool.Policy.MANUAL, view.configuration
    return Claim(
        pool=pool.name,
        size=Size(wanted.gpus, wanted.memory_mb),
        minimum=wished.replicas if is_manual else pool.minimum,
        wanted=wished.replicas,
        priority=pool.priority,
        nodes=frozenset(place for place, node in enumerate(world.nodes) if not lacks_labels(node, wanted)),
    )


def _memory(world: World) -> list[list[int]]:
    """The memory of each node's GPUs in MB; of a node that takes nothing new, what its replicas hold and keep."""
    pools, held = {pool.id: pool for pool in world.pools}, Counter[tuple[int, int]]()
    for replica in world.replicas:
        if not replica.is_leaving:
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


def _note_loads(pools: Sequence[Pool], replicas: Sequence[Replica], now: datetime) -> None:
    PoolLoad.objects.filter(at__lt=now - KEPT).delete()
    fresh = PoolLoad.objects.filter(pool__in=pools, at__gt=now - NOTED_EVERY).values_list("pool", flat=True)
    noted, first_tokens = set(fresh), _first_tokens(pools, now)
    PoolLoad.objects.bulk_create(
        _load_of(pool, [one for one in replicas if one.pool_id == pool.pk], first_tokens.get(pool.model_id), now)
        for pool in pools
        if pool.pk not in noted
    )


def _load_of(pool: Pool, replicas: Sequence[Replica], first_token_ms: int | None, now: datetime) -> PoolLoad:
    """What its engines said in their nodes' last reports; what drains counts too: such requests go on coming."""
    seen: list[dict[str, Any]] = [one.observed for one in replicas if one.observed.get("state") == "running"]
    uses = [float(one.get("kv_cache_use", 0)) for one in seen]
    return PoolLoad(
        pool=pool,
        at=now,
        ready=sum(one.state == Replica.State.READY for one in replicas),
        running=sum(one.get("running", 0) for one in seen),
        waiting=sum(one.get("waiting", 0) for one in seen),
        kv_cache_use=sum(uses) / len(uses) if uses else 0.0,
        first_token_ms=first_token_ms,
    )


def _first_tokens(pools: Sequence[Pool], now: datetime) -> dict[int, int]:
    """By model, what the last probe waited for its first token."""
    models = [pool.model_id for pool in pools]
    rows = ModelProbe.objects.filter(model__in=models, minute__gt=now - PROBE_COUNTS).order_by("minute")
    return {row.model_id: row.first_token_ms for row in rows if row.first_token_ms is not None}
