"""What automatic pools have to do, noted every few seconds: of engines by their nodes' reports, and gateways' lines."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from gateway.pools.fleet.gateway_demand import Asked
from gateway.pools.fleet.scaling import CALM_S, Load
from gateway.pools.fleet_tables import PoolLoad
from gateway.pools.models import ModelProbe, Pool, Replica

NOTED_EVERY = timedelta(seconds=4)  # the reconciler comes every five seconds, and more often where something changed
KEPT = timedelta(hours=1)
PROBE_COUNTS = timedelta(minutes=2)  # a model is probed once a minute


def loads_of(pools: Sequence[Pool], now: datetime) -> Mapping[int, list[Load]]:
    """By automatic pool, what it had to do lately, oldest first."""
    automatic = [pool.pk for pool in pools if pool.policy == Pool.Policy.AUTOMATIC]
    loads: dict[int, list[Load]] = defaultdict(list)
    since = now - timedelta(seconds=CALM_S)
    for row in PoolLoad.objects.filter(pool__in=automatic, at__gt=since, at__lte=now).order_by("at"):
        load = Load(
            row.at.timestamp(), row.ready, row.running, row.waiting, row.kv_cache_use, row.first_token_ms or None
        )
        loads[row.pool_id].append(load)
    return loads


def note_loads(pools: Sequence[Pool], replicas: Sequence[Replica], asked: Mapping[int, Asked], now: datetime) -> None:
    """Note what there is now, unless that was done just before; but whoever wakes a pool is noted at once."""
    PoolLoad.objects.filter(at__lt=now - KEPT).delete()
    fresh = PoolLoad.objects.filter(pool__in=pools, at__gt=now - NOTED_EVERY).values_list("pool", flat=True)
    first_tokens = _first_tokens(pools, now)
    noted = set(fresh) - {pool.pk for pool in pools if asked[pool.pk].waiting and not pool.wanted}
    PoolLoad.objects.bulk_create(
        _load_of(
            pool,
            [one for one in replicas if one.pool_id == pool.pk],
            asked[pool.pk],
            first_tokens.get(pool.model_id),
            now,
        )
        for pool in pools
        if pool.pk not in noted
    )


def _load_of(
    pool: Pool, replicas: Sequence[Replica], asked: Asked, first_token_ms: int | None, now: datetime
) -> PoolLoad:
    """What its engines said in their nodes' last reports; what drains counts too: such requests go on coming. Of a pool
    that may have none, nothing counts while nobody asked but our own probe; who was turned away counts as one.
    """
    seen: list[dict[str, Any]] = [one.observed for one in replicas if one.observed.get("state") == "running"]
    uses = [float(one.get("kv_cache_use", 0)) for one in seen]
    ready = sum(one.state == Replica.State.READY for one in replicas)
    running = sum(one.get("running", 0) for one in seen)
    waiting = sum(one.get("waiting", 0) for one in seen) + asked.waiting
    if pool.wakes and not asked.is_recent(now):
        running = waiting = 0
    elif pool.wakes and not ready:
        waiting = max(waiting, 1)
    return PoolLoad(
        pool=pool,
        at=now,
        ready=ready,
        running=running,
        waiting=waiting,
        kv_cache_use=sum(uses) / len(uses) if uses else 0.0,
        first_token_ms=first_token_ms,
    )


def _first_tokens(pools: Sequence[Pool], now: datetime) -> dict[int, int]:
    """By model, what the last probe waited for its first token."""
    models = [pool.model_id for pool in pools]
    rows = ModelProbe.objects.filter(model__in=models, minute__gt=now - PROBE_COUNTS).order_by("minute")
    return {row.model_id: row.first_token_ms for row in rows if row.first_token_ms is not None}
