"""The reconciler and what it may lose: whatever dies, the fleet comes to what is wanted."""

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, connections, transaction

from billing.clock import database_now
from gateway.pools.fleet.assignments import signed_assignment
from gateway.pools.fleet.managed_pools import Count, configure_pool, scale_pool
from gateway.pools.fleet.nodes import remove_node, set_service
from gateway.pools.fleet.placement import Obstacle
from gateway.pools.fleet.previews import fit_of
from gateway.pools.fleet.reconciler import reconcile_fleet
from gateway.pools.fleet_tables import FleetEvent, Node, Setback
from gateway.pools.models import Pool, Replica
from gateway.pools.publishing import drain, eject, put_back, take_away
from gateway.pools.registry import key_of
from identity.errors import Conflict
from tests.gateway.pools.fleet.conftest import TestFleet
from tests.support.operators import RUNS

State = Replica.State


def test_what_is_wanted_is_placed_told_begun_and_ready(fleet: TestFleet) -> None:
    agents = [fleet.add_agent(80_000), fleet.add_agent(80_000)]
    pool = fleet.add_pool(2, arguments={"--max-model-len": "8192"})
    fleet.settle(pool, 2)
    replicas = fleet.replicas(pool)
    assert {replica.node for replica in replicas} == {agent.name for agent in agents}
    assert all(replica.url.startswith("http://127.0.0.1:2") for replica in replicas)
    [spec] = agents[0].specs
    mine = next(replica for replica in replicas if replica.pk == spec["id"])
    assert (spec["api_key"], spec["served_name"]) == (key_of(mine), pool.served_name)
    assert (spec["gpus"], spec["gpu_memory_share"]) == ([0], 0.125)
    assert spec["arguments"] == {"--max-model-len": "8192"}
    assert fleet.kinds(pool)[:3] == ["configured", "scaled", "placed"]


def test_fewer_replicas_end_what_they_answer_and_leave_events_alone_behind(fleet: TestFleet) -> None:
    agent = fleet.add_agent(80_000)
    pool = fleet.add_pool(2)
    fleet.settle(pool, 2)
    for told in agent.engines.values():
        told["running"] = 1
    scale_pool(pool, Count(0, 20, 1), policy=Pool.Policy.MANUAL, by=RUNS)
    fleet.step()
    [leaving] = fleet.replicas(pool, State.DRAINING)
    fleet.let_pass(60)
    fleet.step()
    assert len(fleet.replicas(pool, State.DRAINING)) == 1
    agent.engines[leaving.pk]["running"] = 0
    fleet.settle(pool, 1)
    events = FleetEvent.objects.filter(pool=pool.name, replica=leaving.name).order_by("pk")
    assert [event.to_state or event.kind for event in events][-3:] == ["draining", "stopping", "gone"]
    drained = events.get(to_state="stopping")
    assert drained.began_at is not None
    assert (drained.at - drained.began_at).total_seconds() >= 60


def test_another_configuration_replaces_one_replica_after_the_other(fleet: TestFleet) -> None:
    fleet.add_agent(80_000)
    pool = fleet.add_pool(2)
    fleet.settle(pool, 2)
    configure_pool(pool, fleet.wish(arguments={"--max-model-len": "4096"}), by=RUNS)
    for _ in range(40):
        fleet.step()
        assert len(fleet.replicas(pool, State.READY)) >= 2
        fleet.let_pass(15)
    assert [replica.generation for replica in fleet.replicas(pool)] == [2, 2]
    pool.refresh_from_db()
    assert (pool.generation, pool.sound_generation) == (2, 2)


def test_a_configuration_that_fails_is_taken_back(fleet: TestFleet) -> None:
    agent = fleet.add_agent(80_000)
    pool = fleet.add_pool(1)
    fleet.settle(pool, 1)
    configure_pool(pool, fleet.wish(arguments={"--max-num-seqs": 1}), by=RUNS)
    for _ in range(30):
        fleet.step()
        for replica in fleet.replicas(pool):
            if replica.generation == 2 and replica.pk in agent.engines:
                agent.crash(replica.pk, "It ran out of memory.")
        fleet.let_pass(30)
        agent.report()
        assert len(fleet.replicas(pool, State.READY)) == 1
    pool.refresh_from_db()
    assert pool.generation == 1
    failed = FleetEvent.objects.filter(pool=pool.name, kind="failed")
    assert {event.reason for event in failed} == {"It ran out of memory."}
    assert (failed.count(), fleet.kinds(pool).count("rolled_back")) == (3, 1)


def test_a_node_that_is_drained_can_be_taken_away(fleet: TestFleet) -> None:
    first, second = fleet.add_agent(80_000), fleet.add_agent(80_000)
    pool = fleet.add_pool(2)
    fleet.settle(pool, 2)
    with pytest.raises(Conflict):
        remove_node(first.node, by=RUNS)
    set_service(first.node, Node.Service.DRAINING, by=RUNS)
    for _ in range(30):
        fleet.step()
        fleet.let_pass(15)
    assert {replica.node for replica in fleet.replicas(pool)} == {second.name}
    remove_node(first.node, by=RUNS)
    fleet.agents.remove(first)
    fleet.settle(pool, 2)


def test_a_machine_that_is_gone_is_replaced_and_forgotten_by_hand(fleet: TestFleet) -> None:
    dead, alive = fleet.add_agent(80_000), fleet.add_agent(80_000)
    pool = fleet.add_pool(2)
    fleet.settle(pool, 2)
    fleet.agents.remove(dead)
    for _ in range(6):
        long_ago = database_now() - timedelta(seconds=130)
        Node.objects.filter(name=dead.name).update(reported_at=long_ago)
        fleet.step()
    assert [replica.node for replica in fleet.replicas(pool, State.READY)] == [alive.name] * 2
    assert [replica.node for replica in fleet.replicas(pool, State.STOPPING)] == [dead.name]
    remove_node(dead.node, by=RUNS)
    assert len(fleet.replicas(pool)) == 2


def test_an_operator_may_drain_a_replica_and_gets_another_one(fleet: TestFleet) -> None:
    fleet.add_agent(80_000)
    pool = fleet.add_pool(1)
    fleet.settle(pool, 1)
    [old] = fleet.replicas(pool)
    drain(old, by=RUNS)
    fleet.step()
    fleet.let_pass(15)
    fleet.settle(pool, 1)
    assert fleet.replicas(pool)[0].pk != old.pk


def test_what_is_only_starting_is_neither_drained_nor_put_back_and_nothing_is_taken_off_the_list(
    fleet: TestFleet,
) -> None:
    fleet.add_agent(80_000)
    pool = fleet.add_pool(1)
    reconcile_fleet()
    [replica] = fleet.replicas(pool)
    for act in (drain, eject, put_back, take_away):
        with pytest.raises(Conflict):
            act(replica, by=RUNS)


def test_a_pool_that_is_managed_no_longer_loses_its_replicas_alone(fleet: TestFleet) -> None:
    fleet.add_agent(80_000)
    pool = fleet.add_pool(1)
    fleet.settle(pool, 1)
    Replica.objects.create(pool=pool, name="static", url="http://static:1", state=State.READY)
    scale_pool(pool, Count(0, 0, 0), policy=Pool.Policy.UNMANAGED, by=RUNS)
    for _ in range(8):
        fleet.step()
        fleet.let_pass(15)
    assert [replica.name for replica in fleet.replicas(pool)] == ["static"]


def test_before_it_is_asked_for_one_sees_whether_it_fits(fleet: TestFleet) -> None:
    roomy, small = fleet.add_agent(80_000, 80_000), fleet.add_agent(20_000)
    fit = fit_of(fleet.wish(gpus=2, gpu_memory_mb=70_000))
    assert fit.nodes == (roomy.name,)
    assert fit.obstacles[small.name] == Obstacle.TOO_FEW_GPUS


def test_a_real_model_is_neither_previewed_nor_placed_on_a_simulated_node(fleet: TestFleet) -> None:
    made_up = fleet.add_agent(80_000, 80_000)
    made_up.is_simulated = True
    made_up.report()
    assert fit_of(fleet.wish()).obstacles[made_up.name] == Obstacle.SIMULATED
    assert fit_of(fleet.wish(engine="simulated")).nodes == (made_up.name,)
    real, simulated = fleet.add_pool(1), fleet.add_pool(1, engine="simulated")
    fleet.settle(simulated, 1)
    assert fleet.replicas(real) == []


def test_whatever_dies_at_any_moment_the_end_is_the_same(fleet: TestFleet) -> None:
    """Lost messages, a reconciler cut before its commit, agents that restart with and without their memory."""
    agents = [fleet.add_agent(80_000), fleet.add_agent(80_000), fleet.add_agent(80_000)]
    pool = fleet.add_pool(4)
    dice = random.Random(7)
    sent: list[tuple[int, str]] = []
    for turn in range(60):
        if turn == 30:
            configure_pool(pool, fleet.wish(arguments={"--max-model-len": "2048"}), by=RUNS)
        if dice.random() < 0.3:
            with transaction.atomic():  # the worker is killed before its commit
                reconcile_fleet()
                transaction.set_rollback(True)
        else:
            reconcile_fleet()
        for number, agent in enumerate(agents):
            text = signed_assignment(agent.node, database_now())
            sent.append((number, text))
            if dice.random() < 0.6:
                agent.hear(text)
            if dice.random() < 0.2:  # the broker delivers something of before once more
                old = dice.choice([message for of, message in sent if of == number])
                agent.hear(old)
            if dice.random() < 0.1:
                agent.restart(forgets=dice.random() < 0.5)
            agent.work()
            if dice.random() < 0.7:
                agent.report()
        fleet.probe()
        fleet.let_pass(10)
    for _ in range(60):
        fleet.step()
        fleet.let_pass(15)
    assert [(one.state, one.generation) for one in fleet.replicas(pool)] == [("ready", 2)] * 4
    running = {pk for agent in agents for pk in agent.engines}
    assert running == {replica.pk for replica in fleet.replicas(pool)}


def test_any_number_of_reconcilers_place_each_replica_once(fleet: TestFleet) -> None:
    fleet.add_agent(80_000)
    pool = fleet.add_pool(3)

    def reconcile(_: int) -> None:
        try:
            reconcile_fleet()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as copies:
        list(copies.map(reconcile, range(12)))
    assert len(fleet.replicas(pool)) == 3


def test_success_of_some_length_makes_up_for_failures(fleet: TestFleet) -> None:
    agent = fleet.add_agent(80_000)
    pool = fleet.add_pool(1)
    fleet.step()
    agent.crash(next(iter(agent.engines)))
    agent.report()
    fleet.step()
    assert Setback.objects.get(pool=pool).reason == "The GPU has not enough memory."
    fleet.let_pass(15)
    fleet.settle(pool, 1)
    assert Setback.objects.filter(pool=pool).exists()
    fleet.let_pass(601)
    agent.report()
    fleet.step()
    assert not Setback.objects.filter(pool=pool).exists()


def test_nobody_changes_an_event(fleet: TestFleet) -> None:
    fleet.add_agent()
    with pytest.raises(DatabaseError, match="permission denied"), connection.cursor() as cursor:
        cursor.execute("update pools_fleetevent set reason = 'it never was'")


def test_engines_that_ended_with_their_agent_are_begun_anew_without_a_setback(fleet: TestFleet) -> None:
    agent = fleet.add_agent(80_000)
    pool = fleet.add_pool(1)
    fleet.settle(pool, 1)
    [replica] = fleet.replicas(pool)
    agent.restart(forgets=True)
    agent.report()
    fleet.step()
    assert [one.state for one in fleet.replicas(pool)] == ["starting"]
    fleet.settle(pool, 1)
    [again] = fleet.replicas(pool)
    assert again.pk == replica.pk
    assert again.url != replica.url
    assert not Setback.objects.filter(pool=pool).exists()


def test_an_address_that_another_engine_had_before_is_taken_over(fleet: TestFleet) -> None:
    agent = fleet.add_agent(80_000)
    pool = fleet.add_pool(1)
    fleet.settle(pool, 1)
    [old] = fleet.replicas(pool)
    scale_pool(pool, Count(0, 20, 2), policy=Pool.Policy.MANUAL, by=RUNS)
    reconcile_fleet()
    agent.hear()
    new = next(one for one in fleet.replicas(pool) if one.pk != old.pk)
    del agent.engines[old.pk]
    agent.engines[new.pk] = {"id": new.pk, "state": "running", "url": old.url}
    agent.report()
    assert {one.pk: (one.state, one.url) for one in fleet.replicas(pool)} == {
        old.pk: ("starting", f"node://{agent.name}/{old.pk}"),
        new.pk: ("warming", old.url),
    }


def test_the_address_of_another_nodes_engine_is_not_taken_over(fleet: TestFleet) -> None:
    honest, other = fleet.add_agent(80_000), fleet.add_agent(80_000)
    pool = fleet.add_pool(2)
    fleet.settle(pool, 2)
    [theirs] = [one for one in fleet.replicas(pool) if one.node == honest.name]
    [own] = [one for one in fleet.replicas(pool) if one.node == other.name]
    other.engines[own.pk]["url"] = theirs.url
    other.report()
    assert {one.pk: one.url for one in fleet.replicas(pool)} == {theirs.pk: theirs.url, own.pk: own.url}


def test_a_node_that_knows_more_than_a_restored_database_is_told_what_it_is_to_run(fleet: TestFleet) -> None:
    agent = fleet.add_agent(80_000)
    pool = fleet.add_pool(1)
    fleet.settle(pool, 1)
    Node.objects.filter(name=agent.name).update(generation=agent.generation - 50)
    agent.report()
    reconcile_fleet()
    assert agent.node.generation > agent.generation
    agent.hear()
    agent.report()
    assert agent.node.acknowledged == agent.node.generation
