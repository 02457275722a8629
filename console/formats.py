"""How figures look on pages: in the reader's language, tabular, and exact where somebody asks. No HTTP, no database.

Screens round half-even to cents, and show four digits below one cent; the exact amount is on hover.
"""

from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal

from babel.dates import format_date, format_datetime, format_skeleton, format_timedelta
from babel.numbers import format_compact_decimal, format_currency, format_decimal, format_percent

NANO = 10**9
_CENT = NANO // 100


def money(nano_eur: int, language: str) -> str:
    """Such as "€1,234.50" or "€0.0042". Below a hundredth of a cent, but not nothing: "<€0.0001"."""
    euros = Decimal(nano_eur) / NANO
    if nano_eur == 0 or abs(nano_eur) >= _CENT:
        return _with_minus(format_currency(euros.quantize(Decimal("0.01"), ROUND_HALF_EVEN), "EUR", locale=language))
    shown = euros.quantize(Decimal("0.0001"), ROUND_HALF_EVEN)
    pattern = {"en": "¤0.0000"}.get(language, "0.0000\u00a0¤")
    text = format_currency(shown or Decimal("0.0001"), "EUR", pattern, locale=language, currency_digits=False)
    return _with_minus(text) if shown else f"<{text}"


def _with_minus(text: str) -> str:
    """With the sign that is as wide as a figure, as everywhere on our pages."""
    return text.replace("-", "−")


def exact_money(nano_eur: int, language: str) -> str:
    """All nine digits after the point that are there, such as "€0.004217395"."""
    text = f"{abs(nano_eur) % NANO:09d}".rstrip("0").ljust(2, "0")
    pattern = ("¤#,##0." if language == "en" else "#,##0.") + "0" * len(text) + ("" if language == "en" else "\u00a0¤")
    return format_currency(Decimal(nano_eur) / NANO, "EUR", pattern, locale=language, currency_digits=False)


def count(number: int, language: str) -> str:
    """Such as "12,345"."""
    return format_decimal(number, locale=language)


def short_count(number: int, language: str) -> str:
    """Such as "1.2M", for where the exact figure is on hover."""
    return format_compact_decimal(number, locale=language, fraction_digits=1)


def share(part: int, whole: int, language: str) -> str:
    """Such as "73 %"; of nothing: "0 %"; of next to nothing, which is not nothing: "<1 %"."""
    exact = Decimal(part) / whole if whole else Decimal(0)
    if 0 < exact < Decimal("0.01"):
        return f"<{format_percent(Decimal('0.01'), locale=language)}"
    return format_percent(exact, locale=language)


def fine_share(percent: float, language: str) -> str:
    """A percentage with two decimals, never rounded up to what it is not: "99.99 %"; all of it: "100 %"."""
    cut = Decimal(int(percent * 100)) / 100
    return f"{format_decimal(cut, '0.00' if cut < 100 else '0', locale=language)} %"


def change(now: int, before: int, language: str) -> str:
    """How much more or less than before, such as "+12 %"; "" where there was nothing before."""
    if not before:
        return ""
    percent = (Decimal(now - before) * 100 / before).quantize(Decimal(1), ROUND_HALF_EVEN)
    sign = "+" if percent > 0 else "−" if percent < 0 else "±"
    return sign + format_percent(abs(percent) / 100, locale=language)


def energy(kwh: Decimal, language: str) -> str:
    """Such as "1.2 kWh", below one "340 Wh"."""
    return _measured(kwh, "kWh", language) if kwh >= 1 else _measured(kwh * 1000, "Wh", language)


def mass(grams: Decimal, language: str) -> str:
    """Such as "12 kg", below one "340 g"."""
    return _measured(grams / 1000, "kg", language) if grams >= 1000 else _measured(grams, "g", language)


def _measured(figure: Decimal, unit: str, language: str) -> str:
    """With two digits that say something."""
    shown = figure.quantize(Decimal(1) if figure >= 10 else Decimal("0.1"), ROUND_HALF_EVEN)
    text = format_decimal(shown or Decimal("0.1"), locale=language)
    return f"{text if shown or not figure else f'<{text}'}\u00a0{unit}"


def duration(milliseconds: int, language: str) -> str:
    """Such as "840 ms", "1.2 s", "3 min 20 s"."""
    if milliseconds < 1_000:
        return f"{milliseconds}\u00a0ms"
    if milliseconds < 60_000:
        return f"{format_decimal(Decimal(milliseconds) / 1000, '0.0', locale=language)}\u00a0s"
    minutes, seconds = divmod(milliseconds // 1000, 60)
    return f"{minutes}\u00a0min {seconds}\u00a0s"


def span(seconds: int, language: str) -> str:
    """Such as "15 seconds" or "1 hour"."""
    return format_timedelta(seconds, locale=language, granularity="second", threshold=2)


def ago(seconds: int, language: str) -> str:
    """Such as "3 minutes ago" or "in 2 days"."""
    return format_timedelta(-seconds, add_direction=True, locale=language, granularity="second", threshold=0.9)


def moment(when: object, language: str) -> str:
    """Such as "21 Nov 2026, 10:42:07", in the zone that `when` (an aware datetime) is in."""
    pattern = {"en": "d MMM y, HH:mm:ss"}.get(language, "d MMM y HH:mm:ss")
    return format_datetime(when, pattern, locale=language)  # type: ignore[arg-type]


def day(when: date, language: str) -> str:
    """Such as "21 Nov 2026"."""
    return format_date(when, "d MMM y", locale=language)


def month(when: date, language: str) -> str:
    """Such as "November 2026"."""
    return format_skeleton("yMMMM", when, locale=language)
