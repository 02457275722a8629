"""The estimate of the database's clock is sound however slow the answer is."""

import time

import pytest

from gateway.relay.clock import DatabaseClock


@pytest.fixture
def clock() -> DatabaseClock:
    return DatabaseClock()


def test_before_the_first_answer_nothing_is_known_and_nothing_is_off(clock: DatabaseClock) -> None:
    assert clock.off_s == 0
    assert clock.now() == pytest.approx(time.time(), abs=1)


@pytest.mark.parametrize("ahead_s", [-3600, -2.5, 2.5, 3600])
def test_a_quick_answer_shows_the_difference(clock: DatabaseClock, ahead_s: float) -> None:
    clock.compare(time.time() + ahead_s, 0.002)
    assert clock.off_s == pytest.approx(abs(ahead_s), abs=0.1)
    assert clock.now() == pytest.approx(time.time() + ahead_s, abs=0.1)


@pytest.mark.parametrize("read_at", [0.0, 0.3, 1.0])
def test_a_slow_answer_is_no_difference(clock: DatabaseClock, read_at: float) -> None:
    """Clocks that agree, a round trip of ten seconds, the database's read at its begin, somewhere, at its end."""
    clock.compare(time.time() - 10 * (1 - read_at), 10)
    assert clock.off_s < 0.1


def test_a_slow_answer_does_not_spoil_what_a_quick_one_said(clock: DatabaseClock) -> None:
    clock.compare(time.time() + 0.5, 0.002)
    clock.compare(time.time() + 0.5 - 7.5, 8)
    assert clock.now() == pytest.approx(time.time() + 0.5, abs=0.1)


def test_a_clock_that_was_set_is_noticed_even_by_a_slow_answer_and_so_is_its_cure(clock: DatabaseClock) -> None:
    clock.compare(time.time(), 0.002)
    clock.compare(time.time() + 60, 8)
    assert clock.off_s > 50
    clock.compare(time.time(), 1)
    assert clock.off_s < 0.1
