"""An estimate is the bill of that many requests, to the nano-euro."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.prices.estimates import monthly_estimate
from billing.pricing import MissingPrice, Prices, Quantities, price_of

PRICES = Prices(1, {"input": 900_000_001, "output": 4_000_000_000, "reasoning": 21_000_000_000})
tokens = st.integers(0, 10**6)


@given(prompt=tokens, output=tokens, reasoning=tokens, a_day=st.integers(0, 10**6))
def test_B5_a_month_costs_what_thirty_days_of_bills_cost(prompt: int, output: int, reasoning: int, a_day: int) -> None:
    quantities = Quantities(input=prompt, output=output, reasoning=reasoning)
    estimate = monthly_estimate(quantities=quantities, requests_a_day=a_day, prices=PRICES)
    one, _ = price_of(quantities, PRICES)
    assert estimate.month_nano_eur == sum([one] * 30) * a_day
    assert sum(line.amount for line in estimate.lines) == estimate.request_nano_eur == one


def test_B5_reasoning_without_a_price_of_its_own_costs_as_output() -> None:
    prices = Prices(1, {"input": 0, "output": 4_000_000_000})
    estimate = monthly_estimate(quantities=Quantities(reasoning=1_000_000), requests_a_day=1, prices=prices)
    assert [(line.meter, line.price, line.amount) for line in estimate.lines] == [
        ("reasoning", 4_000_000_000, 4_000_000_000)
    ]


def test_B5_what_has_no_price_is_not_estimated() -> None:
    with pytest.raises(MissingPrice):
        monthly_estimate(quantities=Quantities(images=1), requests_a_day=1, prices=PRICES)
