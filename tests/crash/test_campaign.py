"""The campaign itself is honest: some rounds on real processes, and a seed that means the same rounds again."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import psycopg
import pytest
from pytest_django import DjangoDbBlocker

from billing.pricing import Prices
from tests.crash.books import Books, wrong_sums
from tests.crash.campaign import Campaign, Result
from tests.crash.clients import CHAT, Saw
from tests.crash.journals import Attempt
from tests.crash.keeper import Keeper
from tests.crash.plan import COMMITS, Choice, Point, Victim, Way, combinations, rounds
from tests.crash.report import lines
from tests.crash.watch import Watch, unknown
from tests.crash.world import SILENT_S, World
from tests.support.ledger import PRICES

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


@dataclass(frozen=True)
class Held:
    """A campaign that is over, in a world that still stands."""

    world: World
    result: Result
    said: list[str]


@pytest.fixture(scope="module")
def held(django_db_blocker: DjangoDbBlocker) -> Iterator[Held]:
    """Three rounds."""
    said: list[str] = []
    with django_db_blocker.unblock(), World(has_pages=False) as world:
        yield Held(world, asyncio.run(Campaign(world, 1, said.append).run(seconds=5, plan=PLAN)), said)


@pytest.mark.slow
@pytest.mark.timeout(110)
def test_a_few_rounds_hit_their_points_and_find_nothing(held: Held) -> None:
    result, said = held.result, held.said
    assert result.violations == [], "\n".join(said)
    assert [outcome.choice for outcome in result.outcomes if outcome.struck_at] == PLAN, said
    assert result.watch is not None
    assert result.watch.sums.records["completed"] > 20
    assert [told.saw for told in result.long_streams] == [Saw.WHOLE]
    assert any("3 rounds" in line for line in lines(result))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "tamper"),
    [
        ("I3 conservation", "update billing_budget_period set spent_nano_eur = spent_nano_eur + 1"),
        ("I3 conservation", "update billing_budget_period set held_nano_eur = held_nano_eur + 1"),
        ("rollup", "update billing_usage_hour set requests = requests + 1"),
        ("rollup", "update billing_usage_hour set output_quantity = output_quantity - 1"),
        ("rollup", "update billing_usage_hour set cost_nano_eur = cost_nano_eur + 1"),
        ("rollup", "delete from billing_usage_hour"),
        ("rollup", "update billing_usage_day set requests = requests + 1"),
        ("rollup", "delete from billing_usage_day"),
        ("limit", "update billing_limit_window set used = used + 1"),
    ],
)
def test_a_sum_that_is_wrong_by_one_is_found(held: Held, rule: str, tamper: str) -> None:
    with psycopg.connect(held.world.owner_url) as connection:
        assert wrong_sums(connection) == []
        connection.execute(tamper)
        assert {violation.rule for violation in wrong_sums(connection)} == {rule}
        connection.rollback()


def a_watch() -> Watch:
    """One that follows nothing yet; what it reads is forged."""
    return Watch([], Keeper(Path()), Prices(1, PRICES), SILENT_S)


def test_a_fenced_gateway_that_writes_on_is_found() -> None:
    watch, now = a_watch(), time.time()
    watch.take(now - 9, 7, "began", "an incarnation", {})
    watch.take(now - 5, 8, "fenced", "an incarnation", {"at": now - 5})
    assert not watch.after_fence(now - 6, 7, "recorded", "a request")
    assert watch.after_fence(now - 4, 7, "recorded", "a request")
    assert not watch.after_fence(now - 4, 8, "recorded", "a request")
    assert watch.after_fence(now - 4, 7, "beat of the fenced", "an incarnation")


def test_a_gateway_that_is_fenced_though_nobody_struck_it_is_found() -> None:
    watch, now = a_watch(), time.time()
    watch.take(now - 9, 7, "began", "an incarnation", {})
    watch.take(now - 5, 8, "fenced", "an incarnation", {"at": now - 5})
    assert watch.after_fence(now - 5, 8, "fenced", "an incarnation")
    assert not watch.after_fence(now - 5, 7, "fenced", "an incarnation")  # it ended by itself
    watch.lost_at[7] = now - 8
    assert not watch.after_fence(now - 5, 8, "fenced", "an incarnation")


def test_a_hold_that_outlives_its_gateway_is_found() -> None:
    watch, now = a_watch(), time.time()
    watch.take(now - 60, 7, "began", "an incarnation", {})
    watch.held = {"a request": "an incarnation"}
    assert not watch.orphans()
    watch.take(now - 50, 8, "fenced", "an incarnation", {"at": now - 3 * SILENT_S + 1})
    assert not watch.orphans()
    watch.take(now - 50, 8, "fenced", "an incarnation", {"at": now - 50})
    assert [violation.rule for violation in watch.orphans()] == ["I2 orphan"]


def test_a_request_that_an_engine_names_and_the_ledger_does_not_is_found() -> None:
    attempt = Attempt("east", "a request", CHAT, True, 8, 1.0)
    assert unknown({"a request": [attempt]}, Books((), {}, frozenset()))
    assert not unknown({"a request": [attempt]}, Books((), {"a request": "an incarnation"}, frozenset()))
    assert not unknown({"a request": [attempt]}, Books((), {}, frozenset({"a request"})))
