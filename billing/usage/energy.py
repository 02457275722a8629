"""Energy of what was used, by the figures that the catalogue declares a model, and the emissions of that energy.

An estimate: a model's declared kWh a million tokens, whatever the load of its engine was. Models without a figure are
left out and told of.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from billing.usage.table import ModelTotals

_MILLION = 10**6


class Energy(NamedTuple):
    """`kwh` of `told_tokens`, those of models that declare a figure, of `tokens` in all.

    `grams_co2e` None where nobody said what a kWh emits.
    """

    kwh: Decimal
    grams_co2e: Decimal | None
    told_tokens: int
    tokens: int


def kwh_of(tokens: int, kwh_per_million_tokens: Decimal) -> Decimal:
    """Of tokens in and out together."""
    return kwh_per_million_tokens * tokens / _MILLION


def energy_of(models: Iterable[ModelTotals], *, grams_co2e_per_kwh: int | None) -> Energy:
    """Of all of them together. Grams a kWh are those of the house's electricity."""
    kwh, told, tokens = Decimal(0), 0, 0
    for model in models:
        used = model.totals.input_tokens + model.totals.output_tokens
        tokens += used
        if model.kwh_per_million_tokens is not None:
            told += used
            kwh += kwh_of(used, model.kwh_per_million_tokens)
    return Energy(kwh, None if grams_co2e_per_kwh is None else kwh * grams_co2e_per_kwh, told, tokens)
