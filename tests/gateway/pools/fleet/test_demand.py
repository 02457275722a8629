"""Automatic pools get as many replicas as their demand asks for, and say why."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.pools.fleet.managed_pools import Count, dry_run, scale_pool
from gateway.pools.fleet.reconciler import reconcile_fleet
from gateway.pools.fleet_tables import FleetEvent, Node, PoolLoad
from gateway.pools.models import Pool
from identity.errors import Invalid
from tests.gateway.pools.fleet.conftest import TestFleet
from tests.gateway.pools.fleet.fake_agent import FakeAgent
from tests.support.operators import RUNS

AUTOMATIC = Pool.Policy.AUTOMATIC


def follow(fleet: TestFleet, *, most: int = 6, priority: int = 0) -> Pool:
    """An automatic pool that has one replica ready, whose engines take four requests at once."""
    pool = fleet.add_pool(1, gpu_memory_mb=40_000)
    Pool.objects.filter(pk=pool.pk).update(requests_at_once=4)
    scale_pool(pool, Count(1, most, 1, priority), policy=AUTOMATIC, by=RUNS)
    fleet.settle(pool, 1)
    return pool


def ask(fleet: TestFleet, pool: Pool, agent: FakeAgent, running: int) -> None:
    """So many requests run on the pool's first engine, and the reconciler has seen it."""
    first = fleet.replicas(pool)[0]
    agent.engines[first.pk]["running"] = running
    agent.report()
    pass_by(pool, 5)
    reconcile_fleet()


def pass_by(pool: Pool, seconds: float) -> None:
    """As if what was noted of the pool had been so long before."""
    for load in PoolLoad.objects.filter(pool=pool):
        PoolLoad.objects.filter(pk=load.pk).update(at=load.at - timedelta(seconds=seconds))


def test_demand_brings_replicas_at_once_and_says_so(fleet: TestFleet) -> None:
    agent = fleet.add_agent(80_000, 80_000)
    pool = follow(fleet)
    ask(fleet, pool, agent, running=12)
    pool.refresh_from_db()
    assert pool.wanted == 4
    told = FleetEvent.objects.filter(pool=pool.name, kind="scaled").order_by("pk").last()
    assert told is not None
    assert told.reason == "So many are needed for the requests under way."
    fleet.settle(pool, 4)


def test_they_go_once_nobody_has_needed_them_for_ten_minutes(fleet: TestFleet) -> None:
    agent = fleet.add_agent(80_000, 80_000)
    pool = follow(fleet)
    ask(fleet, pool, agent, running=12)
    fleet.settle(pool, 4)
    ask(fleet, pool, agent, running=0)
    pool.refresh_from_db()
    assert pool.wanted == 4
    advice = dry_run(pool, by=RUNS)
    assert advice is not None
    assert advice.reason == "So many were needed in the last ten minutes."
    assert advice.wish.until is not None
    pass_by(pool, 600)
    ask(fleet, pool, agent, running=0)
    pool.refresh_from_db()
    assert pool.wanted == 1


def test_a_pool_of_higher_priority_grows_at_the_cost_of_another(fleet: TestFleet) -> None:
    agent = fleet.add_agent(80_000)
    humble = follow(fleet)
    ask(fleet, humble, agent, running=6)
    fleet.settle(humble, 2)
    urgent = fleet.add_pool(1, gpu_memory_mb=40_000)
    Pool.objects.filter(pk=urgent.pk).update(requests_at_once=4)
    scale_pool(urgent, Count(1, 3, 1, priority=9), policy=AUTOMATIC, by=RUNS)
    ask(fleet, humble, agent, running=6)
    humble.refresh_from_db()
    assert humble.wanted == 1
    assert FleetEvent.objects.filter(pool=humble.name, reason="GPUs are short: 2 are needed.").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"service": Node.Service.CORDONED},
        {"service": Node.Service.DRAINING},
        {"reported_at": datetime(2026, 1, 1, tzinfo=UTC)},
        {"labels": {"fleet": "another"}},
    ],
)
def test_room_where_nothing_new_may_go_is_not_given_to_anybody(fleet: TestFleet, change: dict[str, Any]) -> None:
    agent = fleet.add_agent(80_000)
    humble = follow(fleet)
    ask(fleet, humble, agent, running=6)
    fleet.settle(humble, 2)
    urgent = fleet.add_pool(1, gpu_memory_mb=40_000)
    Pool.objects.filter(pk=urgent.pk).update(requests_at_once=4)
    scale_pool(urgent, Count(1, 3, 1, priority=9), policy=AUTOMATIC, by=RUNS)
    Node.objects.filter(name=fleet.add_agent(80_000, 80_000).name).update(**change)
    ask(fleet, humble, agent, running=6)
    humble.refresh_from_db()
    assert humble.wanted == 1


def test_a_dry_run_changes_nothing(fleet: TestFleet) -> None:
    agent = fleet.add_agent(80_000, 80_000)
    pool = follow(fleet)
    before = FleetEvent.objects.filter(pool=pool.name).count(), PoolLoad.objects.filter(pool=pool).count()
    agent.engines[fleet.replicas(pool)[0].pk]["running"] = 12
    agent.report()
    advice = dry_run(pool, by=RUNS)
    assert advice is not None
    assert (FleetEvent.objects.filter(pool=pool.name).count(), PoolLoad.objects.filter(pool=pool).count()) == before
    pool.refresh_from_db()
    assert pool.wanted == 1


def test_demand_cannot_be_followed_where_nobody_said_what_an_engine_takes_at_once(fleet: TestFleet) -> None:
    pool = fleet.add_pool(1)
    with pytest.raises(Invalid, match="how many requests"):
        scale_pool(pool, Count(1, 3, 1), policy=AUTOMATIC, by=RUNS)
