"""I4 (exact integer money) and the arithmetic half of I3 (a hold is an upper bound by construction)."""

import ast
import itertools
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import billing.pricing
from billing.pricing import (
    METERS,
    Amounts,
    MissingPrice,
    NonsenseUsage,
    Prices,
    Quantities,
    affordable_output,
    billed,
    price_of,
    upper_bound,
)

REFERENCE = Prices(1, {"input": 900_000_000, "output": 4_000_000_000, "reasoning": 21_000_000_000})

units = st.integers(min_value=0, max_value=10**9)
price = st.integers(min_value=0, max_value=10**15)
full_prices = st.fixed_dictionaries(dict.fromkeys(METERS, price)).map(lambda table: Prices(7, table))
quantities = st.builds(Quantities, *[units] * len(METERS))


def test_the_reference_prices_bill_a_request_to_the_nano_euro() -> None:
    usage = Quantities.from_usage(prompt=1_234, cached=1_000, completion=321, reasoning=21)
    cost, amounts = price_of(usage, REFERENCE)
    assert usage == (234, 1_000, 300, 21, 0, 0, 0)
    assert amounts == Amounts(input=210_600, cached=900_000, output=1_200_000, reasoning=441_000)
    assert cost == 2_751_600


@given(quantities, full_prices)
def test_a_cost_is_the_exact_sum_divided_once_and_rounded_half_even(counted: Quantities, prices: Prices) -> None:
    exact = sum(
        (Fraction(n * prices.nano_eur_per_million[meter], 10**6) for meter, n in zip(METERS, counted, strict=True)),
        Fraction(0),
    )
    assert price_of(counted, prices)[0] == round(exact)


@pytest.mark.parametrize(("price_per_million", "cost"), [(500_000, 0), (500_001, 1), (1_500_000, 2), (2_500_000, 2)])
def test_half_a_nano_euro_goes_to_the_even_neighbour(price_per_million: int, cost: int) -> None:
    assert price_of(Quantities(input=1), Prices(1, {"input": price_per_million}))[0] == cost


@pytest.mark.parametrize(
    ("audio_ms", "counted"), [(0, 0), (1, 60_000), (59_999, 60_000), (60_000, 60_000), (60_001, 120_000)]
)
def test_audio_by_started_minute_counts_whole_minutes_and_only_there(audio_ms: int, counted: int) -> None:
    used = Quantities(input=3, audio_ms=audio_ms)
    by_minute = Prices(1, {"audio_ms": 1}, audio_by_started_minute=True)
    assert billed(used, by_minute) == used._replace(audio_ms=counted)
    assert billed(billed(used, by_minute), by_minute) == billed(used, by_minute)
    assert billed(used, Prices(1, {"audio_ms": 1})) == used


@given(quantities, full_prices)
def test_the_amounts_of_the_meters_add_up_to_the_cost(counted: Quantities, prices: Prices) -> None:
    cost, amounts = price_of(counted, prices)
    assert sum(amounts) == cost
    assert all(amount >= 0 for amount in amounts)
    assert all(amount == 0 for amount, n in zip(amounts, counted, strict=True) if n == 0)


def test_parts_that_round_away_one_by_one_are_not_lost_in_the_sum() -> None:
    third_of_a_nano = Prices(1, dict.fromkeys(METERS, 333_333))
    cost, amounts = price_of(Quantities(1, 1, 1), third_of_a_nano)
    assert (cost, sum(amounts)) == (1, 1)


@given(units, units, units, units)
def test_every_token_of_a_usage_is_counted_by_exactly_one_meter(
    fresh: int, cached: int, answer: int, reasoning: int
) -> None:
    counted = Quantities.from_usage(fresh + cached, cached, answer + reasoning, reasoning)
    assert counted == (fresh, cached, answer, reasoning, 0, 0, 0)


@pytest.mark.parametrize(
    "usage", [(1, 2, 0, 0), (0, 0, 1, 2), (-1, 0, 0, 0), (1, -1, 0, 0), (0, 0, -1, -1), (0, 0, 0, -1)]
)
def test_a_usage_that_no_request_can_have_is_not_priced(usage: tuple[int, int, int, int]) -> None:
    with pytest.raises(NonsenseUsage):
        Quantities.from_usage(*usage)


def test_cached_tokens_cost_the_input_price_and_reasoning_the_output_price_where_none_is_given() -> None:
    prices = Prices(1, {"input": 10**6, "output": 3 * 10**6})
    assert price_of(Quantities(cached=5, reasoning=7), prices)[1] == Amounts(cached=5, reasoning=21)


@pytest.mark.parametrize("meter", ["input", "output", "audio_ms", "documents", "images"])
def test_a_missing_price_is_an_error_as_soon_as_its_meter_counts(meter: str) -> None:
    prices = Prices(42, {other: 10**6 for other in METERS if other not in (meter, "cached", "reasoning")})
    assert price_of(Quantities(), prices)[0] == 0
    with pytest.raises(MissingPrice, match=f"42 has no price for {meter}"):
        price_of(Quantities(**{meter: 1}), prices)


def test_the_output_price_does_not_stand_in_for_the_input_price() -> None:
    with pytest.raises(MissingPrice):
        upper_bound(1, 0, 1, 100, Prices(1, {"output": 1}))
    assert upper_bound(0, 2, 1, 100, Prices(1, {"output": 10**6})) == 2


@pytest.mark.parametrize("table", [{"inputs": 1}, {"input": -1}])
def test_prices_of_unknown_meters_or_below_zero_are_refused(table: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="unknown meters|negative"):
        Prices(1, table)


@st.composite
def a_request_and_what_became_of_it(draw: st.DrawFn) -> tuple[tuple[int, int, int, int, int], Quantities]:
    """Bounds (input, output, choices, window, documents) and a usage that an engine may report within them."""
    window = draw(st.integers(1, 2_000))
    prompts = draw(st.integers(1, 3))
    sequences_a_prompt = draw(st.integers(1, 3))
    limit = draw(st.integers(0, 2_500))
    documents = draw(st.integers(0, 50))
    prompt = cached = completion = reasoning = 0
    for _ in range(prompts):
        length = draw(st.integers(0, window))
        prompt += length
        cached += draw(st.integers(0, length))
        for _ in range(sequences_a_prompt):
            written = draw(st.integers(0, min(limit, window - length)))
            completion += written
            reasoning += draw(st.integers(0, written))
    bound = prompt + draw(st.integers(0, 3_000))
    usage = Quantities.from_usage(prompt, cached, completion, reasoning)
    return (bound, limit, prompts * sequences_a_prompt, window, documents), usage._replace(documents=documents)


@given(a_request_and_what_became_of_it(), full_prices)
def test_no_request_can_cost_more_than_its_bound(
    case: tuple[tuple[int, int, int, int, int], Quantities], prices: Prices
) -> None:
    (input_tokens, output_tokens, choices, window, documents), usage = case
    bound = upper_bound(input_tokens, output_tokens, choices, window, prices, documents)
    assert price_of(usage, prices)[0] <= bound


@given(st.integers(1, 12), st.integers(0, 15), st.integers(0, 15), full_prices)
def test_the_bound_of_a_single_sequence_is_reached_by_the_dearest_one(
    window: int, input_tokens: int, output_tokens: int, prices: Prices
) -> None:
    possible = [
        Quantities(**{asked: prompt, told: written})
        for prompt, written in itertools.product(range(input_tokens + 1), range(output_tokens + 1))
        if prompt + written <= window
        for asked, told in itertools.product(("input", "cached"), ("output", "reasoning"))
    ]
    dearest = max(price_of(usage, prices)[0] for usage in possible)
    assert 0 <= upper_bound(input_tokens, output_tokens, 1, window, prices) - dearest <= 1


def test_a_bound_is_rounded_up() -> None:
    assert upper_bound(1, 0, 1, 10, Prices(1, {"input": 1})) == 1


def test_a_bound_counts_each_choice_and_never_more_than_the_window() -> None:
    assert upper_bound(100, 50, 3, 1_000, REFERENCE) == 100 * 900 + 3 * 50 * 21_000
    assert upper_bound(10**9, 10**9, 1, 1_000, REFERENCE) == 1_000 * 21_000


def test_documents_are_held_at_their_price() -> None:
    assert upper_bound(0, 0, 1, 512, Prices(1, {"documents": 4_000_000_000}), documents=100) == 400_000


@given(st.integers(0, 10**12), st.integers(0, 4_000), st.integers(1, 4), st.integers(1, 3_000), full_prices)
def test_the_affordable_output_is_the_largest_that_fits(
    headroom: int, input_tokens: int, choices: int, window: int, prices: Prices
) -> None:
    limit = affordable_output(headroom, input_tokens, choices, window, prices)
    assert 0 <= limit <= window
    if limit:
        assert upper_bound(input_tokens, limit, choices, window, prices) <= headroom
    if limit < window:
        assert upper_bound(input_tokens, limit + 1, choices, window, prices) > headroom


def test_an_empty_purse_affords_no_output() -> None:
    assert affordable_output(0, 10, 1, 4_096, REFERENCE) == 0
    assert affordable_output(10 * 900 + 21_000, 10, 1, 4_096, REFERENCE) == 1


@pytest.mark.parametrize("module", ["pricing", "money"])
def test_money_knows_no_float(module: str) -> None:
    source = Path(billing.pricing.__file__).with_name(f"{module}.py").read_text()
    for node in ast.walk(ast.parse(source)):
        assert not isinstance(node, ast.Div), "true division makes a float"
        assert not (isinstance(node, ast.Constant) and isinstance(node.value, float)), f"float at line {node.lineno}"
        assert not (isinstance(node, ast.Name) and node.id == "float"), f"float at line {node.lineno}"
