"""The planner: what is wanted comes to be, one step at a time, whatever was there before."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.pools.fleet.placement import Obstacle
from gateway.pools.fleet.planner import plan_fleet
from gateway.pools.fleet.world import (
    Configuration,
    Drain,
    Fail,
    Phase,
    Place,
    PoolView,
    ReplicaView,
    Retire,
    RollBack,
    Stop,
)
from tests.gateway.pools.fleet.obedient_world import START, Fleet, node, pool, reconfigured


def settled(*nodes: object, pools: list[PoolView], **other: object) -> Fleet:
    fleet = Fleet(list(nodes), pools, **other)  # type: ignore[arg-type]
    fleet.settle()
    fleet.least_ready.clear()
    return fleet


def test_what_is_wanted_is_spread_over_the_nodes() -> None:
    fleet = settled(node(1, 80, 80), node(2, 80, 80), node(3, 80, 80), pools=[pool(1, 6)])
    assert fleet.spread(1) == [2, 2, 2]


def test_a_replica_takes_the_gpus_on_which_the_least_is_left() -> None:
    fleet = settled(node(1, 80, 30), pools=[pool(1, 1, memory_mb=25)])
    assert [one.gpus for one in fleet.replicas.values()] == [(1,)]


def test_it_goes_where_its_weights_are_already() -> None:
    wanted = pool(1, 1, configurations={1: Configuration(1, 10, location="org/model")})
    fleet = settled(node(1, 80), node(2, 80, locations={"org/model": 1}), pools=[wanted])
    assert fleet.spread(1) == [0, 1]


def test_it_goes_only_where_the_labels_are() -> None:
    wanted = pool(1, 2, configurations={1: Configuration(1, 10, {"site": "paris"})})
    fleet = settled(node(1, 80), node(2, 80, labels={"site": "paris"}), pools=[wanted])
    assert fleet.spread(1) == [0, 2]


def test_simulated_nodes_serve_simulated_engines_only_and_others_none_of_them() -> None:
    real, simulated = pool(1, 2), pool(2, 2, configurations={1: Configuration(1, 10, is_simulated=True)})
    machines = (node(1, 10), node(2, 80, 80, is_simulated=True), node(3, 80, 80, is_simulated=True))
    fleet = Fleet(list(machines), [real, simulated])
    for _ in range(8):
        plan = fleet.tick()
    assert (fleet.spread(1), fleet.spread(2)) == ([1, 0, 0], [0, 1, 1])
    assert plan.shortages[0].why == {1: Obstacle.NO_ROOM, 2: Obstacle.SIMULATED, 3: Obstacle.SIMULATED}
    without = Fleet([node(1, 80)], [simulated])
    assert without.tick().shortages[0].why == {1: Obstacle.SIMULATED}


def test_what_has_no_room_is_told_with_the_reason_of_each_node() -> None:
    machines = (node(1, 80, takes_new=False), node(2, 20), node(3), node(4, 80, labels={"silent": "yes"}))
    fleet = Fleet([*machines, replace(node(5, 80, 80), reported_at=None)], [pool(1, 3, memory_mb=60)])
    for _ in range(8):
        plan = fleet.tick()
    assert plan.shortages[0].why == {
        1: Obstacle.CORDONED, 2: Obstacle.TOO_SMALL_GPUS, 3: Obstacle.TOO_FEW_GPUS, 4: Obstacle.SILENT,
        5: Obstacle.SILENT,
    }  # fmt: skip
    assert plan.shortages[0].missing == 2


def test_minimums_come_before_what_else_is_wanted() -> None:
    fleet = settled(node(1, 40), pools=[pool(1, 4, memory_mb=10), pool(2, 4, memory_mb=10, minimum=2)])
    assert fleet.ready(2) >= 2


def test_fewer_replicas_are_drained_and_never_cut() -> None:
    fleet = settled(node(1, 80), node(2, 80), pools=[pool(1, 4)])
    fleet.change_pool(replace(fleet.pools[0], wanted=2))
    plan = fleet.tick()
    assert [type(action) for action in plan.actions] == [Drain, Drain]
    fleet.settle()
    assert fleet.spread(1) == [1, 1]


def test_a_replica_that_answers_still_is_not_stopped_until_it_is_done_or_its_time_is_over() -> None:
    fleet = settled(node(1, 80), pools=[pool(1, 1)])
    [busy] = fleet.replicas
    fleet.change(busy, phase=Phase.DRAINING, since=fleet.now, busy=3, is_reported=True)
    world = replace(fleet.world(), pools=(replace(fleet.pools[0], wanted=0),))
    later = fleet.now + timedelta(minutes=9)
    machines = (replace(fleet.nodes[0], reported_at=later),)
    assert plan_fleet(replace(world, now=later, nodes=machines)).actions == ()
    much_later = fleet.now + timedelta(minutes=10)
    machines = (replace(fleet.nodes[0], reported_at=much_later),)
    assert isinstance(plan_fleet(replace(world, now=much_later, nodes=machines)).actions[0], Stop)


def test_another_configuration_comes_one_replica_at_a_time_and_never_with_fewer_ready() -> None:
    fleet = settled(node(1, 80), node(2, 80), pools=[pool(1, 3)])
    fleet.change_pool(reconfigured(fleet.pools[0], Configuration(1, 20)))
    most = 0
    for _ in range(200):
        fleet.tick()
        most = max(most, sum(not one.is_leaving for one in fleet.replicas.values()))
    assert {one.generation for one in fleet.replicas.values()} == {2}
    assert (fleet.least_ready[1], most, fleet.pools[0].sound_generation) == (3, 4, 2)


def test_where_there_is_no_room_beside_it_one_at_a_time_makes_room() -> None:
    fleet = settled(node(1, 30), pools=[pool(1, 3)])
    fleet.change_pool(reconfigured(fleet.pools[0], Configuration(1, 10, {})))
    fleet.settle()
    assert {one.generation for one in fleet.replicas.values()} == {2}
    assert fleet.least_ready[1] == 2


def test_a_configuration_that_fits_nowhere_takes_nothing_away() -> None:
    fleet = settled(node(1, 30), pools=[pool(1, 2)])
    fleet.change_pool(reconfigured(fleet.pools[0], Configuration(1, 200)))
    assert fleet.tick().actions == ()
    assert fleet.ready(1) == 2


def test_a_configuration_that_fails_gives_way_to_the_sound_one() -> None:
    fleet = settled(node(1, 80), node(2, 80), pools=[pool(1, 2)])
    fleet.fails = lambda replica: replica.generation == 2
    fleet.change_pool(reconfigured(fleet.pools[0], Configuration(1, 10)))
    told = [action for _ in range(200) for action in fleet.tick().actions if isinstance(action, RollBack)]
    assert [(one.pool, one.generation, one.reason) for one in told] == [
        (1, 1, "3 replicas of the new configuration failed.")
    ]
    assert (fleet.ready(1), fleet.least_ready[1]) == (2, 2)


def test_what_keeps_failing_is_tried_ever_more_rarely_and_then_left_alone() -> None:
    fleet = Fleet([node(1, 80)], [pool(1, 1)], fails=lambda _: True)
    tries = []
    for _ in range(700):  # some 58 minutes
        tries += [fleet.now for action in fleet.tick().actions if isinstance(action, Place)]
    pauses = [later - earlier for earlier, later in pairwise(tries)]
    assert len(tries) == 5
    assert pauses == sorted(pauses)
    assert fleet.plan().shortages[0].why == {1: Obstacle.QUARANTINED}


def test_a_node_on_which_it_fails_is_left_for_another() -> None:
    fleet = Fleet([node(1, 800), node(2, 80)], [pool(1, 1)], fails=lambda replica: replica.node == 1)
    fleet.settle()
    assert fleet.spread(1) == [0, 1]


def test_a_drained_node_is_empty_without_a_moment_of_fewer_replicas() -> None:
    fleet = settled(node(1, 80), node(2, 80), node(3, 80), pools=[pool(1, 3), pool(2, 2)])
    fleet.change_node(2, takes_new=False, is_drained=True)
    fleet.settle()
    assert all(one.node != 2 for one in fleet.replicas.values())
    assert (fleet.least_ready[1], fleet.least_ready[2]) == (3, 2)


def test_a_drained_node_is_empty_even_where_there_is_no_room_elsewhere() -> None:
    fleet = settled(node(1, 10), node(2, 10), pools=[pool(1, 2)])
    fleet.change_node(2, takes_new=False, is_drained=True)
    for _ in range(60):
        fleet.tick()
    assert fleet.spread(1) == [1, 0]


def test_a_cordoned_node_keeps_what_it_has_and_gets_nothing_new() -> None:
    fleet = settled(node(1, 80), node(2, 80), pools=[pool(1, 2)])
    fleet.change_node(2, takes_new=False)
    fleet.change_pool(replace(fleet.pools[0], wanted=4))
    fleet.settle()
    assert fleet.spread(1) == [3, 1]


def test_a_silent_node_changes_nothing_while_its_engines_answer() -> None:
    fleet = settled(node(1, 80), node(2, 80), pools=[pool(1, 2)])
    fleet.change_node(2, labels={"silent": "yes"})
    [there] = [one.id for one in fleet.replicas.values() if one.node == 2]
    fleet.change(there, answers=True)
    for _ in range(60):
        assert fleet.tick().actions == ()


def test_what_is_lost_with_its_node_runs_elsewhere_two_minutes_later() -> None:
    fleet = settled(node(1, 80), node(2, 80), pools=[pool(1, 2)])
    fleet.change_node(2, labels={"silent": "yes"})
    [lost] = [one.id for one in fleet.replicas.values() if one.node == 2]
    fleet.change(lost, answers=False)
    since = fleet.now
    while not fleet.tick().actions:
        pass
    assert timedelta(seconds=115) <= fleet.now - since <= timedelta(seconds=130)
    for _ in range(10):
        fleet.tick()
    assert (fleet.ready(1), fleet.replicas[lost].phase) == (2, Phase.STOPPING)
    fleet.change_node(2, labels={})
    fleet.settle()
    assert lost not in fleet.replicas
    assert fleet.ready(1) == 2


def test_an_engine_that_ended_by_itself_is_begun_anew_with_its_words_as_the_reason() -> None:
    fleet = settled(node(1, 80), pools=[pool(1, 1)])
    [dead] = fleet.replicas
    fleet.change(dead, ended="The GPU has not enough memory.")
    assert fleet.tick().actions[0] == Fail(dead, "The GPU has not enough memory.")
    fleet.settle()
    assert fleet.ready(1) == 1


def test_what_its_node_does_not_run_any_more_is_begun_anew() -> None:
    fleet = settled(node(1, 80), pools=[pool(1, 1)])
    [gone] = fleet.replicas
    world = fleet.world()
    unreported = replace(world, replicas=(replace(fleet.replicas[gone], is_reported=False),))
    assert plan_fleet(unreported).actions[0] == Fail(gone, "Its node does not run it any more.")
    unconfirmed = replace(unreported, nodes=(replace(fleet.nodes[0], has_assignment=False),))
    assert plan_fleet(unconfirmed).actions == ()


def test_an_ejected_replica_is_stopped_and_replaced() -> None:
    fleet = settled(node(1, 80), pools=[pool(1, 1)])
    [bad] = fleet.replicas
    fleet.change(bad, phase=Phase.EJECTED)
    plan = fleet.tick()
    assert [type(action) for action in plan.actions] == [Stop, Place]


def test_a_crowded_node_gives_one_away_once_another_one_has_room() -> None:
    fleet = settled(node(1, 80), pools=[pool(1, 2)])
    fleet.nodes.append(replace(node(2, 80), reported_at=fleet.now))
    fleet.settle()
    assert fleet.spread(1) == [1, 1]
    assert fleet.least_ready[1] == 2


def test_a_fleet_of_odd_numbers_is_not_moved_back_and_forth() -> None:
    fleet = settled(node(1, 80), node(2, 80), pools=[pool(1, 3)])
    moves = [action for _ in range(400) for action in fleet.tick().actions]
    assert moves == []


def test_a_move_that_lost_its_place_is_given_up() -> None:
    fleet = settled(node(1, 20), pools=[pool(1, 2)])
    some = next(iter(fleet.replicas))
    fleet.change(some, retires=True)
    assert fleet.tick().actions == (Retire(some, "There is no better place for it any more.", retires=False),)
    assert fleet.tick().actions == ()


memories = st.lists(st.sampled_from([24, 48, 80]), min_size=0, max_size=3)
phases = st.sampled_from(list(Phase))


@st.composite
def fleets(draw: st.DrawFn) -> Fleet:
    """Any fleet, in any state that its GPUs can hold."""
    nodes = [node(number, *draw(memories)) for number in range(1, draw(st.integers(1, 4)) + 1)]
    pools = []
    for number in range(1, draw(st.integers(1, 3)) + 1):
        configurations = {
            generation: Configuration(
                draw(st.integers(0, 2)), draw(st.sampled_from([10, 24, 40])), may_sleep=draw(st.booleans())
            )
            for generation in range(1, draw(st.integers(1, 2)) + 1)
        }
        wanted = draw(st.integers(0, 4))
        pools.append(
            PoolView(
                number,
                f"pool-{number}",
                generation=max(configurations),
                configurations=configurations,
                wanted=wanted,
                minimum=draw(st.integers(0, wanted)),
                sound_generation=draw(st.integers(0, max(configurations))),
                wakes=draw(st.booleans()),
            )
        )
    fleet = Fleet(nodes, pools)
    for number in range(1, draw(st.integers(0, 6)) + 1):
        held = draw(st.sampled_from(pools))
        generation = draw(st.sampled_from(sorted(held.configurations)))
        machine = draw(st.sampled_from(nodes))
        wants = held.configurations[generation].gpus
        if wants > len(machine.gpus):
            continue
        gpus = tuple(draw(st.permutations([gpu.index for gpu in machine.gpus]))[:wants])
        phase, retires = draw(phases), draw(st.booleans())
        fleet.replicas[number] = ReplicaView(
            number, held.id, generation, machine.id, START, gpus, phase, retires, is_reported=True,
            is_asleep=phase == Phase.SLEEPING and draw(st.booleans()),
        )  # fmt: skip
        try:
            fleet.check_memory()
        except AssertionError:
            del fleet.replicas[number]
    return fleet


@settings(max_examples=60)
@given(fleets())
def test_from_any_state_the_fleet_comes_to_what_is_wanted_and_rests(fleet: Fleet) -> None:
    plan = fleet.settle(ticks=1200)
    short = {one.pool: one.missing for one in plan.shortages}
    for one in fleet.pools:
        assert fleet.ready(one.id) == one.wanted - short.get(one.id, 0)
    assert fleet.plan().actions == ()


@settings(max_examples=40)
@given(fleets(), st.integers(1, 3), st.sampled_from([10, 24]))
def test_a_new_configuration_never_goes_below_the_minimum_where_one_more_fits(
    fleet: Fleet, wanted: int, memory_mb: int
) -> None:
    fleet.pools = [pool(1, wanted, minimum=wanted, memory_mb=10)]
    fleet.replicas.clear()
    fleet.nodes.append(replace(node(9, 80, 80), reported_at=fleet.now))
    fleet.settle()
    fleet.least_ready.clear()
    fleet.change_pool(reconfigured(fleet.pools[0], Configuration(1, memory_mb)))
    fleet.settle()
    assert fleet.least_ready[1] == wanted
    assert {one.generation for one in fleet.replicas.values()} == {2}


@settings(max_examples=40)
@given(fleets(), st.data())
def test_whatever_fails_no_gpu_is_ever_overfull_and_the_plan_repeats_itself(fleet: Fleet, data: st.DataObject) -> None:
    chance = data.draw(st.integers(2, 5))
    fleet.fails = lambda replica: replica.id % chance == 0
    for _ in range(120):
        assert fleet.plan() == fleet.plan()
        fleet.tick()
