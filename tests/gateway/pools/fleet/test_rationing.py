"""Who gets GPUs where they do not suffice for everybody."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.pools.fleet.rationing import Claim, Size, grants

WHOLE = Size(gpus=1, memory_mb=80)

claims = st.lists(
    st.builds(
        Claim,
        pool=st.sampled_from("abcdefgh"),
        size=st.builds(Size, gpus=st.integers(0, 4), memory_mb=st.sampled_from([20, 40, 80])),
        minimum=st.integers(0, 3),
        wanted=st.integers(0, 6),
        priority=st.integers(0, 2),
        is_pressing=st.booleans(),
        holds=st.integers(0, 3),
    ),
    unique_by=lambda claim: claim.pool,
)
nodes = st.lists(st.lists(st.just(80), max_size=4), max_size=4)


def test_everybody_gets_what_it_wants_where_there_is_room() -> None:
    assert grants([Claim("a", WHOLE, 1, 2), Claim("b", WHOLE, 0, 1)], [[80, 80], [80]]) == {"a": 2, "b": 1}


def test_minimums_come_before_wishes_of_a_higher_priority() -> None:
    urgent, humble = Claim("urgent", WHOLE, 1, 5, priority=2), Claim("humble", WHOLE, 1, 1)
    assert grants([urgent, humble], [[80, 80, 80]]) == {"urgent": 2, "humble": 1}


def test_wishes_of_a_higher_priority_come_before_others() -> None:
    assert grants([Claim("a", WHOLE, 0, 3, priority=0), Claim("b", WHOLE, 0, 2, priority=1)], [[80, 80, 80]]) == {
        "a": 1,
        "b": 2,
    }


def test_one_that_is_asked_now_comes_before_what_others_only_keep() -> None:
    kept, asked = Claim("a", WHOLE, 0, 2, priority=2), Claim("b", WHOLE, 0, 2, is_pressing=True)
    assert grants([kept, asked], [[80, 80]]) == {"a": 1, "b": 1}


def test_among_equals_who_has_it_keeps_it() -> None:
    assert grants([Claim("a", WHOLE, 0, 1), Claim("b", WHOLE, 0, 1, holds=1)], [[80]]) == {"a": 0, "b": 1}


def test_equals_share() -> None:
    assert grants([Claim("a", WHOLE, 0, 4), Claim("b", WHOLE, 0, 4)], [[80, 80], [80, 80]]) == {"a": 2, "b": 2}


def test_small_replicas_share_a_gpu_so_that_a_large_one_finds_whole_ones() -> None:
    small, large = Claim("small", Size(1, 40), 0, 2), Claim("large", Size(2, 80), 0, 1)
    assert grants([small, large], [[80, 80, 80]]) == {"small": 2, "large": 1}


def test_a_replica_never_spans_nodes() -> None:
    assert grants([Claim("a", Size(2, 80), 1, 1)], [[80], [80]]) == {"a": 0}


def test_room_on_a_node_without_its_labels_is_none() -> None:
    here = frozenset({0})
    claims = [Claim("a", WHOLE, 0, 2, nodes=here), Claim("b", WHOLE, 0, 1, priority=1, nodes=here)]
    assert grants(claims, [[80, 80], [80, 80]]) == {"a": 1, "b": 1}


@given(claims, nodes)
def test_nobody_gets_more_than_it_wants_nor_more_memory_than_there_is(
    found: list[Claim], room: list[list[int]]
) -> None:
    given_to = grants(found, room)
    assert all(0 <= given_to[claim.pool] <= claim.wanted for claim in found)
    used = sum(given_to[claim.pool] * claim.size.gpus * claim.size.memory_mb for claim in found)
    assert used <= sum(map(sum, room))


@given(claims, nodes)
def test_the_order_of_the_claims_changes_nothing(found: list[Claim], room: list[list[int]]) -> None:
    assert grants(found, room) == grants(found[::-1], room)
