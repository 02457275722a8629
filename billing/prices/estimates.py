"""What a use of a model would cost a month, in the arithmetic that bills it. Pure."""

from dataclasses import dataclass

from billing.pricing import METERS, Prices, Quantities, billed, price_of
from models_catalog.models import LanguageModel

DAYS_A_MONTH = 30
MOST = 10**9  # of anything that somebody imagines: units of a request, requests a day


@dataclass(frozen=True, slots=True)
class EstimateLine:
    """A meter of one request: units, nano-EUR per million of them, and what they come to (nano-EUR)."""

    meter: str
    quantity: int
    price: int
    amount: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one request and a month of them cost, in nano-EUR. The lines add up to `request_nano_eur` exactly."""

    lines: tuple[EstimateLine, ...]
    requests_a_month: int
    request_nano_eur: int
    month_nano_eur: int


def template_tokens(model: LanguageModel) -> int:
    """The most that the model's template adds to a request of one message; 0 where it has none."""
    if model.kind != LanguageModel.Kind.CHAT:
        return 0
    return model.template_overhead_tokens + model.template_overhead_tokens_per_message


def monthly_estimate(*, quantities: Quantities, requests_a_day: int, prices: Prices) -> Estimate:
    """Every request of the month (of 30 days) is billed by itself, so its rounded price counts. Raises MissingPrice."""
    quantities = billed(quantities, prices)
    cost, amounts = price_of(quantities, prices)
    lines = tuple(
        EstimateLine(meter, quantities[place], prices.of(place), amounts[place])
        for place, meter in enumerate(METERS)
        if quantities[place]
    )
    requests = requests_a_day * DAYS_A_MONTH
    return Estimate(lines, requests, cost, cost * requests)
