"""Of several automatic pools of a model one wakes, and the rest as the demand grows."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from billing.clock import database_now
from gateway.pools.fleet.asking import Candidate, who_is_asked
from gateway.pools.fleet.managed_pools import Count, manage_pool, scale_pool
from gateway.pools.models import Pool
from tests.gateway.pools.fleet.conftest import TestFleet
from tests.gateway.pools.fleet.test_waking import AUTOMATIC, tell, wanted
from tests.support.operators import RUNS

A, B, C = (Candidate(pool, name, reach=2, places=4) for pool, name in ((1, "a"), (2, "b"), (3, "c")))


def test_one_request_is_for_one_pool_by_name_where_nothing_else_tells() -> None:
    assert who_is_asked([C, B, A], 1) == [1]


def test_priority_comes_before_what_can_start_at_once_and_that_before_the_name() -> None:
    assert who_is_asked([A, replace(B, priority=1)], 1) == [2]
    assert who_is_asked([replace(A, reach=0), B], 1) == [2]


def test_what_is_up_already_answers_before_anything_wakes() -> None:
    assert who_is_asked([replace(A, priority=9), replace(B, is_up=True)], 8) == [2]


def test_the_next_is_asked_for_what_the_ones_before_cannot_answer() -> None:
    assert who_is_asked([A, B, C], 8) == [1]
    assert who_is_asked([A, B, C], 9) == [1, 2]
    assert who_is_asked([A, B, C], 10**6) == [1, 2, 3]


def test_one_that_can_begin_nothing_keeps_nobody_else_asleep() -> None:
    assert who_is_asked([replace(A, reach=0, priority=5), B, C], 1) == [1, 2]


def test_where_none_has_room_the_first_that_is_not_stuck_is_asked() -> None:
    full = [replace(one, reach=0) for one in (A, B, C)]
    assert who_is_asked(full, 1) == [1]
    assert who_is_asked([replace(full[0], is_stuck=True), *full[1:]], 1) == [2]
    assert who_is_asked([replace(one, is_stuck=True) for one in full], 1) == [1, 2, 3]


@given(st.lists(st.builds(
    Candidate, pool=st.integers(1, 9), name=st.sampled_from("abc"), reach=st.integers(0, 3), places=st.just(3.2),
    priority=st.integers(-1, 1), is_up=st.booleans(), is_stuck=st.booleans(),
), min_size=1, max_size=6, unique_by=lambda one: one.pool), st.integers(0, 40))  # fmt: skip
def test_nobody_is_asked_in_vain_and_nothing_that_could_be_answered_is_left(ones: list[Candidate], demand: int) -> None:
    asked = who_is_asked(ones, demand)
    could, can = (
        sum(one.reach * 3.2 for one in ones if one.pool in which) for which in ({o.pool for o in ones}, asked)
    )
    assert asked
    assert can >= min(max(demand, 1), could) or not could
    last = next(one for one in ones if one.pool == asked[-1])
    assert can - last.reach * 3.2 < max(demand, 1)


def twins(fleet: TestFleet) -> tuple[Pool, Pool]:
    """Two pools of one model that have no replica and may have one of four places each, the first by name first."""
    wish = fleet.wish(gpu_memory_mb=80_000)
    one = fleet.add_pool(0, gpu_memory_mb=80_000)
    other = manage_pool(model=one.model, site="elsewhere", wish=wish, count=Count(0, 1, 0), by=RUNS)
    fleet.pools.append(other)
    Pool.objects.filter(pk__in=(one.pk, other.pk)).update(requests_at_once=4)
    for pool in (one, other):
        scale_pool(pool, Count(0, 1, 0, zero_after_s=60), policy=AUTOMATIC, by=RUNS)
    return one, other


def test_one_request_wakes_one_pool_and_more_than_it_can_answer_the_next(fleet: TestFleet) -> None:
    fleet.add_agent(80_000, 80_000)
    one, other = twins(fleet)
    tell(one, 1)
    assert (wanted(one), wanted(other)) == (1, 0)
    fleet.settle(one, 1)
    tell(one, 3)
    assert (wanted(one), wanted(other)) == (1, 0)
    tell(one, 9)
    assert (wanted(one), wanted(other)) == (1, 1)
    fleet.settle(other, 1)


def test_the_next_pool_wakes_where_the_first_finds_no_place(fleet: TestFleet) -> None:
    fleet.add_agent(80_000)
    one, other = twins(fleet)
    Pool.objects.filter(pk=other.pk).update(priority=5)
    other.configurations.update(gpu_memory_mb=90_000)
    tell(one, 1)
    assert (wanted(one), wanted(other)) == (1, 0)  # nothing of the other one's 90 GB fits
    fleet.settle(one, 1)


def test_a_pool_that_is_not_needed_beside_the_others_rests_again(fleet: TestFleet) -> None:
    fleet.add_agent(80_000, 80_000)
    one, other = twins(fleet)
    tell(one, 9)
    assert (wanted(one), wanted(other)) == (1, 1)
    tell(one, 1)
    other.refresh_from_db()
    asked_at = other.asked_at
    fleet.step()
    other.refresh_from_db()
    assert other.asked_at == asked_at
    assert asked_at is not None
    Pool.objects.filter(pk=other.pk).update(asked_at=database_now().replace(year=2020))
    other.loads.all().delete()
    assert (wanted(one), wanted(other)) == (1, 0)
