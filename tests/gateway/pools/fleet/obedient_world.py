"""A fleet that does what it is told: applies plans, lets time pass, starts engines and stops them."""

import itertools
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from gateway.pools.fleet.planner import plan_fleet
from gateway.pools.fleet.world import (
    Approve,
    Configuration,
    Drain,
    Fail,
    Forget,
    Gpu,
    NodeView,
    Phase,
    Place,
    Plan,
    PoolView,
    ReplicaView,
    Retire,
    RollBack,
    SetbackView,
    Sleep,
    Stop,
    Wake,
    World,
    held_mb,
)

START = datetime(2026, 11, 22, tzinfo=UTC)
STEP = timedelta(seconds=5)
_PHASES = {Drain: Phase.DRAINING, Stop: Phase.STOPPING, Sleep: Phase.SLEEPING, Wake: Phase.STARTING}
_NEXT = {Phase.REQUESTED: Phase.STARTING, Phase.STARTING: Phase.WARMING, Phase.WARMING: Phase.READY}


def node(number: int, *memory_mb: int, **other: object) -> NodeView:
    """A node with GPUs of that memory, which has just reported."""
    gpus = tuple(Gpu(index, memory) for index, memory in enumerate(memory_mb))
    return NodeView(number, f"node-{number}", gpus, reported_at=START, **other)  # type: ignore[arg-type]


def pool(number: int, wanted: int, *, gpus: int = 1, memory_mb: int = 10, **other: object) -> PoolView:
    """A pool with one configuration, of generation 1."""
    configurations = {1: Configuration(gpus, memory_mb)}
    values: dict[str, object] = {"generation": 1, "configurations": configurations, "wanted": wanted, **other}
    return PoolView(number, f"pool-{number}", **values)  # type: ignore[arg-type]


def reconfigured(one: PoolView, configuration: Configuration) -> PoolView:
    """The pool with a further configuration, which its replicas are to have."""
    generation = max(one.configurations) + 1
    configurations = {**one.configurations, generation: configuration}
    return replace(one, generation=generation, configurations=configurations)


Fails = Callable[[ReplicaView], bool]


@dataclass
class Fleet:
    """What is there, and how it obeys. `fails` says which replicas end while they start."""

    nodes: list[NodeView]
    pools: list[PoolView]
    replicas: dict[int, ReplicaView] = field(default_factory=dict)
    setbacks: dict[tuple[int, int, int], SetbackView] = field(default_factory=dict)
    now: datetime = START
    fails: Fails = lambda _: False
    least_ready: dict[int, int] = field(default_factory=lambda: defaultdict(lambda: 10**6))
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1000))

    def world(self) -> World:
        """As the planner sees it."""
        return World(
            self.now,
            tuple(self.nodes),
            tuple(self.pools),
            tuple(self.replicas.values()),
            tuple(self.setbacks.values()),
        )

    def plan(self) -> Plan:
        """What the planner says now."""
        return plan_fleet(self.world())

    def tick(self) -> Plan:
        """A plan is made and applied, five seconds pass, and the machines obey."""
        plan = self.plan()
        for action in plan.actions:
            self._apply(action)
        self.check_memory()
        self._obey()
        for one in self.pools:
            self.least_ready[one.id] = min(self.least_ready[one.id], self.ready(one.id))
        return plan

    def settle(self, ticks: int = 400) -> Plan:
        """Ticks until nothing has happened for long; gives the last plan."""
        calm = 0
        for _ in range(ticks):
            plan = self.tick()
            at_rest = {Phase.READY, Phase.SLEEPING}
            is_calm = not plan.actions and all(one.phase in at_rest for one in self.replicas.values())
            calm = calm + 1 if is_calm else 0
            if calm > 140:  # longer than a fleet rests before it is rebalanced, and than any pause
                return plan
        raise AssertionError(f"it never comes to rest: {plan}")

    def ready(self, pool_id: int) -> int:
        """How many replicas of the pool take requests."""
        return sum(one.phase == Phase.READY and one.pool == pool_id for one in self.replicas.values())

    def spread(self, pool_id: int) -> list[int]:
        """How many replicas of the pool each node has."""
        on = [one.node for one in self.replicas.values() if one.pool == pool_id and not one.is_leaving]
        return [on.count(one.id) for one in self.nodes]

    def change(self, replica_id: int, **values: object) -> None:
        """Let something happen to a replica."""
        self.replicas[replica_id] = replace(self.replicas[replica_id], **values)  # type: ignore[arg-type]

    def change_node(self, number: int, **values: object) -> None:
        """Let something happen to a node."""
        self.nodes = [replace(one, **values) if one.id == number else one for one in self.nodes]  # type: ignore[arg-type]

    def change_pool(self, changed: PoolView) -> None:
        """Want something else of a pool."""
        self.pools = [changed if one.id == changed.id else one for one in self.pools]

    def check_memory(self) -> None:
        """No GPU has more on it than it holds, those included that are still being stopped."""
        held: Mapping[tuple[int, int], int] = defaultdict(int)
        configurations = {one.id: one.configurations for one in self.pools}
        for one in self.replicas.values():
            for index in one.gpus:
                held[one.node, index] += held_mb(one, configurations[one.pool][one.generation])  # type: ignore[index]
        for machine in self.nodes:
            for gpu in machine.gpus:
                assert held[machine.id, gpu.index] <= gpu.memory_mb

    def _apply(self, action: object) -> None:
        match action:
            case Place(pool_id, generation, node_id, gpus, _):
                number = next(self._numbers)
                self.change_node(node_id, has_assignment=False)
                self.replicas[number] = ReplicaView(number, pool_id, generation, node_id, self.now, gpus)
            case Drain(replica_id, _) | Stop(replica_id, _) | Sleep(replica_id, _) | Wake(replica_id, _):
                assert not isinstance(action, Wake) or self.replicas[replica_id].is_asleep
                self.change(replica_id, phase=_PHASES[type(action)], since=self.now)
            case Fail(replica_id, _):
                failed = self.replicas[replica_id]
                place = (failed.pool, failed.generation, failed.node)
                before = self.setbacks[place].failures if place in self.setbacks else 0
                self.setbacks[place] = SetbackView(*place, before + 1, self.now)
                self.change(replica_id, phase=Phase.STOPPING, since=self.now)
            case Forget(replica_id):
                del self.replicas[replica_id]
            case Retire(replica_id, _, retires):
                self.change(replica_id, retires=retires)
            case Approve(pool_id, generation):
                self.change_pool(replace(self._pool(pool_id), sound_generation=generation))
            case RollBack(pool_id, generation, _):
                self.change_pool(replace(self._pool(pool_id), generation=generation))

    def _pool(self, pool_id: int) -> PoolView:
        return next(one for one in self.pools if one.id == pool_id)

    def _obey(self) -> None:
        self.now += STEP
        silent = {one.id for one in self.nodes if one.reported_at is None or one.labels.get("silent")}
        for machine in self.nodes:
            if machine.id not in silent:
                self.change_node(machine.id, reported_at=self.now, has_assignment=True)
        for one in list(self.replicas.values()):
            if one.node not in silent:
                self._go_on(one)
        self._forgive()

    def _go_on(self, one: ReplicaView) -> None:
        if one.phase == Phase.STOPPING:
            self.change(one.id, is_reported=False, ended="")
        elif one.phase == Phase.STARTING and self.fails(one):
            self.change(one.id, is_reported=True, ended="It fell over.")
        elif one.phase in _NEXT:
            self.change(one.id, is_reported=True, phase=_NEXT[one.phase], since=self.now, is_asleep=False)
        elif one.phase == Phase.DRAINING:
            self.change(one.id, is_reported=True, busy=0)
        elif one.phase == Phase.SLEEPING:
            self.change(one.id, is_reported=True, is_asleep=True)
        else:
            self.change(one.id, is_reported=True)

    def _forgive(self) -> None:
        for place, setback in list(self.setbacks.items()):
            serves = any(
                (one.pool, one.generation, one.node) == place
                for one in self.replicas.values()
                if one.phase == Phase.READY and self.now - one.since > timedelta(minutes=10)
            )
            if serves or self.now - setback.last_at > timedelta(hours=2):
                del self.setbacks[place]
