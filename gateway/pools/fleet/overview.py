"""How the fleet is, for pages: what is on each GPU, which replicas are missing and why. Reads only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone

from gateway.pools.fleet.gateway_demand import asked_of
from gateway.pools.fleet.managed_pools import Wish
from gateway.pools.fleet.placement import Obstacle, paused_until, resumes_at
from gateway.pools.fleet.planner import plan_fleet
from gateway.pools.fleet.reading import Rows, fleet_replicas, read_rows, read_world, wanted_of
from gateway.pools.fleet.world import ASLEEP_MB, SILENT
from gateway.pools.fleet_tables import FleetEvent, Node, PoolConfiguration, Setback
from gateway.pools.models import Pool, Replica

EVENTS_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Held:
    """What a replica holds of a GPU, MiB; `starts_at` is what those before it hold."""

    replica: Replica
    memory_mb: int
    starts_at: int


@dataclass(frozen=True, slots=True)
class GpuView:
    """A GPU, memory in MiB; `used_mb` is what its node reports, of whomever."""

    index: int
    name: str
    memory_mb: int
    used_mb: int
    held: tuple[Held, ...]

    @property
    def free_mb(self) -> int:
        """What no replica holds."""
        return self.memory_mb - sum(one.memory_mb for one in self.held)


@dataclass(frozen=True, slots=True)
class NodeOverview:
    """A node with its GPUs and replicas. `state`: `waiting` (no machine took its token), `silent`, or `reports`."""

    node: Node
    state: str
    gpus: tuple[GpuView, ...]
    replicas: tuple[Replica, ...]

    @property
    def memory_mb(self) -> int:
        """Of all its GPUs, MiB."""
        return sum(gpu.memory_mb for gpu in self.gpus)

    @property
    def free_mb(self) -> int:
        """What no replica holds of it, MiB."""
        return sum(gpu.free_mb for gpu in self.gpus)


@dataclass(frozen=True, slots=True)
class SetbackOverview:
    """Failures in a row on a node, and when it is tried there again (None: it may be at once)."""

    row: Setback
    again_at: datetime | None


@dataclass(frozen=True, slots=True)
class PoolOverview:
    """A managed pool and its replicas; how many have no place now, and by node why; what failed where; what happened.

    wish: how a replica is started; wanted: as many replicas as there are to be; held: requests that wait in gateways
    """

    pool: Pool
    wish: Wish
    replicas: tuple[Replica, ...]
    missing: int
    obstacles: Mapping[str, Obstacle]
    setbacks: tuple[SetbackOverview, ...]
    events: tuple[FleetEvent, ...]
    wanted: int
    held: int

    @property
    def ready(self) -> int:
        """How many take requests."""
        return sum(one.takes_requests for one in self.replicas)


def nodes_overview(nodes: Sequence[Node], rows: Rows | None = None) -> list[NodeOverview]:
    """Of these nodes, in their order; in two queries, or of what was read already."""
    now, replicas = timezone.now(), rows.replicas if rows else fleet_replicas()
    of_pools = {one.pool_id for one in replicas}
    configurations = rows.configurations if rows else PoolConfiguration.objects.filter(pool__in=of_pools)
    memory = {(row.pool_id, row.generation): row.gpu_memory_mb for row in configurations}
    found = []
    for node in nodes:
        here = tuple(one for one in replicas if one.machine_id == node.pk)
        gpus = tuple(_gpu(gpu, here, memory) for gpu in node.observed.get("gpus", []))
        found.append(NodeOverview(node, _state(node, now), gpus, here))
    return found


def events_of_node(node: Node) -> list[FleetEvent]:
    """The last, newest first."""
    return list(FleetEvent.objects.filter(node=node.name).order_by("-at", "-pk")[:EVENTS_SHOWN])


def machine_of(node: Node) -> dict[str, Any]:
    """What its agent said last of the machine and of itself; nothing and 0 where it never reported. Sizes in bytes."""
    seen = node.observed
    return {
        "agent_version": seen.get("agent", {}).get("version", ""),
        "is_simulated": seen.get("is_simulated", False),
        "cpus": seen.get("cpus", 0),
        "memory_bytes": seen.get("memory_bytes", 0),
        "disk_free_bytes": seen.get("disk", {}).get("free_bytes", 0),
        "disk_total_bytes": seen.get("disk", {}).get("total_bytes", 0),
        "models_on_disk": seen.get("models_on_disk", []),
    }


def pool_overview(name: str) -> PoolOverview | None:
    """Of the pool of that name; what the next plan would say is missing. None where it never was managed."""
    rows, now = read_rows(), timezone.now()
    pool = next((one for one in rows.pools if one.name == name), None)
    if pool is None:
        return None
    names = {node.pk: node.name for node in rows.nodes}
    plan = plan_fleet(read_world(rows, {}, now))
    short = next((one for one in plan.shortages if one.pool == pool.pk), None)
    place = (pool.pk, pool.generation)
    setbacks = [one for one in rows.setbacks if (one.pool_id, one.generation) == place]
    failures, last_at = sum(one.failures for one in setbacks), max((one.last_at for one in setbacks), default=now)
    pause_ends = paused_until(failures, last_at) if setbacks else now
    wish = next(Wish.of(one) for one in rows.configurations if (one.pool_id, one.generation) == place)
    return PoolOverview(
        pool=pool,
        wish=wish,
        replicas=tuple(one for one in rows.replicas if one.pool_id == pool.pk),
        missing=short.missing if short else 0,
        obstacles={names[pk]: Obstacle(obstacle) for pk, obstacle in short.why.items()} if short else {},
        setbacks=tuple(_setback(one, pause_ends, now) for one in setbacks),
        events=tuple(FleetEvent.objects.filter(pool=name).order_by("-at", "-pk")[:EVENTS_SHOWN]),
        wanted=wanted_of(pool),
        held=asked_of([pool], now)[pool.model_id].waiting,
    )


def _state(node: Node, now: datetime) -> str:
    if node.reported_at is None:
        return "waiting"
    return "silent" if now - node.reported_at >= SILENT else "reports"


def _gpu(told: Mapping[str, object], replicas: tuple[Replica, ...], memory: Mapping[tuple[int, int], int]) -> GpuView:
    held, before = [], 0
    for replica in replicas:
        if told["index"] in replica.gpus:
            assert replica.generation is not None
            amount = memory[replica.pool_id, replica.generation]
            if replica.state == Replica.State.SLEEPING and replica.observed.get("state") == "asleep":
                amount = min(amount, ASLEEP_MB)
            held.append(Held(replica, amount, before))
            before += amount
    size, used = int(str(told["memory_mb"])), int(str(told.get("used_mb", 0)))
    return GpuView(int(str(told["index"])), str(told.get("name", "")), size, used, tuple(held))


def _setback(row: Setback, pause_ends: datetime, now: datetime) -> SetbackOverview:
    again_at = max(pause_ends, resumes_at(row.failures, row.last_at))
    return SetbackOverview(row, again_at if again_at > now else None)
