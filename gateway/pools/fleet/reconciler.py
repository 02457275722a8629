"""Moves what runs towards what is wanted, a step at a time (`planner.py`). Any number of these may run, at any moment.

PostgreSQL is the only truth: a step is one transaction under an advisory lock, with its events. What nodes are to run
follows from the rows alone, so whoever comes next sends it (`assignments.py`), whatever was lost before.
"""

import secrets
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection, transaction

from billing.clock import database_now
from gateway.pools.fleet import events, reasons
from gateway.pools.fleet.assignments import renew_assignments
from gateway.pools.fleet.demand import follow_demand, note_stuck
from gateway.pools.fleet.planner import plan_fleet
from gateway.pools.fleet.reading import fleet_replicas, lock_fleet, read_rows, read_world
from gateway.pools.fleet.world import (
    LOST,
    Action,
    Approve,
    Drain,
    Fail,
    Forget,
    Place,
    Plan,
    Retire,
    RollBack,
    Sleep,
    Stop,
    Wake,
)
from gateway.pools.fleet_tables import Node, PoolConfiguration, Setback
from gateway.pools.models import Pool, Replica
from gateway.pools.probes import LOOKS_AT_ONCE, why_gone
from gateway.pools.registry import secret_context, set_state
from identity import audit, secret_box

ACTOR = audit.Actor.system("fleet")
_LOCK = 0x666C6565  # of PostgreSQL's advisory locks: one plan at a time
SETTLED = timedelta(minutes=10)  # after so long of taking requests, what failed there before counts no more
_STATES: Mapping[type[Action], Replica.State] = {
    Drain: Replica.State.DRAINING,
    Stop: Replica.State.STOPPING,
    Sleep: Replica.State.SLEEPING,
    Wake: Replica.State.STARTING,
}
FORGIVEN = timedelta(hours=2)  # nor does what was so long ago


def reconcile_fleet() -> Plan | None:
    """One step. None: another one is at it, or there is no fleet."""
    if not Node.objects.exists():
        return None
    answers = _answers_of_silent(database_now())
    with transaction.atomic():
        if not _is_ours():
            return None
        lock_fleet()
        now = database_now()
        _forgive(fleet_replicas(), now)
        rows = read_rows()
        world = read_world(rows, answers, now)
        if advice := follow_demand(rows.pools, rows.replicas, world):
            world = read_world(rows, answers, now)
        plan = plan_fleet(world)
        note_stuck(rows.pools, advice, world, plan)
        step = _Step(
            {one.pk: one for one in rows.pools},
            {one.pk: one for one in rows.nodes},
            {one.pk: one for one in rows.replicas},
            now,
        )
        for action in plan.actions:
            step.apply(action)
        renew_assignments(rows.nodes)
    return plan


def _is_ours() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("select pg_try_advisory_xact_lock(%s)", [_LOCK])
        return bool(cursor.fetchone()[0])


def _answers_of_silent(now: datetime) -> dict[int, bool]:
    """Of the replicas on nodes that have been silent for long, whether their engines can be reached."""
    silent = Replica.objects.filter(source=Replica.Source.FLEET, machine__reported_at__lt=now - LOST)
    urls = dict(silent.exclude(state=Replica.State.STOPPING).values_list("pk", "url"))
    with ThreadPoolExecutor(LOOKS_AT_ONCE) as lookers:
        faults = list(lookers.map(_is_gone, urls.values()))
    return {pk: not is_gone for pk, is_gone in zip(urls, faults, strict=True)}


def _is_gone(url: str) -> bool:
    return not url.startswith("http") or why_gone(url) is not None


def _forgive(replicas: list[Replica], now: datetime) -> None:
    Setback.objects.filter(last_at__lt=now - FORGIVEN).delete()
    for one in replicas:
        if one.state == Replica.State.READY and one.state_since and now - one.state_since >= SETTLED:
            place = {"pool": one.pool_id, "generation": one.generation, "node": one.machine_id}
            Setback.objects.filter(**place).delete()


@dataclass(slots=True)
class _Step:
    """The locked rows that a plan is about, by id."""

    pools: Mapping[int, Pool]
    nodes: Mapping[int, Node]
    replicas: Mapping[int, Replica]
    now: datetime

    def apply(self, action: Action) -> None:
        """Write one action and what there is to tell of it."""
        match action:
            case Place():
                self._place(action)
            case Drain(replica, reason) | Stop(replica, reason) | Sleep(replica, reason) | Wake(replica, reason):
                set_state(replica=self.replicas[replica], state=_STATES[type(action)], reason=reason, actor=ACTOR)
            case Fail(replica, reason):
                self._fail(self.replicas[replica], reason)
            case Forget(replica):
                gone = self.replicas[replica]
                events.note_replica(gone, "gone", reason=reasons.CONFIRMED)
                gone.delete()
            case Retire(replica, reason, retires):
                self._retire(self.replicas[replica], reason, retires=retires)
            case Approve(pool, generation):
                self._approve(self.pools[pool], generation)
            case RollBack(pool, generation, reason):
                self._roll_back(self.pools[pool], generation, reason)

    def _place(self, action: Place) -> None:
        pool, node = self.pools[action.pool], self.nodes[action.node]
        replica = Replica.objects.create(
            pool=pool,
            url=f"node://{node.name}/{secrets.token_hex(4)}",
            state=Replica.State.REQUESTED,
            state_reason=action.reason,
            state_since=self.now,
            source=Replica.Source.FLEET,
            is_simulated=self._is_simulated(action) or bool(node.observed.get("is_simulated")),
            node=node.name,
            machine=node,
            gpus=list(action.gpus),
            generation=action.generation,
        )
        replica.name = f"{node.name}/{replica.pk}"
        replica.sealed_api_key = secret_box.seal(secrets.token_hex(24).encode(), secret_context(replica))
        replica.save(update_fields=["name", "sealed_api_key"])
        events.note_replica(replica, "placed", reason=action.reason)

    def _is_simulated(self, action: Place) -> bool:
        configuration = PoolConfiguration.objects.get(pool=action.pool, generation=action.generation)
        return configuration.engine == PoolConfiguration.Engine.SIMULATED

    def _fail(self, replica: Replica, reason: str) -> None:
        place = {"pool_id": replica.pool_id, "generation": replica.generation, "node_id": replica.machine_id}
        known = Setback.objects.filter(**place).first() or Setback(**place, failures=0)
        known.failures += 1
        known.last_at, known.reason = self.now, reason[: events.REASON_LENGTH]
        known.save()
        events.note_replica(replica, "failed", reason=reason)
        set_state(replica=replica, state=Replica.State.STOPPING, reason=reason, actor=ACTOR)

    def _retire(self, replica: Replica, reason: str, *, retires: bool) -> None:
        replica.retires = retires
        replica.save(update_fields=["retires"])
        events.note_replica(replica, "moves" if retires else "stays", reason=reason)

    def _approve(self, pool: Pool, generation: int) -> None:
        pool.sound_generation = generation
        pool.save(update_fields=["sound_generation"])
        events.note_pool(pool, "configuration_sound")

    def _roll_back(self, pool: Pool, generation: int, reason: str) -> None:
        pool.generation = generation
        pool.save(update_fields=["generation"])
        events.note_pool(pool, "rolled_back", reason=reason)
