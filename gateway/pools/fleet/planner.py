"""What is to be done so that what runs becomes what is wanted. Pure: the same world gives the same plan.

`plan_fleet` decides a step, not a way: applied and obeyed, the next plan goes on from what is then, and ends empty.
Nothing is remembered between two plans but what is in the world, so that any of them may be lost.

- Replicas that failed, were lost or have drained go first (`judging.py`).
- A configuration of which `ROLLED_BACK_AFTER` replicas failed and none ever took requests gives way to the sound one.
- Pools get their minimum first, then what they want; those with the largest replicas before.
- One replica of a pool at a time is replaced (another configuration, a node being drained, a better place): by one more
  where that fits, else by one less, and never by one less while one more could be tried.
- The last replica of a pool that nobody asks for sleeps instead of ending, where its configuration may and the
  machine's memory takes its weights beside those of what sleeps there already. It is woken
  before another one is begun, once the memory that it needs is free; what sleeps gives way to whatever is awake.
- Only a fleet at rest is rebalanced, and only from a node with at least two replicas more than where it goes.
"""

from collections import defaultdict
from dataclasses import replace
from datetime import timedelta

from gateway.pools.fleet import reasons
from gateway.pools.fleet.judging import verdict
from gateway.pools.fleet.placement import PASSING, Room
from gateway.pools.fleet.world import (
    SILENT,
    SLEEPERS_SHARE,
    Action,
    Approve,
    Configuration,
    Drain,
    Fail,
    Forget,
    NodeView,
    Phase,
    Place,
    Plan,
    PoolView,
    ReplicaView,
    Retire,
    RollBack,
    SetbackView,
    Shortage,
    Sleep,
    Stop,
    Wake,
    World,
    held_mb,
)

ROLLED_BACK_AFTER = 3
RESTS_FOR = timedelta(minutes=5)  # so long every replica has been ready before one is moved


def plan_fleet(world: World) -> Plan:
    """The next step, and what has no room."""
    return _Planning(world).plan()


class _Planning:
    """One plan in the making: what was decided so far changes the replicas that the rest is decided on."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._nodes = {node.id: node for node in world.nodes}
        self._pools = {pool.id: pool for pool in world.pools}
        self._replicas = {replica.id: replica for replica in world.replicas}
        self._setbacks = {(one.pool, one.generation, one.node): one for one in world.setbacks}
        self._actions: list[Action] = []
        self._shortages: list[Shortage] = []
        self._placed: dict[int, int] = defaultdict(int)

    def plan(self) -> Plan:
        """All of it, in the order in which it is decided."""
        for replica in self._world.replicas:
            found = verdict(replica, self._nodes[replica.node], self._configuration_of(replica), self._world.now)
            if found is not None:
                self._decide(self._kept_asleep(replica, found))
        for pool in self._world.pools:
            self._settle_generation(pool)
        for pool in self._pools.values():
            self._end_sleep(pool)
        replicas, setbacks = tuple(self._replicas.values()), tuple(self._setbacks.values())
        self._room = Room(replace(self._world, replicas=replicas, setbacks=setbacks), self._memory_of)
        by_size = sorted(self._pools.values(), key=lambda pool: (-_size(pool), pool.id))
        for pool in by_size:
            self._fill(pool, min(pool.minimum, pool.wanted))
        for pool in by_size:
            self._fill(pool, pool.wanted)
            self._tell_shortage(pool)
        for pool in by_size:
            self._take_excess(pool)
            self._replace_one(pool)
        if not self._actions and not self._shortages:
            self._rebalance()
        return Plan(tuple(self._actions), tuple(self._shortages))

    def _decide(self, action: Action) -> None:
        self._actions.append(action)
        match action:
            case Forget(replica):
                del self._replicas[replica]
            case Stop(replica, _):
                self._replicas[replica] = replace(self._replicas[replica], phase=Phase.STOPPING)
            case Fail(replica, _):
                self._note_setback(self._replicas[replica])
                self._replicas[replica] = replace(self._replicas[replica], phase=Phase.STOPPING)
            case Drain(replica, _):
                self._replicas[replica] = replace(self._replicas[replica], phase=Phase.DRAINING)
            case Sleep(replica, _):
                self._replicas[replica] = replace(self._replicas[replica], phase=Phase.SLEEPING, is_asleep=False)
            case Wake(replica, _):
                self._replicas[replica] = replace(self._replicas[replica], phase=Phase.STARTING, is_asleep=False)
            case Place(pool):
                self._placed[pool] += 1
            case RollBack(pool, generation, _):
                self._pools[pool] = replace(self._pools[pool], generation=generation)
            case _:
                pass

    def _note_setback(self, failed: ReplicaView) -> None:
        place = (failed.pool, failed.generation, failed.node)
        before = self._setbacks[place].failures if place in self._setbacks else 0
        self._setbacks[place] = SetbackView(*place, before + 1, self._world.now)

    def _settle_generation(self, pool: PoolView) -> None:
        if pool.generation == pool.sound_generation:
            return
        serving = {one.generation for one in self._of(pool) if one.phase == Phase.READY}
        if pool.generation in serving or (serving and not pool.sound_generation):
            sound = pool.generation if pool.generation in serving else max(serving)
            self._decide(Approve(pool.id, sound))
            return
        place = (pool.id, pool.generation)
        failures = sum(one.failures for key, one in self._setbacks.items() if key[:2] == place)
        if pool.sound_generation and failures >= ROLLED_BACK_AFTER:
            reason = reasons.ROLLED_BACK % {"failures": failures}
            self._decide(RollBack(pool.id, pool.sound_generation, reason))

    def _kept_asleep(self, replica: ReplicaView, found: Action) -> Action:
        """Sleep instead of the end of a replica that has drained, where it is the last one of a pool that wakes."""
        pool, node = self._pools[replica.pool], self._nodes[replica.node]
        is_last = pool.wanted == 0 and not self._asleep(pool) and _keeps(pool, replica.generation)
        if found != Stop(replica.id, reasons.DRAINED) or not is_last or node.is_drained:
            return found
        if not self._has_memory_for(replica, node):
            return Stop(replica.id, reasons.TOO_LARGE_ASLEEP)
        return Sleep(replica.id, reasons.KEPT_ASLEEP)

    def _has_memory_for(self, replica: ReplicaView, node: NodeView) -> bool:
        """Whether the machine's own memory takes its weights beside those of what sleeps there."""
        asleep = [one for one in self._replicas.values() if one.node == node.id and one.phase == Phase.SLEEPING]
        taken = sum(self._configuration_of(one).sleeper_mb(node) for one in (*asleep, replica))
        return not node.memory_mb or taken <= SLEEPERS_SHARE * node.memory_mb

    def _end_sleep(self, pool: PoolView) -> None:
        for replica in self._asleep(pool):
            if self._nodes[replica.node].is_drained or not _keeps(pool, replica.generation):
                self._decide(Stop(replica.id, reasons.NOT_NEEDED_ASLEEP))

    def _fill(self, pool: PoolView, wanted: int) -> None:
        if not all(one.is_asleep for one in self._asleep(pool)):
            return  # it falls asleep, and can be woken then
        while self._count(pool) < wanted:
            if not self._wake(pool) and not self._place(pool, reasons.WANTED):
                self._evict(pool)
                return

    def _wake(self, pool: PoolView) -> bool:
        more = pool.configuration.memory_mb - pool.configuration.asleep_mb
        for replica in self._asleep(pool):
            node = self._nodes[replica.node]
            is_open = node.takes_new and not node.is_silent_for(SILENT, self._world.now)
            if is_open and self._room.wake(replica, more):
                self._decide(Wake(replica.id, reasons.WOKEN))
                return True
        return False

    def _evict(self, pool: PoolView) -> None:
        """End what sleeps of other pools on a node, as far as that makes room there for one more of this pool. What is
        about to be free anyway is waited for.
        """
        for node in self._world.nodes:
            here = [one for one in self._replicas.values() if one.node == node.id]
            asleep = [one for one in here if one.phase == Phase.SLEEPING and one.pool != pool.id]
            if any(one.is_leaving for one in here) or not all(one.is_asleep for one in asleep):
                continue
            asleep.sort(key=lambda one: one.since)
            for number, one in enumerate(asleep, 1):
                self._room.give_back(one, self._memory_of(one))
                if self._would_fit(pool, node.id):
                    for victim in asleep[:number]:
                        self._room.give_back(victim, -self._memory_of(victim))  # it holds that until it is gone
                        self._decide(Stop(victim.id, reasons.GIVES_WAY))
                    return
            for one in asleep:
                self._room.give_back(one, -self._memory_of(one))

    def _would_fit(self, pool: PoolView, node: int) -> bool:
        configuration = pool.configuration
        more = configuration.memory_mb - configuration.asleep_mb
        own = [one for one in self._asleep(pool) if one.node == node]
        if any(self._room.is_free(one, more) for one in own):
            return True
        return node not in self._room.obstacles(pool.id, pool.generation, configuration)

    def _place(self, pool: PoolView, reason: str) -> bool:
        found = self._room.place(pool.id, pool.generation, pool.configuration)
        if found is None:
            return False
        self._decide(Place(pool.id, pool.generation, *found, reason))
        return True

    def _tell_shortage(self, pool: PoolView) -> None:
        missing = pool.wanted - self._count(pool)
        if missing > 0:
            why = self._room.obstacles(pool.id, pool.generation, pool.configuration)
            self._shortages.append(Shortage(pool.id, missing, dict(why)))

    def _take_excess(self, pool: PoolView) -> None:
        """Those that serve nobody first; one that is ready only as long as enough are ready without it."""
        for replica in self._of(pool):
            if self._is_outdated(pool, replica) and replica.phase != Phase.READY:
                self._decide(Stop(replica.id, self._why_outdated(pool, replica)))
        idle = [one for one in self._of(pool) if one.phase != Phase.READY]
        if not any(self._is_outdated(pool, one) for one in self._of(pool)):
            for replica in sorted(idle, key=lambda one: -one.id)[: max(0, self._count(pool) - pool.wanted)]:
                self._decide(Stop(replica.id, reasons.TOO_MANY))
        while self._count(pool) > pool.wanted:
            ready = [one for one in self._of(pool) if one.phase == Phase.READY]
            if len(ready) <= pool.wanted:
                return
            victim = min(ready, key=lambda one: self._leaves_first(pool, one))
            is_outdated = self._is_outdated(pool, victim)
            self._decide(Drain(victim.id, reasons.REPLACED if is_outdated else reasons.TOO_MANY))

    def _replace_one(self, pool: PoolView) -> None:
        old = [one for one in self._of(pool) if self._is_outdated(pool, one)]
        under_way = any(one.is_leaving for one in self._replicas.values() if one.pool == pool.id)
        is_rising = any(one.phase != Phase.READY for one in self._of(pool)) or self._placed[pool.id]
        if not old or under_way or is_rising:
            return
        if self._count(pool) <= pool.wanted and self._place(pool, reasons.SURGE):
            return
        obstacles = self._room.obstacles(pool.id, pool.generation, pool.configuration)
        if PASSING.isdisjoint(obstacles.values()):
            self._make_room(pool, old)

    def _make_room(self, pool: PoolView, old: list[ReplicaView]) -> None:
        for replica in old:
            if self._nodes[replica.node].is_drained:
                self._decide(Drain(replica.id, reasons.NO_ROOM_ELSEWHERE))
                return
            if replica.generation == pool.generation:
                self._decide(Retire(replica.id, reasons.NOT_CROWDED, retires=False))
                return
            memory_mb = self._memory_of(replica)
            if self._room.would_fit_without(replica, memory_mb, pool.generation, pool.configuration):
                self._decide(Drain(replica.id, reasons.GIVES_ROOM))
                return

    def _rebalance(self) -> None:
        now, replicas = self._world.now, [one for one in self._replicas.values() if one.phase != Phase.SLEEPING]
        if self._setbacks or any(one.phase != Phase.READY or now - one.since < RESTS_FOR for one in replicas):
            return
        for pool in self._pools.values():
            counts = self._room.counts(pool.id)
            closed = self._room.obstacles(pool.id, pool.generation, pool.configuration)
            free_counts = [counts[node.id] for node in self._world.nodes if node.id not in closed]
            fullest = max(self._of(pool), key=lambda one: (counts[one.node], one.id), default=None)
            if fullest is not None and free_counts and counts[fullest.node] - min(free_counts) >= 2:
                self._decide(Retire(fullest.id, reasons.CROWDED))
                return

    def _of(self, pool: PoolView) -> list[ReplicaView]:
        """The pool's replicas that neither leave nor sleep, in the order in which they came."""
        found = (one for one in self._replicas.values() if one.pool == pool.id and one.is_awake)
        return sorted(found, key=lambda one: one.id)

    def _asleep(self, pool: PoolView) -> list[ReplicaView]:
        return [one for one in self._replicas.values() if one.pool == pool.id and one.phase == Phase.SLEEPING]

    def _count(self, pool: PoolView) -> int:
        return len(self._of(pool)) + self._placed[pool.id]

    def _is_outdated(self, pool: PoolView, replica: ReplicaView) -> bool:
        return replica.generation != pool.generation or replica.retires or self._nodes[replica.node].is_drained

    def _why_outdated(self, pool: PoolView, replica: ReplicaView) -> str:
        if self._nodes[replica.node].is_drained:
            return reasons.NODE_DRAINED
        return reasons.OUTDATED if replica.generation != pool.generation else reasons.CROWDED

    def _leaves_first(self, pool: PoolView, replica: ReplicaView) -> tuple[bool, int, int]:
        """What is to go anyway, then one of the node with the most replicas of the pool, the youngest there."""
        crowd = sum(one.node == replica.node for one in self._of(pool))
        return not self._is_outdated(pool, replica), -crowd, -replica.id

    def _configuration_of(self, replica: ReplicaView) -> Configuration:
        return self._pools[replica.pool].configurations[replica.generation]

    def _memory_of(self, replica: ReplicaView) -> int:
        return held_mb(replica, self._configuration_of(replica))


def _keeps(pool: PoolView, generation: int) -> bool:
    """Whether a replica of that generation is worth keeping asleep."""
    return pool.wakes and generation == pool.generation and pool.configuration.may_sleep


def _size(pool: PoolView) -> int:
    return pool.configuration.gpus * pool.configuration.memory_mb
