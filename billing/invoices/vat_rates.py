"""Standard rates of VAT in the European Union, as they were known when this release was made. Pure data and a look-up.

Source: each member state's rate as the Commission publishes it ("Taxes in Europe"), by the day from which it counts;
rates are hundredths of a percent. An operator's own rows (`VatRate`) go before these: rates change between releases.
"""

from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

AS_OF = date(2026, 11, 1)
_ALWAYS = date(2020, 1, 1)


class Rate(NamedTuple):
    """A country's standard rate in hundredths of a percent, from a day on."""

    country: str
    valid_from: date
    basis_points: int


SHIPPED: tuple[Rate, ...] = (
    *(
        Rate(country, _ALWAYS, basis_points)
        for country, basis_points in {
            "AT": 2000, "BE": 2100, "BG": 2000, "CY": 1900, "CZ": 2100, "DE": 1900, "DK": 2500, "EE": 2000,
            "ES": 2100, "FI": 2400, "FR": 2000, "GR": 2400, "HR": 2500, "HU": 2700, "IE": 2300, "IT": 2200,
            "LT": 2100, "LU": 1700, "LV": 2100, "MT": 1800, "NL": 2100, "PL": 2300, "PT": 2300, "RO": 1900,
            "SE": 2500, "SI": 2200, "SK": 2000,
        }.items()
    ),
    Rate("EE", date(2024, 1, 1), 2200),
    Rate("EE", date(2025, 7, 1), 2400),
    Rate("FI", date(2024, 9, 1), 2550),
    Rate("RO", date(2025, 8, 1), 2100),
    Rate("SK", date(2025, 1, 1), 2300),
)  # fmt: skip


def rate_on(country: str, day: date, own: Iterable[Rate] = ()) -> int | None:
    """The standard rate that began last on or before a day; of two of one day the operator's own. None: not said."""
    shipped = [(rate.valid_from, False, rate.basis_points) for rate in SHIPPED if _counts(rate, country, day)]
    theirs = [(rate.valid_from, True, rate.basis_points) for rate in own if _counts(rate, country, day)]
    return max([*shipped, *theirs])[2] if shipped or theirs else None


def _counts(rate: Rate, country: str, day: date) -> bool:
    return rate.country == country and rate.valid_from <= day


def percent(basis_points: int) -> str:
    """Such as `20` or `25.5`."""
    whole, rest = divmod(basis_points, 100)
    return f"{whole}.{rest:02d}".rstrip("0") if rest else str(whole)
