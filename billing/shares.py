"""Shares (whole millionths, so that 12.5 % is 125,000) as percentages that people type and read. No float."""

import re

from billing.models.agreements import WHOLE

_MILLIONTHS_A_PERCENT = WHOLE // 100
_DECIMALS = 4
_PERCENT = re.compile(r"([0-9]{1,9})(?:[.,]([0-9]{1,4}))?")


class NotAShare(ValueError):
    """A text that is no percentage, or has more than four decimals."""


def parse_percent(text: str) -> int:
    """Millionths from a percentage such as `10`, `12,5` or `0.25 %`. Raises NotAShare; above 100 is a number too."""
    match = _PERCENT.fullmatch(text.strip().removesuffix("%").rstrip())
    if match is None:
        raise NotAShare(f"{text!r} is not a percentage such as 12.5")
    return int(match[1]) * _MILLIONTHS_A_PERCENT + int((match[2] or "").ljust(_DECIMALS, "0"))


def exact_percent(share: int) -> str:
    """The share as a decimal of a hundred with a point: `12.5`."""
    whole, rest = divmod(share, _MILLIONTHS_A_PERCENT)
    decimals = f"{rest:0{_DECIMALS}d}".rstrip("0")
    return f"{whole}.{decimals}" if decimals else str(whole)


def format_percent(share: int, language: str = "en") -> str:
    """The share as people write it: `12.5%`, `12,5 %`."""
    text = exact_percent(share)
    return f"{text}%" if language.startswith("en") else text.replace(".", ",") + "\N{NO-BREAK SPACE}%"


def share_of(amount: int, share: int) -> int:
    """The share of a natural amount, rounded down: so what is left never falls while the amount rises."""
    return amount * share // WHOLE
