"""I2: what an engine reports is read tolerantly, believed only where it is sane, and summed as vLLM means it."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.pricing import Quantities
from gateway.relay.usage import MAX_TOKENS, Usage, UsageTally, read_usage

counts = st.integers(min_value=0, max_value=MAX_TOKENS)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
USAGE_NAMES = ("prompt_tokens", "completion_tokens", "total_tokens", "reasoning_tokens")
PARTS = {"prompt_tokens_details": "cached_tokens", "completion_tokens_details": "reasoning_tokens"}


@st.composite
def sane_usages(draw: st.DrawFn) -> Usage:
    prompt, completion = draw(counts), draw(counts)
    return Usage(prompt, draw(st.integers(0, prompt)), completion, draw(st.integers(0, completion)))


@st.composite
def odd_usages(draw: st.DrawFn) -> dict[str, Any]:
    """Objects with the right names and anything in them."""
    members: dict[str, Any] = draw(st.dictionaries(st.sampled_from(USAGE_NAMES), json_values))
    for name, part in PARTS.items():
        if draw(st.booleans()):
            members[name] = draw(json_values | st.builds(lambda value, part=part: {part: value}, json_values))
    return members


@pytest.mark.parametrize(
    ("wire", "usage"),
    [
        ('{"prompt_tokens":9,"total_tokens":12,"completion_tokens":3}', Usage(9, 0, 3, 0)),
        ('{"prompt_tokens":9,"total_tokens":12,"completion_tokens":3,"prompt_tokens_details":null}', Usage(9, 0, 3, 0)),
        (
            (
                '{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12,"prompt_tokens_details":{"cached_tokens":8,'
                '"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":2,"accepted_prediction_tokens":0}}'
            ),
            Usage(9, 8, 3, 2),
        ),
        (
            (
                '{"prompt_tokens":9,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":null},'
                '"completion_tokens_details":{"reasoning_tokens":null}}'
            ),
            Usage(9, 0, 3, 0),
        ),
        (
            '{"prompt_tokens":9,"total_tokens":12,"completion_tokens":3,"prompt_tokens_details":null,"reasoning_tokens":1}',
            Usage(9, 0, 3, 1),
        ),
        (
            (
                '{"prompt_tokens":9,"completion_tokens":3,"reasoning_tokens":0,'
                '"completion_tokens_details":{"reasoning_tokens":2}}'
            ),
            Usage(9, 0, 3, 2),
        ),
        (
            '{"prompt_tokens":9,"completion_tokens":3,"completion_tokens_details":{"reasoning_tokens":0},"reasoning_tokens":2}',
            Usage(9, 0, 3, 0),
        ),
        ('{"prompt_tokens":8,"total_tokens":8}', Usage(8, 0, 0, 0)),
        ('{"total_tokens":56}', Usage(56, 0, 0, 0)),
        ('{"prompt_tokens":null,"completion_tokens":3,"total_tokens":12}', Usage(9, 0, 3, 0)),
        ('{"completion_tokens":3}', Usage(0, 0, 3, 0)),
        ('{"prompt_tokens":8}', Usage(8, 0, 0, 0)),
        ('{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}', Usage(0, 0, 0, 0)),
    ],
)
def test_a_usage_is_read_as_each_engine_words_it(wire: str, usage: Usage) -> None:
    assert read_usage(wire.encode()) == usage
    assert read_usage(msgspec.Raw(wire.encode())) == usage


@pytest.mark.parametrize("wire", ["null", "{}", '{"prompt_tokens":null,"total_tokens":null}', '{"search_units":1}'])
def test_a_usage_that_counts_nothing_is_none(wire: str) -> None:
    """Which is not the same as an explicit 0: rules (e) and (f)."""
    assert read_usage(wire.encode()) is None


@pytest.mark.parametrize(
    ("wire", "clamped"),
    [
        ('{"prompt_tokens":-7,"total_tokens":-7,"completion_tokens":-7}', Usage(0, 0, 0, 0, is_sane=False)),
        ('{"prompt_tokens":"9","completion_tokens":3}', Usage(0, 0, 3, 0, is_sane=False)),
        ('{"prompt_tokens":9,"completion_tokens":3.5}', Usage(9, 0, 0, 0, is_sane=False)),
        ('{"prompt_tokens":9,"completion_tokens":true}', Usage(9, 0, 0, 0, is_sane=False)),
        ('{"prompt_tokens":[1],"completion_tokens":[1]}', Usage(0, 0, 0, 0, is_sane=False)),
        ('{"prompt_tokens":9,"completion_tokens":9007199254740993}', Usage(9, 0, MAX_TOKENS, 0, is_sane=False)),
        ('{"prompt_tokens":9,"completion_tokens":1e400}', Usage(0, 0, 0, 0, is_sane=False)),
        ('{"prompt_tokens":9,"completion_tokens":%s}' % ("9" * 60), Usage(9, 0, MAX_TOKENS, 0, is_sane=False)),
        (
            '{"prompt_tokens":9,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":10}}',
            Usage(9, 9, 3, 0, is_sane=False),
        ),
        (
            '{"prompt_tokens":9,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":-1}}',
            Usage(9, 0, 3, 0, is_sane=False),
        ),
        (
            '{"prompt_tokens":9,"completion_tokens":3,"completion_tokens_details":{"reasoning_tokens":4}}',
            Usage(9, 0, 3, 3, is_sane=False),
        ),
        ('{"prompt_tokens":9,"completion_tokens":3,"prompt_tokens_details":7}', Usage(9, 0, 3, 0, is_sane=False)),
        ('{"prompt_tokens":12,"total_tokens":9}', Usage(12, 0, 0, 0, is_sane=False)),
        ('"lots"', Usage(0, 0, 0, 0, is_sane=False)),
        ("[1]", Usage(0, 0, 0, 0, is_sane=False)),
        ("7", Usage(0, 0, 0, 0, is_sane=False)),
    ],
)
def test_nonsense_is_told_apart_and_clamped(wire: str, clamped: Usage) -> None:
    assert read_usage(wire.encode()) == clamped


@given(odd_usages())
def test_whatever_an_engine_says_reading_it_raises_nothing_and_gives_quantities(members: dict[str, Any]) -> None:
    usage = read_usage(json.dumps(members).encode())
    if usage is not None:
        assert usage.prompt <= MAX_TOKENS
        assert usage.completion <= MAX_TOKENS
        Quantities.from_usage(usage.prompt, usage.cached, usage.completion, usage.reasoning)


@given(sane_usages())
def test_a_sane_usage_is_read_as_it_was_written(usage: Usage) -> None:
    wire = {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }
    assert read_usage(json.dumps(wire).encode()) == usage


def test_deep_nesting_is_nonsense_and_no_crash() -> None:
    deep = b'{"prompt_tokens":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert read_usage(deep) == Usage(0, 0, 0, 0, is_sane=False)


def test_nothing_reported_is_told_apart_from_an_explicit_zero() -> None:
    tally = UsageTally()
    assert (tally.seen, tally.has_final, tally.total()) == (False, False, Usage(0, 0, 0, 0))
    tally.see(Usage(0, 0, 0, 0), 0)
    assert (tally.seen, tally.has_final, tally.total()) == (True, False, Usage(0, 0, 0, 0))


def test_the_choices_of_one_prompt_add_up_and_their_prompt_counts_once() -> None:
    tally = UsageTally()
    tally.see(Usage(10, 4, 1, 1), 0)
    tally.see(Usage(10, 4, 5, 2), 1)
    tally.see(Usage(10, 4, 2, 1), 0)
    assert tally.total() == Usage(10, 4, 7, 3)


def test_each_prompt_counts_once_whatever_its_choices() -> None:
    """vLLM numbers choices prompt by prompt: with n=2, choices 2 and 3 answer the second prompt."""
    tally = UsageTally(choices_per_prompt=2)
    for index, usage in enumerate([Usage(10, 0, 1, 0), Usage(10, 0, 2, 0), Usage(7, 0, 3, 0), Usage(7, 0, 4, 0)]):
        tally.see(usage, index)
    assert tally.total() == Usage(17, 0, 10, 0)


def test_the_final_usage_takes_the_place_of_the_sum() -> None:
    tally = UsageTally()
    tally.see(Usage(10, 0, 9, 0), 0)
    tally.final(Usage(10, 8, 7, 0))
    assert tally.has_final
    assert tally.total() == Usage(10, 8, 7, 0)


def test_a_count_never_goes_back() -> None:
    tally = UsageTally()
    for usage in (Usage(10, 3, 5, 1), Usage(10, 0, 4, 2), Usage(10, 0, 6, 2), Usage(9, 3, 6, 2), Usage(10, 0, 7, 2)):
        tally.see(usage, 0)
    assert tally.total() == Usage(10, 3, 7, 2)


def test_nonsense_shows_until_a_sane_report_replaces_it() -> None:
    tally = UsageTally()
    tally.see(Usage(10, 0, MAX_TOKENS, 0, is_sane=False), 0)
    assert not tally.total().is_sane
    tally.see(Usage(10, 0, 6, 0), 0)
    assert tally.total() == Usage(10, 0, 6, 0)
    tally.see(Usage(0, 0, 0, 0, is_sane=False), 0)
    assert tally.total() == Usage(10, 0, 6, 0, is_sane=False)


@given(st.lists(st.tuples(sane_usages(), st.integers(0, 3)), min_size=1), st.sampled_from([0, 1, 2, 4]))
def test_a_total_is_one_that_a_request_can_have(reports: list[tuple[Usage, int]], choices_per_prompt: int) -> None:
    tally = UsageTally(choices_per_prompt)
    before = tally.total()
    for usage, index in reports:
        tally.see(usage, index)
        total = tally.total()
        Quantities.from_usage(total.prompt, total.cached, total.completion, total.reasoning)
        assert total.is_sane
        assert total.completion >= before.completion
        assert total.prompt >= before.prompt
        before = total
