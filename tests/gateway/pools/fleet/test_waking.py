"""A pool that may have none gives its last replica up when nobody asks, and gets one again when gateways say so."""

import json
import uuid
from datetime import timedelta

import pytest
from django.db import connection

from billing.clock import database_now
from gateway.pools.fleet.managed_pools import Count, dry_run, scale_pool
from gateway.pools.fleet.overview import nodes_overview
from gateway.pools.fleet.reconciler import reconcile_fleet
from gateway.pools.fleet.world import ASLEEP_MB
from gateway.pools.fleet_tables import FleetEvent, GatewayDemand
from gateway.pools.models import Pool
from gateway.pools.serving import models_at_rest, served_models
from identity.errors import Invalid
from tests.gateway.pools.fleet.conftest import TestFleet
from tests.support.operators import RUNS

AUTOMATIC = Pool.Policy.AUTOMATIC
GATEWAY, ANOTHER = uuid.uuid4(), uuid.uuid4()


def sleeper(fleet: TestFleet, *, ready: int = 1, memory_mb: int = 80_000, may_sleep: bool = False) -> Pool:
    """An automatic pool that has none after a minute without a request; its engines take four at once."""
    pool = fleet.add_pool(ready, gpu_memory_mb=memory_mb, may_sleep=may_sleep)
    Pool.objects.filter(pk=pool.pk).update(requests_at_once=4)
    scale_pool(pool, Count(0, 4, ready, zero_after_s=60), policy=AUTOMATIC, by=RUNS)
    fleet.settle(pool, ready)
    return pool


def asleep(fleet: TestFleet, *, memory_mb: int = 80_000) -> Pool:
    """The same without a replica, as nobody asked."""
    pool = sleeper(fleet, memory_mb=memory_mb)
    forget(pool)
    for _ in range(6):
        fleet.step()
        fleet.let_pass(20)
    assert fleet.replicas(pool) == []
    return pool


def forget(pool: Pool) -> None:
    """As if nobody had asked for long."""
    long_ago = database_now() - timedelta(hours=1)
    Pool.objects.filter(pk=pool.pk).update(asked_at=long_ago)
    GatewayDemand.objects.filter(model=pool.model).delete()
    pool.loads.all().delete()


def tell(pool: Pool, waiting: int, *, gateway: uuid.UUID = GATEWAY, asked: bool = True) -> None:
    """As a gateway does."""
    told = json.dumps([{"model": pool.model_id, "waiting": waiting, "asked": asked}])
    with connection.cursor() as cursor:
        cursor.execute("select note_demand_v1(%s, %s::jsonb, true)", [gateway, told])


def wanted(pool: Pool) -> int:
    """Of the next step."""
    reconcile_fleet()
    pool.refresh_from_db()
    return pool.wanted


def is_stuck(pool: Pool) -> bool:
    return Pool.objects.get(pk=pool.pk).is_stuck


def test_nobody_asks_and_the_last_replica_goes_and_says_why(fleet: TestFleet) -> None:
    fleet.add_agent(80_000)
    pool = asleep(fleet)
    told = FleetEvent.objects.filter(pool=pool.name, kind="scaled").order_by("pk").last()
    assert told is not None
    assert told.reason == "Nobody has asked for it for long: it has none until somebody asks."
    assert pool.model_id in models_at_rest()
    assert pool.model_id in served_models([pool.model_id])  # for whoever asks


def test_who_waits_at_a_gateway_wakes_it_in_the_next_step(fleet: TestFleet) -> None:
    fleet.add_agent(80_000)
    pool = asleep(fleet)
    assert wanted(pool) == 0
    tell(pool, 1)
    assert wanted(pool) == 1
    fleet.settle(pool, 1)
    advice = dry_run(pool, by=RUNS)
    assert advice is not None
    assert advice.wish.replicas == 1


def test_it_stays_awake_while_somebody_asks_and_our_own_probe_is_nobody(fleet: TestFleet) -> None:
    agent = fleet.add_agent(80_000)
    pool = sleeper(fleet)
    [replica] = fleet.replicas(pool)
    agent.engines[replica.pk]["running"] = 1
    agent.report()
    tell(pool, 0)
    assert wanted(pool) == 1
    forget(pool)
    assert wanted(pool) == 0


def test_who_lets_it_go_to_none_asks_for_nothing_by_that(fleet: TestFleet) -> None:
    fleet.add_agent(80_000)
    pool = fleet.add_pool(0)
    Pool.objects.filter(pk=pool.pk).update(requests_at_once=4)
    scale_pool(pool, Count(0, 4, 0, zero_after_s=60), policy=AUTOMATIC, by=RUNS)
    assert wanted(pool) == 0
    assert not pool.loads.exclude(running=0, waiting=0).exists()


def test_lines_of_several_gateways_add_up_and_one_that_died_is_counted_no_more(fleet: TestFleet) -> None:
    fleet.add_agent(*[80_000] * 4)
    pool = asleep(fleet)
    tell(pool, 5)
    tell(pool, 5, gateway=ANOTHER)
    assert wanted(pool) == 4  # ten requests at four fifths of four places
    forget(pool)
    tell(pool, 5)
    tell(pool, 5, gateway=ANOTHER)
    GatewayDemand.objects.filter(incarnation=ANOTHER).update(at=database_now() - timedelta(seconds=20))
    assert wanted(pool) == 2


def test_a_line_before_full_engines_brings_more(fleet: TestFleet) -> None:
    fleet.add_agent(*[80_000] * 3)
    pool = fleet.add_pool(1, gpu_memory_mb=80_000)
    Pool.objects.filter(pk=pool.pk).update(requests_at_once=4)
    scale_pool(pool, Count(1, 3, 1), policy=AUTOMATIC, by=RUNS)
    fleet.settle(pool, 1)
    pool.loads.all().delete()
    tell(pool, 6)
    assert wanted(pool) == 2


def test_where_nothing_can_be_started_gateways_are_told_until_there_is_room(fleet: TestFleet) -> None:
    agent = fleet.add_agent(80_000)
    pool = asleep(fleet)
    other = fleet.add_pool(1, gpu_memory_mb=80_000)
    fleet.settle(other, 1)
    tell(pool, 1)
    assert wanted(pool) == 0
    assert is_stuck(pool)
    assert pool.model_id not in served_models([pool.model_id])
    scale_pool(other, Count(0, 1, 0), policy=Pool.Policy.MANUAL, by=RUNS)
    assert wanted(pool) == 1
    assert not is_stuck(pool)  # the other one is still leaving
    for _ in range(4):
        fleet.step()
        fleet.let_pass(20)
        agent.report()
    fleet.settle(pool, 1)


def test_one_that_is_asked_now_gets_the_gpu_of_one_that_is_not(fleet: TestFleet) -> None:
    fleet.add_agent(80_000)
    idle = sleeper(fleet)
    asked = fleet.add_pool(0, gpu_memory_mb=80_000)
    Pool.objects.filter(pk=asked.pk).update(requests_at_once=4)
    scale_pool(asked, Count(0, 4, 0, zero_after_s=60), policy=AUTOMATIC, by=RUNS)
    idle.loads.all().delete()
    tell(asked, 1)
    assert wanted(asked) == 1
    idle.refresh_from_db()
    assert (idle.wanted, asked.is_stuck) == (0, False)
    for _ in range(6):
        fleet.step()
        fleet.let_pass(20)
    assert [one.pool_id for one in fleet.replicas(asked, "ready")] == [asked.pk]
    tell(idle, 1)  # now both are asked, and who has it keeps it
    tell(asked, 0)
    assert wanted(idle) == 0
    assert idle.is_stuck


def test_a_configuration_that_failed_too_often_keeps_nobody_waiting(fleet: TestFleet) -> None:
    agent = fleet.add_agent(80_000)
    pool = asleep(fleet)
    place = {"generation": 1, "node": agent.node, "last_at": database_now(), "reason": "No memory."}
    pool.setbacks.create(failures=5, **place)
    tell(pool, 1)
    wanted(pool)
    assert pool.is_stuck
    pool.setbacks.update(failures=1)
    wanted(pool)
    assert not pool.is_stuck  # a pause of seconds is worth a wait


@pytest.mark.parametrize("count", [Count(1, 4, 1, zero_after_s=60), Count(0, 4, 1, zero_after_s=5)])
def test_a_time_that_makes_no_sense_is_refused(fleet: TestFleet, count: Count) -> None:
    pool = fleet.add_pool(1)
    with pytest.raises(Invalid):
        scale_pool(pool, count, policy=Pool.Policy.MANUAL, by=RUNS)


def test_where_it_may_its_last_replica_sleeps_and_the_same_one_wakes(fleet: TestFleet) -> None:
    agent = fleet.add_agent(80_000)
    pool = sleeper(fleet, memory_mb=70_000, may_sleep=True)
    [awake] = fleet.replicas(pool)
    assert agent.specs[0]["may_sleep"] is True
    forget(pool)
    for _ in range(4):
        fleet.step()
        fleet.let_pass(20)
    [asleep_now] = fleet.replicas(pool, "sleeping")
    assert asleep_now.pk == awake.pk
    assert (agent.specs[0]["sleeps"], agent.engines[awake.pk]["state"]) == (True, "asleep")
    assert pool.model_id in models_at_rest()
    [overview] = nodes_overview([agent.node])
    assert overview.gpus[0].free_mb == 80_000 - ASLEEP_MB
    tell(pool, 1)
    fleet.settle(pool, 1)
    [woken] = fleet.replicas(pool)
    assert (woken.pk, agent.specs[0]["sleeps"]) == (awake.pk, False)


def test_two_models_take_turns_on_one_gpu(fleet: TestFleet) -> None:
    fleet.add_agent(80_000)
    first = sleeper(fleet, memory_mb=70_000, may_sleep=True)
    forget(first)
    for _ in range(4):
        fleet.step()
        fleet.let_pass(20)
    second = sleeper(fleet, memory_mb=70_000, may_sleep=True)
    for asked, other in ((first, second), (second, first)):
        forget(other)
        tell(asked, 1)
        for _ in range(8):
            fleet.step()
            fleet.let_pass(10)
        assert [one.state for one in fleet.replicas(asked)] == ["ready"]
        assert [one.state for one in fleet.replicas(other)] == ["sleeping"]
        assert not is_stuck(asked)


def test_a_model_asleep_whose_memory_others_need_is_told_as_stuck(fleet: TestFleet) -> None:
    fleet.add_agent(80_000)
    pool = sleeper(fleet, memory_mb=70_000, may_sleep=True)
    forget(pool)
    for _ in range(4):
        fleet.step()
        fleet.let_pass(20)
    other = fleet.add_pool(1, gpu_memory_mb=70_000)
    fleet.settle(other, 1)
    tell(pool, 1)
    wanted(pool)
    assert is_stuck(pool)
    assert [one.state for one in fleet.replicas(pool)] == ["sleeping"]
