"""Where a replica can run: never more memory of a GPU than it has, spread over the nodes. Pure.

Between nodes: the one with the fewest replicas of the pool, then one that has the weights on its disk, then the one
with the most free memory. On a node: the GPUs on which the least is left over, so that whole ones stay free for large
models.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum

from gateway.pools.fleet.world import SILENT, Configuration, NodeView, ReplicaView, World

FIRST_PAUSE = timedelta(seconds=10)  # after a failure; each further one doubles it
LONGEST_PAUSE = timedelta(minutes=10)
QUARANTINED_AFTER = 5  # failures in a row on one node
QUARANTINE = timedelta(hours=1)


class Obstacle(StrEnum):
    """Why a replica cannot be placed on a node now."""

    SILENT = "silent"
    CORDONED = "cordoned"
    SIMULATED = "simulated"
    LABELS = "labels"
    TOO_FEW_GPUS = "too_few_gpus"
    TOO_SMALL_GPUS = "too_small_gpus"
    NO_ROOM = "no_room"
    STRANGERS = "strangers"
    PAUSED = "paused"
    QUARANTINED = "quarantined"


# These pass by themselves, and soon: who can wait for them, should.
PASSING = frozenset({Obstacle.STRANGERS, Obstacle.PAUSED})


def resumes_at(failures: int, last_at: datetime) -> datetime:
    """Until when a configuration that failed so often in a row on a node is not tried there again."""
    return last_at + QUARANTINE if failures >= QUARANTINED_AFTER else paused_until(failures, last_at)


def paused_until(failures: int, last_at: datetime) -> datetime:
    """Until when a configuration that failed so often, wherever, is not tried anywhere."""
    pause = FIRST_PAUSE * (1 << min(failures - 1, 10))
    return last_at + min(pause, LONGEST_PAUSE)


class Room:
    """What is free on each node, while a plan is made. `free`: by node and GPU, MiB."""

    def __init__(self, world: World, memory_of: Callable[[ReplicaView], int]) -> None:
        self._world = world
        self._nodes = {node.id: node for node in world.nodes}
        self._setbacks = {(one.pool, one.generation, one.node): one for one in world.setbacks}
        self.free: dict[int, dict[int, int]] = {
            node.id: {gpu.index: gpu.memory_mb for gpu in node.gpus} for node in world.nodes
        }
        self._on: dict[int, Counter[int]] = defaultdict(Counter)  # by pool, replicas on each node
        for replica in world.replicas:
            self._take(replica.node, replica.gpus, memory_of(replica))
            if replica.is_awake:
                self._on[replica.pool][replica.node] += 1

    def place(self, pool: int, generation: int, wanted: Configuration) -> tuple[int, tuple[int, ...]] | None:
        """Take the best place for a replica: its node and the GPUs there. None: there is none."""
        obstacles = self.obstacles(pool, generation, wanted)
        open_nodes = [node for node in self._world.nodes if node.id not in obstacles]
        if not open_nodes:
            return None
        best = min(open_nodes, key=lambda node: self._rank(pool, wanted, node))
        gpus = fitting(self.free[best.id], wanted)
        assert gpus is not None
        self._take(best.id, gpus, wanted.memory_mb)
        self._on[pool][best.id] += 1
        return best.id, gpus

    def wake(self, asleep: ReplicaView, memory_mb: int) -> bool:
        """Take the memory that one that sleeps needs besides what it holds; False where it is not free there."""
        if not self.is_free(asleep, memory_mb):
            return False
        self._take(asleep.node, asleep.gpus, memory_mb)
        self._on[asleep.pool][asleep.node] += 1
        return True

    def is_free(self, replica: ReplicaView, memory_mb: int) -> bool:
        """Whether so much is free on each of its GPUs."""
        return all(self.free[replica.node].get(index, 0) >= memory_mb for index in replica.gpus)

    def give_back(self, replica: ReplicaView, memory_mb: int) -> None:
        """As if what it holds were free, to see what would fit then; with `-memory_mb` it is taken again."""
        self._take(replica.node, replica.gpus, -memory_mb)

    def would_fit_without(self, leaving: ReplicaView, memory_mb: int, generation: int, wanted: Configuration) -> bool:
        """Whether a replica of the same pool would find a place on its node once that one is gone."""
        node = self._nodes.get(leaving.node)
        if node is None or not node.takes_new or misfit(node, wanted):
            return False
        if self._pause(leaving.pool, generation, node.id):
            return False
        freed = dict(self.free[node.id])
        for index in leaving.gpus:
            freed[index] = freed.get(index, 0) + memory_mb
        return fitting(freed, wanted) is not None

    def obstacles(self, pool: int, generation: int, wanted: Configuration) -> Mapping[int, Obstacle]:
        """By node, why a replica cannot be placed there now; a node that is open is missing."""
        found = ((node.id, self._obstacle(node, pool, generation, wanted)) for node in self._world.nodes)
        return {node_id: obstacle for node_id, obstacle in found if obstacle is not None}

    def counts(self, pool: int) -> Mapping[int, int]:
        """How many replicas of the pool are on each node, those that leave aside."""
        return self._on[pool]

    def _obstacle(self, node: NodeView, pool: int, generation: int, wanted: Configuration) -> Obstacle | None:
        if not node.takes_new:
            return Obstacle.CORDONED
        if found := misfit(node, wanted):
            return found
        if len(node.gpus) < wanted.gpus:
            return Obstacle.TOO_FEW_GPUS
        if fitting({gpu.index: gpu.memory_mb for gpu in node.gpus}, wanted) is None:
            return Obstacle.TOO_SMALL_GPUS
        if node.is_silent_for(SILENT, self._world.now):
            return Obstacle.SILENT
        if pause := self._pause(pool, generation, node.id):
            return pause
        if fitting(self.free[node.id], wanted) is None:
            return Obstacle.NO_ROOM
        if node.has_strangers:
            return Obstacle.STRANGERS
        return None

    def _pause(self, pool: int, generation: int, node: int) -> Obstacle | None:
        here = self._setbacks.get((pool, generation, node))
        if here is not None and resumes_at(here.failures, here.last_at) > self._world.now:
            return Obstacle.QUARANTINED if here.failures >= QUARANTINED_AFTER else Obstacle.PAUSED
        everywhere = [one for key, one in self._setbacks.items() if key[:2] == (pool, generation)]
        if not everywhere:
            return None
        failures, last_at = sum(one.failures for one in everywhere), max(one.last_at for one in everywhere)
        return Obstacle.PAUSED if paused_until(failures, last_at) > self._world.now else None

    def _rank(self, pool: int, wanted: Configuration, node: NodeView) -> tuple[int, bool, int, int]:
        has_weights = not wanted.location or wanted.location in node.locations
        return self._on[pool][node.id], not has_weights, -sum(self.free[node.id].values()), node.id

    def _take(self, node: int, gpus: Iterable[int], memory_mb: int) -> None:
        free = self.free.get(node, {})
        for index in gpus:
            if index in free:
                free[index] -= memory_mb


def fitting(free: Mapping[int, int], wanted: Configuration) -> tuple[int, ...] | None:
    """The GPUs (of index -> free MiB) on which the least is left; () where none is needed, None: it fits nowhere."""
    open_gpus = sorted((left, index) for index, left in free.items() if left >= wanted.memory_mb)
    if len(open_gpus) < wanted.gpus:
        return None
    return tuple(sorted(index for _, index in open_gpus[: wanted.gpus]))


def misfit(node: NodeView, wanted: Configuration) -> Obstacle | None:
    """Why the node is not what the configuration asks for, whatever room it has. Real and simulated never mix: a real
    model's clients would get made-up answers, and made-up ones would hold real GPUs.
    """
    if node.reported_at is not None and node.is_simulated != wanted.is_simulated:
        return Obstacle.SIMULATED
    is_labelled = all(node.labels.get(name) == value for name, value in wanted.labels.items())
    return None if is_labelled else Obstacle.LABELS
