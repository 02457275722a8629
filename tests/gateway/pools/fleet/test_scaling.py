"""What a pool should have follows from its load: up at once, down slowly, to none only where allowed."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.pools.fleet.scaling import CALM_S, Load, Policy, Why, Wish, is_pressing, need, wish

FOUR_AT_ONCE = Policy(minimum=1, maximum=10, requests_at_once=4)
SLEEPER = Policy(minimum=0, maximum=10, requests_at_once=4, zero_after_s=900)
NOW = 100_000.0

loads = st.lists(
    st.builds(
        Load,
        at=st.floats(NOW - 2_000, NOW),
        ready=st.integers(0, 12),
        running=st.integers(0, 200),
        waiting=st.integers(0, 200),
        kv_cache_use=st.floats(0, 1),
        first_token_ms=st.none() | st.integers(1, 60_000),
    ),
    max_size=30,
).map(lambda found: sorted(found, key=lambda load: load.at))


def test_what_is_asked_for_now_is_wished_for_at_once() -> None:
    assert wish(FOUR_AT_ONCE, [Load(NOW, ready=1, running=4, waiting=12)], NOW) == Wish(5, Why.REQUESTS)


def test_what_was_needed_lately_is_given_up_only_after_a_while_and_says_until_when() -> None:
    burst, calm = Load(NOW - 300, ready=1, running=4, waiting=12), Load(NOW, ready=5, running=1, waiting=0)
    assert wish(FOUR_AT_ONCE, [burst, calm], NOW) == Wish(5, Why.LATELY, NOW - 300 + CALM_S)
    later = NOW - 300 + CALM_S
    assert wish(FOUR_AT_ONCE, [burst, calm, calm._replace(at=later)], later) == Wish(1, Why.REQUESTS)


def test_a_full_cache_asks_for_more_replicas_than_there_are() -> None:
    assert need(FOUR_AT_ONCE, Load(NOW, ready=3, running=3, waiting=0, kv_cache_use=0.97)) == (4, Why.CACHE)


def test_a_late_first_token_asks_for_one_more_where_replicas_are_at_work() -> None:
    policy = Policy(minimum=1, maximum=10, requests_at_once=4, first_token_ms=1_500)
    assert need(policy, Load(NOW, ready=2, running=6, waiting=0, first_token_ms=2_400)) == (3, Why.FIRST_TOKEN)


def test_a_late_first_token_of_an_idle_pool_asks_for_nothing_as_more_replicas_would_not_help() -> None:
    policy = Policy(minimum=1, maximum=10, requests_at_once=4, first_token_ms=1_500)
    assert need(policy, Load(NOW, ready=2, running=1, waiting=0, first_token_ms=2_400)) == (1, Why.REQUESTS)


IDLE = [Load(NOW - age, ready=1, running=0, waiting=0) for age in range(600, -1, -5)]


def test_a_pool_that_nobody_asked_for_so_long_goes_to_none() -> None:
    assert wish(SLEEPER, IDLE, NOW, asked_at=NOW - 900) == Wish(0, Why.IDLE)
    assert wish(SLEEPER, IDLE, NOW) == Wish(0, Why.IDLE)  # nobody ever did


def test_one_request_within_that_time_keeps_one() -> None:
    assert wish(SLEEPER, IDLE, NOW, asked_at=NOW - 700) == Wish(1, Why.ONE)


def test_a_pool_that_must_never_be_cold_keeps_one_however_long_nobody_asks() -> None:
    assert wish(FOUR_AT_ONCE, IDLE, NOW, asked_at=NOW - 10**6) == Wish(1, Why.ONE)


def test_a_time_shorter_than_the_need_of_lately_counts_all_the_same() -> None:
    hasty = Policy(minimum=0, maximum=10, requests_at_once=4, zero_after_s=60)
    asked = [Load(NOW - 100, ready=1, running=3, waiting=0), Load(NOW, ready=1, running=0, waiting=0)]
    assert wish(hasty, asked, NOW, asked_at=NOW - 100) == Wish(0, Why.IDLE)


def test_a_waiting_request_wakes_a_pool_at_once() -> None:
    waits = Load(NOW, ready=0, running=0, waiting=1)
    assert wish(SLEEPER, [*IDLE, waits], NOW, asked_at=NOW) == Wish(1, Why.REQUESTS)


def test_only_what_was_asked_just_now_presses() -> None:
    asked, now = Load(NOW - 30, ready=1, running=1, waiting=0), Load(NOW, ready=1, running=0, waiting=0)
    assert is_pressing(SLEEPER, [asked, now], NOW)
    assert not is_pressing(SLEEPER, [asked._replace(at=NOW - 90), now], NOW)


@given(loads)
def test_a_wish_is_never_outside_what_operators_allow(found: list[Load]) -> None:
    for policy in (FOUR_AT_ONCE, SLEEPER, Policy(minimum=2, maximum=3, requests_at_once=1, first_token_ms=1)):
        assert policy.minimum <= wish(policy, found, NOW).replicas <= policy.maximum


@given(loads, st.integers(1, 100))
def test_more_demand_never_asks_for_less(found: list[Load], more: int) -> None:
    grown = [load._replace(waiting=load.waiting + more) for load in found]
    assert wish(SLEEPER, grown, NOW).replicas >= wish(SLEEPER, found, NOW).replicas


@given(loads)
def test_a_wish_that_the_past_keeps_says_for_how_long(found: list[Load]) -> None:
    told = wish(FOUR_AT_ONCE, found, NOW)
    assert told.until is None or NOW < told.until <= NOW + CALM_S
