"""Places are shared out among those who wait: nobody gets a second one while somebody waits for the first."""

from collections import Counter, defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.relay.fair_queue import FairQueue

FLOOD, QUIET, OTHER = 1, 2, 3


def served(queue: FairQueue[str], under_way: dict[int, int], places: int) -> list[str]:
    """Who gets the next places, none of which is given back."""
    told = []
    for _ in range(places):
        tenant, item = queue.first(under_way)
        queue.take(tenant, item)
        under_way[tenant] = under_way.get(tenant, 0) + 1
        told.append(item)
    return told


def filled(most: int = 100, **waiting: int) -> FairQueue[str]:
    queue = FairQueue[str](most)
    tenants = {"flood": FLOOD, "quiet": QUIET, "other": OTHER}
    for name, count in waiting.items():
        for number in range(count):
            assert queue.push(tenants[name], f"{name} {number}") is None
    return queue


def test_who_has_the_fewest_places_comes_next() -> None:
    queue = filled(flood=5, quiet=2, other=1)
    assert served(queue, {FLOOD: 8}, 4) == ["quiet 0", "other 0", "quiet 1", "flood 0"]


def test_equals_take_turns_and_a_tenants_own_requests_come_in_their_order() -> None:
    queue = filled(flood=3, quiet=3)
    assert served(queue, {}, 6) == ["flood 0", "quiet 0", "flood 1", "quiet 1", "flood 2", "quiet 2"]


def test_who_leaves_is_not_served() -> None:
    queue = filled(flood=2, quiet=1)
    queue.remove(FLOOD, "flood 0")
    queue.remove(QUIET, "quiet 0")
    queue.remove(QUIET, "quiet 0")
    assert (len(queue), served(queue, {}, 1), len(queue)) == (1, ["flood 1"], 0)


def test_a_full_queue_is_at_the_cost_of_the_one_who_filled_it() -> None:
    queue = filled(most=10, flood=10)
    assert queue.push(QUIET, "quiet 0") == "flood 9"
    assert queue.push(FLOOD, "flood 10") == "flood 10"
    assert (len(queue), served(queue, {FLOOD: 3}, 1)) == (10, ["quiet 0"])


@given(
    st.integers(1, 12),
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 9)), min_size=1, max_size=200),
)
@settings(max_examples=100, deadline=None)
def test_no_tenant_is_served_while_one_with_fewer_places_waits(places: int, asked: list[tuple[int, int]]) -> None:
    """Requests of any length, all there at the beginning, at so many places: a model of a saturated pool."""
    queue = FairQueue[int](1_000)
    lasts = {}
    waiting: Counter[int] = Counter()
    for number, (tenant, length) in enumerate(asked):
        queue.push(tenant, number)
        lasts[number] = length
        waiting[tenant] += 1
    under_way: Counter[int] = Counter()
    ends: dict[int, list[int]] = defaultdict(list)
    now = 0
    while queue:
        while queue and under_way.total() < places:
            tenant, number = queue.first(under_way)
            queue.take(tenant, number)
            assert under_way[tenant] <= min(under_way[each] for each, count in waiting.items() if count)
            waiting[tenant] -= 1
            under_way[tenant] += 1
            ends[now + lasts[number]].append(tenant)
        now += 1
        under_way.subtract(ends.pop(now, []))
    assert waiting.total() == 0


@given(st.integers(1, 20), st.lists(st.integers(0, 4), max_size=100))
def test_a_queue_is_never_longer_than_it_may_be(most: int, tenants: list[int]) -> None:
    queue = FairQueue[int](most)
    given_up = [queue.push(tenant, number) for number, tenant in enumerate(tenants)]
    assert len(queue) == min(most, len(tenants)) == len(tenants) - sum(each is not None for each in given_up)
