"""All pools and nodes at a glance: how each pool stands, what it has to do, where its replicas are. Reads only."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.utils import timezone

from gateway.pools.fleet.overview import NodeOverview, nodes_overview
from gateway.pools.fleet.placement import Obstacle
from gateway.pools.fleet.planner import plan_fleet
from gateway.pools.fleet.reading import read_rows, read_world, wanted_of
from gateway.pools.fleet.work import Work, last_samples, together, work_of
from gateway.pools.fleet.world import Shortage
from gateway.pools.fleet_tables import Setback
from gateway.pools.models import Pool, Replica


@dataclass(frozen=True, slots=True)
class PoolRow:
    """A pool, its replicas by column of the board, how many have no place now and what is in the way on most nodes.

    failures: in a row, of the configuration that is wanted; wanted: as many replicas as there are to be
    """

    pool: Pool
    cells: tuple[tuple[Replica, ...], ...]
    wanted: int
    work: Work
    missing: int = 0
    obstacle: Obstacle | None = None
    failures: int = 0

    @property
    def replicas(self) -> list[Replica]:
        """All of them."""
        return [replica for cell in self.cells for replica in cell]

    @property
    def ready(self) -> int:
        """How many take requests."""
        return sum(replica.takes_requests for replica in self.replicas)

    @property
    def is_short(self) -> bool:
        """Whether one does not take requests, or is missing."""
        return self.ready < self.wanted


@dataclass(frozen=True, slots=True)
class Board:
    """The nodes are its columns; one more, the last, is of engines that are registered by address (`has_others`)."""

    nodes: tuple[NodeOverview, ...]
    rows: tuple[PoolRow, ...]
    has_others: bool

    @property
    def ready(self) -> int:
        """Replicas that take requests."""
        return sum(row.ready for row in self.rows)

    @property
    def wanted(self) -> int:
        """As many as there are to be."""
        return sum(row.wanted for row in self.rows)

    @property
    def work(self) -> Work:
        """Of all pools; no places where one of them has no bound."""
        return together([row.work for row in self.rows])

    @property
    def memory_mb(self) -> int:
        """Of all GPUs, MiB."""
        return sum(node.memory_mb for node in self.nodes)

    @property
    def held_mb(self) -> int:
        """What replicas hold of it, MiB."""
        return self.memory_mb - sum(node.free_mb for node in self.nodes)


def fleet_board() -> Board:
    """As it is now. Pools that are short of a replica come first."""
    rows, now = read_rows(), timezone.now()
    nodes = tuple(nodes_overview(sorted(rows.nodes, key=lambda node: node.name), rows))
    others = list(Replica.objects.filter(machine=None).select_related("pool__model").order_by("pk"))
    samples = last_samples(others)
    shortages = {one.pool: one for one in plan_fleet(read_world(rows, {}, now)).shortages}
    pools = {pool.pk: pool for pool in (*rows.pools, *(replica.pool for replica in others))}
    columns = {node.node.pk: index for index, node in enumerate(nodes)}
    cells: dict[int, list[list[Replica]]] = {pk: [[] for _ in range(len(nodes) + bool(others))] for pk in pools}
    for replica in (*rows.replicas, *others):
        cells[replica.pool_id][columns.get(replica.machine_id or 0, -1)].append(replica)
    made = [
        _row(pool, cells[pk], samples, shortages.get(pk), _failures(pool, rows.setbacks))
        for pk, pool in pools.items()
        if pool.policy != Pool.Policy.UNMANAGED or any(cells[pk])
    ]
    return Board(nodes, tuple(sorted(made, key=lambda row: (not row.is_short, row.pool.name))), bool(others))


def _row(
    pool: Pool,
    cells: list[list[Replica]],
    samples: Mapping[tuple[str, str], tuple[int, int]],
    shortage: Shortage | None,
    failures: int,
) -> PoolRow:
    replicas = [replica for cell in cells for replica in cell]
    by_address = sum(replica.machine_id is None for replica in replicas)
    is_managed = pool.policy != Pool.Policy.UNMANAGED
    return PoolRow(
        pool=pool,
        cells=tuple(tuple(cell) for cell in cells),
        wanted=by_address + (wanted_of(pool) if is_managed else 0),
        work=work_of(replicas, samples),
        missing=shortage.missing if shortage else 0,
        obstacle=_nearest(shortage),
        failures=failures,
    )


def _nearest(shortage: Shortage | None) -> Obstacle | None:
    """What is in the way on the node that comes nearest to having room."""
    if shortage is None:
        return None
    found = set(shortage.why.values())
    return next((obstacle for obstacle in _NEAREST_FIRST if obstacle in found), None)


_NEAREST_FIRST = (
    Obstacle.STRANGERS, Obstacle.PAUSED, Obstacle.QUARANTINED, Obstacle.NO_ROOM, Obstacle.SILENT,
    Obstacle.CORDONED, Obstacle.TOO_SMALL_GPUS, Obstacle.TOO_FEW_GPUS, Obstacle.LABELS, Obstacle.SIMULATED,
)  # fmt: skip


def _failures(pool: Pool, setbacks: Iterable[Setback]) -> int:
    return sum(one.failures for one in setbacks if (one.pool_id, one.generation) == (pool.pk, pool.generation))
