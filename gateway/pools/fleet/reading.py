"""Reads the fleet out of PostgreSQL as the planner wants it (`world.py`)."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway.pools.fleet.world import (
    Configuration,
    Gpu,
    NodeView,
    Phase,
    PoolView,
    ReplicaView,
    SetbackView,
    World,
)
from gateway.pools.fleet_tables import Node, PoolConfiguration, Setback
from gateway.pools.models import Pool, Replica

_MIB = 2**20
# What a replica of the fleet is that somebody drained and put back: it is probed again.
_PHASES = {Replica.State.REGISTERED.value: Phase.WARMING} | {phase.value: phase for phase in Phase}


@dataclass(frozen=True, slots=True)
class Rows:
    """All rows of the fleet: every pool that is or was managed, each list by id."""

    pools: list[Pool]
    nodes: list[Node]
    replicas: list[Replica]
    configurations: list[PoolConfiguration]
    setbacks: list[Setback]


def read_rows() -> Rows:
    """As they are now; in five queries."""
    return Rows(
        pools=list(Pool.objects.exclude(generation=0).select_related("model").order_by("pk")),
        nodes=list(Node.objects.order_by("pk")),
        replicas=fleet_replicas(),
        configurations=list(PoolConfiguration.objects.order_by("pk")),
        setbacks=list(Setback.objects.select_related("node").order_by("pk")),
    )


def lock_fleet() -> None:
    """Keep pools, nodes and replicas as they are until the transaction ends; in the order in which all others lock."""
    for rows in (
        Pool.objects.exclude(generation=0),
        Node.objects.all(),
        Replica.objects.filter(source=Replica.Source.FLEET),
    ):
        list(rows.select_for_update(no_key=True).order_by("pk").values_list("pk"))


def fleet_replicas() -> list[Replica]:
    """Every replica of the fleet with its pool, by id."""
    found = Replica.objects.filter(source=Replica.Source.FLEET).select_related("pool__model", "machine")
    return list(found.order_by("pk"))


def read_world(rows: Rows, answers: Mapping[int, bool], now: datetime) -> World:
    """The world of these rows. `answers`: by replica on a silent node, whether its engine was reached."""
    configurations: dict[int, dict[int, Configuration]] = defaultdict(dict)
    for row in rows.configurations:
        configurations[row.pool_id][row.generation] = configuration_of(row)
    return World(
        now=now,
        nodes=tuple(node_view(node) for node in rows.nodes),
        pools=tuple(pool_view(pool, configurations[pool.pk]) for pool in rows.pools),
        replicas=tuple(_replica(replica, answers.get(replica.pk)) for replica in rows.replicas),
        setbacks=tuple(
            SetbackView(row.pool_id, row.generation, row.node_id, row.failures, row.last_at) for row in rows.setbacks
        ),
    )


def configuration_of(row: PoolConfiguration) -> Configuration:
    """What the planner has to know of it."""
    return Configuration(
        gpus=row.gpus,
        memory_mb=row.gpu_memory_mb,
        labels=row.labels,
        location=row.weights.get("location", ""),
        weights_mb=row.weights.get("bytes", 0) // _MIB,
        ready_within=timedelta(seconds=row.ready_within_s),
        may_sleep=row.may_sleep,
        is_simulated=row.engine == PoolConfiguration.Engine.SIMULATED,
    )


def node_view(node: Node) -> NodeView:
    """A node, with the labels that the operator gave it before those that its agent reports."""
    seen = node.observed
    return NodeView(
        id=node.pk,
        name=node.name,
        gpus=tuple(Gpu(gpu["index"], gpu["memory_mb"]) for gpu in seen.get("gpus", [])),
        labels={**seen.get("labels", {}), **node.labels},
        takes_new=node.service == Node.Service.IN,
        is_drained=node.service == Node.Service.DRAINING,
        reported_at=node.reported_at,
        has_assignment=node.acknowledged == node.generation,
        has_strangers=bool(seen.get("strangers")),
        is_simulated=bool(seen.get("is_simulated")),
        locations={one["location"]: one.get("bytes", 0) // _MIB for one in seen.get("models_on_disk", [])},
        memory_mb=seen.get("memory_bytes", 0) // _MIB,
    )


def pool_view(pool: Pool, configurations: Mapping[int, Configuration]) -> PoolView:
    """A pool; of one that is managed no longer, nothing is wanted."""
    is_managed = pool.policy != Pool.Policy.UNMANAGED
    return PoolView(
        id=pool.pk,
        name=pool.name,
        generation=pool.generation,
        configurations=configurations,
        wanted=wanted_of(pool) if is_managed else 0,
        minimum=pool.minimum if is_managed else 0,
        sound_generation=pool.sound_generation,
        wakes=pool.wakes,
    )


def wanted_of(pool: Pool) -> int:
    """How many replicas it is to have, if it is managed: within its bounds."""
    return min(max(pool.wanted, pool.minimum), pool.maximum)


def _replica(replica: Replica, answers: bool | None) -> ReplicaView:  # noqa: FBT001
    seen = replica.observed
    state = seen.get("state", "")
    assert replica.machine_id is not None
    assert replica.generation is not None
    assert replica.state_since is not None
    return ReplicaView(
        id=replica.pk,
        pool=replica.pool_id,
        generation=replica.generation,
        node=replica.machine_id,
        since=replica.state_since,
        gpus=tuple(replica.gpus),
        phase=_PHASES[replica.state],
        retires=replica.retires,
        is_reported=state not in ("", "exited"),
        ended=(seen.get("words") or seen.get("fault") or state) if state == "exited" else "",
        busy=seen.get("running", 0) + seen.get("waiting", 0) if state == "running" else None,
        answers=answers,
        is_asleep=state == "asleep" or bool(seen.get("was_asleep")),
        reason=replica.state_reason,
    )
