"""How long an answer is, and where it ends."""

import pytest

from gateway.simulated_engine import text
from gateway.simulated_engine.generation import Choice, Length, plan

PROSE = text.prose("en", 0)


def walk(choice: Choice, tokens: int = 1) -> list[tuple[int, int]]:
    """Every step of a choice."""
    steps = []
    while choice.made < choice.total:
        steps.append(choice.advance(tokens))
    return steps


def test_an_answer_within_its_limit_ends_with_a_token_of_its_own() -> None:
    choice = plan(PROSE, 0, Length(max_tokens=500, natural=40))
    assert (choice.finish, choice.total) == ("stop", choice.content + 1)
    assert PROSE.text(choice.content).endswith(".")


def test_a_limit_cuts_the_answer_to_just_that_many_tokens() -> None:
    choice = plan(PROSE, 0, Length(max_tokens=5, natural=40))
    assert (choice.finish, choice.total, choice.content) == ("length", 5, 5)


def test_an_answer_that_fills_its_limit_with_the_ending_token_has_stopped_by_itself() -> None:
    choice = plan(PROSE, 0, Length(max_tokens=10, natural=40, exactly=10))
    assert (choice.finish, choice.total, choice.content) == ("stop", 10, 9)


def test_reasoning_comes_first_and_counts_against_the_limit() -> None:
    assert plan(PROSE, 30, Length(max_tokens=20, natural=40)).thinking == 20
    choice = plan(PROSE, 3, Length(max_tokens=5, natural=40))
    assert (choice.thinking, choice.content, choice.total, choice.finish) == (3, 2, 5, "length")


def test_ignoring_the_end_fills_the_limit_and_a_minimum_is_kept() -> None:
    assert plan(PROSE, 0, Length(max_tokens=300, natural=40, ignore_eos=True)).total == 300
    assert plan(PROSE, 0, Length(max_tokens=300, natural=40, min_tokens=200)).total == 200


def test_a_finite_script_is_said_to_its_end() -> None:
    script = text.finite('{"a": 1}')
    choice = plan(script, 2, Length(max_tokens=300, natural=1))
    assert script.text(choice.content) == '{"a": 1}'
    assert choice.total == 2 + choice.content + 1


def test_a_stop_string_ends_the_answer_before_itself() -> None:
    choice = plan(PROSE, 0, Length(max_tokens=300, natural=200, stop=("belfry", "engine")))
    assert choice.script.text(choice.content) == "This is a simulated "
    assert (choice.finish, choice.stop_reason) == ("stop", "engine")


def test_a_stop_string_does_not_count_before_the_minimum() -> None:
    choice = plan(PROSE, 0, Length(max_tokens=300, natural=200, min_tokens=30, stop=("engine",)))
    assert choice.total > 30


@pytest.mark.parametrize("tokens", [1, 3, 100])
@pytest.mark.parametrize("thinking", [0, 4])
def test_steps_cover_every_token_once_and_never_mix_reasoning_with_content(tokens: int, thinking: int) -> None:
    choice = plan(PROSE, thinking, Length(max_tokens=12, natural=40, exactly=12))
    steps = walk(choice, tokens)
    assert [number for start, stop in steps for number in range(start, stop)] == list(range(12))
    assert not any(start < thinking < stop for start, stop in steps)
