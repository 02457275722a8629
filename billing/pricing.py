"""What a request costs and can cost at most: pure integer arithmetic, shared with the gateway's hot path (I3, I4).

Money is an integer of nano-EUR, a price an integer of nano-EUR per million units. Nothing here knows Django.
"""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Self

METERS = ("input", "cached", "output", "reasoning", "audio_ms", "documents", "images")
UNITS_PER_PRICE = 1_000_000
MINUTE_MS = 60_000

FALL_BACKS = {"cached": "input", "reasoning": "output"}  # what a meter costs as that has no price of its own
_INPUT, _CACHED, _OUTPUT, _REASONING, _AUDIO_MS, _DOCUMENTS, _IMAGES = range(len(METERS))


class MissingPrice(LookupError):
    """A meter that the request needs has no price: the request is refused, never free."""

    def __init__(self, meter: str, version_id: int) -> None:
        super().__init__(f"price version {version_id} has no price for {meter}")
        self.meter = meter
        self.version_id = version_id


class NonsenseUsage(ValueError):
    """A usage that no request can have: a negative count, or a part that is larger than its whole (I2, rule g)."""


class Quantities(NamedTuple):
    """Units a meter, in the order of `METERS`. The meters never overlap: a token is counted by exactly one of them."""

    input: int = 0
    cached: int = 0
    output: int = 0
    reasoning: int = 0
    audio_ms: int = 0
    documents: int = 0
    images: int = 0

    @classmethod
    def from_usage(cls, prompt: int, cached: int, completion: int, reasoning: int) -> Self:
        """Split an engine's usage, where `cached` is part of `prompt` and `reasoning` part of `completion` (I4).

        Raises NonsenseUsage when a part is negative or larger than its whole.
        """
        if not (0 <= cached <= prompt and 0 <= reasoning <= completion):
            raise NonsenseUsage(f"{cached=} of {prompt=}, {reasoning=} of {completion=}")
        return cls(prompt - cached, cached, completion - reasoning, reasoning)


class Amounts(NamedTuple):
    """Nano-EUR a meter, in the order of `METERS`."""

    input: int = 0
    cached: int = 0
    output: int = 0
    reasoning: int = 0
    audio_ms: int = 0
    documents: int = 0
    images: int = 0


@dataclass(frozen=True, slots=True)
class Prices:
    """The prices of one model in one price version: nano-EUR per million units by meter.

    A missing cached price is the input price, a missing reasoning price the output price. Another missing price raises
    MissingPrice once a request needs it. `audio_by_started_minute`: `billed` says what that changes.
    """

    version_id: int
    nano_eur_per_million: Mapping[str, int]
    audio_by_started_minute: bool = False
    _resolved: tuple[int | None, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        given = self.nano_eur_per_million
        unknown = given.keys() - set(METERS)
        if unknown:
            raise ValueError(f"unknown meters: {', '.join(sorted(unknown))}")
        if any(price < 0 for price in given.values()):
            raise ValueError("a price is negative")
        resolved = tuple(price_in(given, meter) for meter in METERS)
        object.__setattr__(self, "_resolved", resolved)

    def of(self, meter_index: int) -> int:
        """The price of `METERS[meter_index]`; raises MissingPrice."""
        price = self._resolved[meter_index]
        if price is None:
            raise MissingPrice(METERS[meter_index], self.version_id)
        return price


def price_in(given: Mapping[str, int], meter: str) -> int | None:
    """What the meter costs by prices a meter, its fall-back's where it has none of its own; None: nothing is said."""
    return given.get(meter, given.get(FALL_BACKS.get(meter, meter)))


def billed(quantities: Quantities, prices: Prices) -> Quantities:
    """What of one request is billed, and so recorded: audio as whole minutes, the last one begun, where priced so.

    Of a request, before anything is added up; what is billed already stays.
    """
    if not prices.audio_by_started_minute:
        return quantities
    return quantities._replace(audio_ms=-(-quantities.audio_ms // MINUTE_MS) * MINUTE_MS)


def price_of(quantities: Quantities, prices: Prices) -> tuple[int, Amounts]:
    """The cost in nano-EUR and its parts by meter, which add up to it exactly.

    The exact sum of units x price is divided once by a million and rounded half-even (I4). A part is the rounded sum
    up to its meter less the rounded sum before it. Raises MissingPrice.
    """
    exact = cost = 0
    amounts = [0] * len(METERS)
    for meter_index, quantity in enumerate(quantities):
        if quantity:
            exact += quantity * prices.of(meter_index)
            before, cost = cost, divide_half_even(exact)
            amounts[meter_index] = cost - before
    return cost, Amounts._make(amounts)


def upper_bound(
    input_tokens: int, output_tokens: int, choices: int, window: int, prices: Prices, documents: int = 0
) -> int:
    """The most nano-EUR that a request can cost, rounded up: what is held for it (I3).

    `input_tokens` bounds the tokens of all its prompts together, `output_tokens` is the limit sent for each of the
    `choices` sequences (those of all prompts together), `window` the model's context window. Input counts at the
    dearest of input and cached, output at the dearest of output and reasoning. A sequence never holds more than the
    window, prompt included: where both do not fit, the dearest split counts. Whoever has a single prompt passes at
    most `window` as `input_tokens`. Raises MissingPrice.
    """
    room = choices * window
    most_input = min(input_tokens, room)
    most_output = choices * min(output_tokens, window)
    input_price = max(prices.of(_INPUT), prices.of(_CACHED)) if most_input else 0
    output_price = max(prices.of(_OUTPUT), prices.of(_REASONING)) if most_output else 0
    if input_price >= output_price:
        most_output = min(most_output, room - most_input)
    else:
        most_input = min(most_input, room - most_output)
    exact = most_input * input_price + most_output * output_price
    if documents:
        exact += documents * prices.of(_DOCUMENTS)
    return -(-exact // UNITS_PER_PRICE)


def affordable_output(headroom_nano_eur: int, input_tokens: int, choices: int, window: int, prices: Prices) -> int:
    """The largest output limit (tokens a sequence) whose `upper_bound` fits; 0 if none does. Raises MissingPrice."""
    fitting = bisect_right(
        range(window + 1),
        headroom_nano_eur,
        key=lambda output_tokens: upper_bound(input_tokens, output_tokens, choices, window, prices),
    )
    return max(0, fitting - 1)


def divide_half_even(exact: int) -> int:
    """A millionth of it, rounded half-even (I4)."""
    quotient, remainder = divmod(exact, UNITS_PER_PRICE)
    twice = 2 * remainder
    if twice > UNITS_PER_PRICE or (twice == UNITS_PER_PRICE and quotient % 2):
        return quotient + 1
    return quotient
