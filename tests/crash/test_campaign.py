"""The campaign itself is honest: some rounds on real processes, and a seed that means the same rounds again."""

import asyncio
from itertools import islice

import pytest
from pytest_django import DjangoDbBlocker

from tests.crash.campaign import Campaign
from tests.crash.clients import Saw
from tests.crash.plan import COMMITS, Choice, Point, Victim, Way, combinations, rounds
from tests.crash.report import lines
from tests.crash.world import World

PLAN = [
    Choice(1, Point.LAST_USAGE, Victim.GATEWAY, Way.KILL, 0.0, 0.0),
    Choice(2, Point.COMMIT_OF_CHARGE, Victim.NETWORK, Way.DROP, 0.0, 0.0),
    Choice(3, Point.FIRST_BYTE, Victim.POSTGRES, Way.KILL, 0.0, 0.0),
]


def test_a_seed_means_the_same_rounds() -> None:
    assert list(islice(rounds(7), 200)) == list(islice(rounds(7), 200))
    assert list(islice(rounds(7), 20)) != list(islice(rounds(8), 20))


def test_every_point_comes_as_often_as_any_other_and_everything_that_can_be_done_there_is_done() -> None:
    most = max(len(combinations(point)) for point in Point)
    found = list(islice(rounds(3), most * len(Point)))
    for point in Point:
        at_point = {(choice.victim, choice.way) for choice in found if choice.point is point}
        assert at_point == set(combinations(point))


def test_only_where_an_answer_is_under_way_can_the_network_lose_it() -> None:
    for point in Point:
        assert (Victim.NETWORK in {victim for victim, _ in combinations(point)}) == (point in COMMITS)


@pytest.mark.slow
@pytest.mark.timeout(110)
def test_a_few_rounds_hit_their_points_and_find_nothing(django_db_blocker: DjangoDbBlocker) -> None:
    said: list[str] = []
    with django_db_blocker.unblock(), World(has_pages=False) as world:
        result = asyncio.run(Campaign(world, 1, said.append).run(seconds=5, plan=PLAN))
    assert result.violations == [], "\n".join(said)
    assert [outcome.choice for outcome in result.outcomes if outcome.struck_at] == PLAN, said
    assert result.watch is not None
    assert result.watch.sums.records["completed"] > 20
    assert [told.saw for told in result.long_streams] == [Saw.WHOLE]
    assert any("3 rounds" in line for line in lines(result))
