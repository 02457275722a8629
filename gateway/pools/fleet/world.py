"""The fleet as the planner sees it: plain values, read from PostgreSQL by `reconciler.py`. No I/O.

All times are the database's. Memory is in MiB of one GPU.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

# A node that was silent for so long gets nothing new; its agent reports every 5 seconds.
SILENT = timedelta(seconds=30)
# Its replicas count as lost after so long, where their engines do not answer either.
LOST = timedelta(seconds=120)


class Phase(StrEnum):
    """How far a replica of the fleet is: values of `Replica.State`."""

    REQUESTED = "requested"
    STARTING = "starting"
    WARMING = "warming"
    READY = "ready"
    FAILED = "failed"
    DRAINING = "draining"
    EJECTED = "ejected"
    STOPPING = "stopping"
    SLEEPING = "sleeping"


LEAVING = frozenset({Phase.DRAINING, Phase.EJECTED, Phase.STOPPING})
# What an engine that sleeps (vLLM's level 1: the weights in the machine's memory, no cache) is counted with, MiB a GPU:
# the driver's context and what it compiled stay.
ASLEEP_MB = 4_096
# Of a machine's memory, what the weights of all that sleep there may take: the rest is the system's and the engines'.
SLEEPERS_SHARE = 0.75


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU of a node."""

    index: int
    memory_mb: int


@dataclass(frozen=True, slots=True)
class NodeView:
    """A machine, and what its agent last said. `locations`: the weights on its disk, MiB of each; `memory_mb`: the
    machine's own memory, MiB (0: it did not say).

    has_assignment: its agent has the assignment of now; has_strangers: engines run there that nobody knows of;
    is_simulated: whatever is placed there, a simulated engine answers
    """

    id: int
    name: str
    gpus: tuple[Gpu, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    takes_new: bool = True  # neither cordoned nor being drained
    is_drained: bool = False
    reported_at: datetime | None = None
    has_assignment: bool = True
    has_strangers: bool = False
    is_simulated: bool = False
    locations: Mapping[str, int] = field(default_factory=dict)
    memory_mb: int = 0

    def is_silent_for(self, span: timedelta, now: datetime) -> bool:
        """Whether its agent said nothing for so long."""
        return self.reported_at is None or now - self.reported_at >= span


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a replica takes of a node, and what its node must be."""

    gpus: int = 0
    memory_mb: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    location: str = ""  # of the weights
    weights_mb: int = 0  # as the operator said; 0: did not
    ready_within: timedelta = timedelta(minutes=30)
    may_sleep: bool = False
    is_simulated: bool = False

    @property
    def asleep_mb(self) -> int:
        """What it takes of each GPU while it sleeps."""
        return min(self.memory_mb, ASLEEP_MB)

    def sleeper_mb(self, node: "NodeView") -> int:
        """What it takes of the machine's own memory while it sleeps: its weights. Where nobody said how large they are,
        all that it may take of its GPUs, which they are in; nothing where there are none.
        """
        if not self.location:
            return 0
        return self.weights_mb or node.locations.get(self.location) or self.gpus * self.memory_mb


@dataclass(frozen=True, slots=True)
class ReplicaView:
    """A replica of the fleet, and what its node's last report said of it: whether it is there (`is_reported`), that its
    engine ended by itself (`ended`: why, in words), how many requests it has (`busy`; None: it did not say).

    answers: whether the engine was reached; asked only where the node is silent, None elsewhere
    is_asleep: its node said so, and its memory is free but for what stays
    """

    id: int
    pool: int
    generation: int
    node: int
    since: datetime
    gpus: tuple[int, ...] = ()
    phase: Phase = Phase.REQUESTED
    retires: bool = False
    is_reported: bool = False
    ended: str = ""
    busy: int | None = None
    answers: bool | None = None
    is_asleep: bool = False
    reason: str = ""  # of its state

    @property
    def is_leaving(self) -> bool:
        """Whether it takes no new requests and will be gone."""
        return self.phase in LEAVING

    @property
    def is_awake(self) -> bool:
        """Whether it counts as one of its pool's: neither leaving nor put to sleep."""
        return not self.is_leaving and self.phase != Phase.SLEEPING


def held_mb(replica: ReplicaView, configuration: Configuration) -> int:
    """What it holds of each of its GPUs. One that is woken counts whole from the moment in which that is decided."""
    rests = replica.is_asleep and replica.phase in (Phase.SLEEPING, Phase.STOPPING)
    return configuration.asleep_mb if rests else configuration.memory_mb


@dataclass(frozen=True, slots=True)
class SetbackView:
    """Failures in a row of a configuration on a node."""

    pool: int
    generation: int
    node: int
    failures: int
    last_at: datetime


@dataclass(frozen=True, slots=True)
class PoolView:
    """A managed pool: `wanted` replicas of `generation`, `minimum` at least where there is room. One that `wakes` may
    have none, and gets one when somebody asks.
    """

    id: int
    name: str
    generation: int
    configurations: Mapping[int, Configuration]
    wanted: int = 1
    minimum: int = 0
    sound_generation: int = 0
    wakes: bool = False

    @property
    def configuration(self) -> Configuration:
        """The one that its replicas are to have."""
        return self.configurations[self.generation]


@dataclass(frozen=True, slots=True)
class World:
    """Everything that a plan is made of."""

    now: datetime
    nodes: tuple[NodeView, ...] = ()
    pools: tuple[PoolView, ...] = ()
    replicas: tuple[ReplicaView, ...] = ()
    setbacks: tuple[SetbackView, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """Begin a replica of the pool there."""

    pool: int
    generation: int
    node: int
    gpus: tuple[int, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Drain:
    """Send it nothing new."""

    replica: int
    reason: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Take it out of its node's assignment; what it holds there is free once the node confirms."""

    replica: int
    reason: str


@dataclass(frozen=True, slots=True)
class Fail:
    """Stop it, and count a setback of its configuration on its node."""

    replica: int
    reason: str


@dataclass(frozen=True, slots=True)
class Forget:
    """Its engine is gone: so is the row."""

    replica: int


@dataclass(frozen=True, slots=True)
class Retire:
    """Replace it as soon as another one is ready, or (`retires` False) keep it after all."""

    replica: int
    reason: str
    retires: bool = True


@dataclass(frozen=True, slots=True)
class Sleep:
    """Let its engine sleep instead of ending it: it has nothing to answer any more."""

    replica: int
    reason: str


@dataclass(frozen=True, slots=True)
class Wake:
    """Wake its engine up: the memory that it needs is free."""

    replica: int
    reason: str


@dataclass(frozen=True, slots=True)
class Approve:
    """A replica of the pool's generation took requests: that is what it falls back to from now on."""

    pool: int
    generation: int


@dataclass(frozen=True, slots=True)
class RollBack:
    """Back to the generation that was sound."""

    pool: int
    generation: int
    reason: str


Action = Place | Drain | Stop | Fail | Forget | Retire | Sleep | Wake | Approve | RollBack


@dataclass(frozen=True, slots=True)
class Shortage:
    """Replicas of a pool that have no place now, and why, node by node."""

    pool: int
    missing: int
    why: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now, in this order, and what cannot be done."""

    actions: tuple[Action, ...] = ()
    shortages: tuple[Shortage, ...] = ()
