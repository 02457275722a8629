"""The last replica of a pool that wakes sleeps instead of ending, and gives its memory to whoever is awake."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.pools.fleet.planner import plan_fleet
from gateway.pools.fleet.world import (
    ASLEEP_MB,
    Configuration,
    Phase,
    Place,
    PoolView,
    ReplicaView,
    Shortage,
    Sleep,
    Stop,
    Wake,
)
from tests.gateway.pools.fleet.obedient_world import Fleet, node, pool, reconfigured

WHOLE = 80_000


def sleepy(number: int, wanted: int, memory_mb: int = 70_000) -> PoolView:
    """A pool that wakes when asked, whose replicas may sleep."""
    configuration = Configuration(1, memory_mb, may_sleep=True)
    return pool(number, wanted, configurations={1: configuration}, wakes=True)


def want(fleet: Fleet, number: int, wanted: int) -> None:
    [known] = [one for one in fleet.pools if one.id == number]
    fleet.change_pool(replace(known, wanted=wanted))


def asleep(*others: PoolView, memory_mb: int = 70_000) -> Fleet:
    """One GPU, on which the first pool's replica sleeps."""
    fleet = Fleet([node(1, WHOLE)], [sleepy(1, 1, memory_mb), *others])
    fleet.settle()
    want(fleet, 1, 0)
    fleet.settle()
    return fleet


def of(fleet: Fleet, number: int) -> list[ReplicaView]:
    return [one for one in fleet.replicas.values() if one.pool == number]


def test_it_drains_then_sleeps_then_wakes_as_the_same_replica() -> None:
    fleet = asleep()
    [replica] = of(fleet, 1)
    assert (replica.phase, replica.is_asleep) == (Phase.SLEEPING, True)
    want(fleet, 1, 1)
    assert fleet.tick().actions == (Wake(replica.id, "Somebody asks for it."),)
    fleet.settle()
    assert [(one.id, one.phase) for one in of(fleet, 1)] == [(replica.id, Phase.READY)]


def rested(node_memory_mb: int, *, weights_mb: int, on_disk: int = 0) -> list[Phase]:
    """Of two models that nobody asks for any more, on two GPUs of a machine with so much memory: what sleeps."""
    wanted = Configuration(1, 70_000, location="org/model", weights_mb=weights_mb, may_sleep=True)
    pools = [pool(number, 1, configurations={1: wanted}, wakes=True) for number in (1, 2)]
    machine = node(1, WHOLE, WHOLE, memory_mb=node_memory_mb, locations={"org/model": on_disk} if on_disk else {})
    fleet = Fleet([machine], pools)
    fleet.settle()
    for one in (1, 2):
        want(fleet, one, 0)
    fleet.settle()
    return [one.phase for one in fleet.replicas.values()]


def test_only_as_much_sleeps_as_the_machine_s_own_memory_takes() -> None:
    both, one = [Phase.SLEEPING, Phase.SLEEPING], [Phase.SLEEPING]
    assert rested(100_000, weights_mb=37_500) == both
    assert rested(100_000, weights_mb=37_501) == one
    assert rested(100_000, weights_mb=0, on_disk=37_500) == both  # as its node found them
    assert rested(100_000, weights_mb=0, on_disk=37_501) == one
    assert rested(100_000, weights_mb=0) == one  # nobody knows how large they are: as what they are on
    assert rested(0, weights_mb=37_501) == both  # the machine does not say what it has


def test_why_it_ends_instead_of_sleeping_is_said() -> None:
    wanted = Configuration(1, 70_000, location="org/model", may_sleep=True)
    fleet = Fleet([node(1, WHOLE, memory_mb=64_000)], [pool(1, 1, configurations={1: wanted}, wakes=True)])
    fleet.settle()
    want(fleet, 1, 0)
    stops = [one for _ in range(10) for one in fleet.tick().actions if isinstance(one, Stop)]
    assert [one.reason for one in stops] == [
        "It ends instead of sleeping: its machine's memory does not take its weights beside those of what sleeps there."
    ]


def test_two_models_take_turns_on_one_gpu_and_neither_is_begun_anew() -> None:
    fleet = asleep(sleepy(2, 0))
    want(fleet, 2, 1)
    fleet.settle()
    first, second = of(fleet, 1)[0].id, of(fleet, 2)[0].id
    for awake, rests in ((1, 2), (2, 1), (1, 2)):
        want(fleet, awake, 1)
        want(fleet, rests, 0)
        since = fleet.now
        while not fleet.ready(awake):
            assert not any(isinstance(one, Place) for one in fleet.tick().actions)
        assert fleet.now - since < timedelta(seconds=60)
    assert (of(fleet, 1)[0].id, of(fleet, 2)[0].id) == (first, second)


def test_what_sleeps_gives_way_to_what_would_fit_without_it() -> None:
    fleet = asleep(pool(2, 0, memory_mb=WHOLE))
    want(fleet, 2, 1)
    assert [type(action) for action in fleet.tick().actions] == [Stop]
    fleet.settle()
    assert (fleet.ready(2), of(fleet, 1)) == (1, [])


def test_what_sleeps_stays_where_its_end_would_make_no_room() -> None:
    fleet = asleep(pool(2, 0, memory_mb=WHOLE + 1))
    want(fleet, 2, 1)
    plan = fleet.tick()
    assert plan.actions == ()
    assert [type(one) for one in plan.shortages] == [Shortage]
    assert len(of(fleet, 1)) == 1


def test_it_is_not_woken_before_its_memory_is_free() -> None:
    fleet = asleep(pool(2, 0, memory_mb=WHOLE - ASLEEP_MB))
    want(fleet, 2, 1)
    fleet.settle()
    want(fleet, 1, 1)
    assert fleet.tick().actions == ()
    assert fleet.plan().shortages[0].pool == 1
    want(fleet, 2, 0)
    fleet.settle()
    assert fleet.ready(1) == 1


def test_one_that_does_not_fall_asleep_is_ended() -> None:
    fleet = Fleet([node(1, WHOLE)], [sleepy(1, 1)])
    fleet.settle()
    want(fleet, 1, 0)
    while not any(isinstance(action, Sleep) for action in fleet.tick().actions):
        pass
    [replica] = of(fleet, 1)
    later = fleet.now + timedelta(seconds=121)
    world = replace(fleet.world(), now=later, nodes=(replace(fleet.nodes[0], reported_at=later),))
    stubborn = replace(world, replicas=(replace(replica, is_asleep=False),))
    assert plan_fleet(stubborn).actions == (Stop(replica.id, "It did not fall asleep."),)


def test_another_configuration_or_a_drained_node_ends_its_sleep() -> None:
    fleet = asleep()
    fleet.change_pool(reconfigured(fleet.pools[0], Configuration(1, 60_000, may_sleep=True)))
    fleet.settle()
    assert of(fleet, 1) == []
    fleet = asleep()
    fleet.change_node(1, takes_new=False, is_drained=True)
    fleet.settle()
    assert of(fleet, 1) == []


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 2)), min_size=1, max_size=12), st.data())
def test_however_pools_take_turns_no_gpu_is_overfull_and_whoever_is_wanted_alone_is_served(
    turns: list[tuple[int, int]], data: st.DataObject
) -> None:
    sizes = [data.draw(st.sampled_from([20_000, 40_000, 70_000, WHOLE])) for _ in range(4)]
    fleet = Fleet([node(1, WHOLE, WHOLE)], [sleepy(number, 0, size) for number, size in enumerate(sizes, 1)])
    for number, wanted in turns:
        want(fleet, number, wanted)
        for _ in range(data.draw(st.integers(1, 15))):
            fleet.tick()  # which looks at each GPU
    for one in fleet.pools:
        want(fleet, one.id, 0)
    last = turns[-1][0]
    want(fleet, last, 1)
    fleet.settle()
    assert fleet.ready(last) == 1
