"""Amounts (integers of nano-EUR) as text: exact decimals for exports and forms, localised ones for people."""

import re

NANO_EUR_PER_EUR = 1_000_000_000
NANO_EUR_PER_CENT = NANO_EUR_PER_EUR // 100
_DECIMALS = 9
_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2},[0-9]{3}")
_EXACT = re.compile(r"([+-]?)([0-9]{1,18})(?:\.([0-9]+))?")

_NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"
_NARROW_NO_BREAK_SPACE = "\N{NARROW NO-BREAK SPACE}"
# Language: thousands separator, decimal separator, pattern. Spanish groups from five digits on (RAE), the others from
# four.
_STYLES = {
    "en": (",", ".", "€{}", 4),
    "fr": (_NARROW_NO_BREAK_SPACE, ",", "{}" + _NO_BREAK_SPACE + "€", 4),
    "es": (".", ",", "{}" + _NO_BREAK_SPACE + "€", 5),
}


class NotAnAmount(ValueError):
    """A text that is no decimal number of euros, or has more than nine decimals."""


def parse_eur(text: str) -> int:
    """Nano-EUR from a decimal number of euros such as `12`, `0.9` or `-0.000000001`. Raises NotAnAmount."""
    match = _EXACT.fullmatch(text.strip())
    if match is None:
        raise NotAnAmount(f"{text!r} is not a decimal number of euros such as 12.50")
    sign, whole, decimals = match[1], match[2], (match[3] or "").rstrip("0")
    if len(decimals) > _DECIMALS:
        raise NotAnAmount(f"{text!r} is finer than a nano-euro (nine decimals)")
    nano_eur = int(whole) * NANO_EUR_PER_EUR + int(decimals.ljust(_DECIMALS, "0"))
    return -nano_eur if sign == "-" else nano_eur


def parse_typed_eur(text: str) -> int:
    """As `parse_eur`, from what people type: `12,50`, `1 250`. Raises NotAnAmount, also for `1,234`: 1.234 or 1234?"""
    spaceless = re.sub(r"[ \N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}]", "", text.strip())
    if _THOUSANDS.fullmatch(spaceless):
        raise NotAnAmount(f"{text!r} may be thousands or decimals: write a point before decimals")
    return parse_eur(spaceless.replace(",", "."))


def exact_eur(nano_eur: int) -> str:
    """The amount in euros as an exact decimal with a point and at least two decimals: `0.0000009`, `12.50`."""
    whole, decimals = divmod(abs(nano_eur), NANO_EUR_PER_EUR)
    digits = f"{decimals:0{_DECIMALS}d}"
    return f"{'-' if nano_eur < 0 else ''}{whole}.{digits[:2]}{digits[2:].rstrip('0')}"


def typed_eur(nano_eur: int, language: str) -> str:
    """As people type it in `language`, such as `12,50` in French: what `parse_typed_eur` reads as the same amount."""
    _thousands, point, *_rest = _style_of(language)
    text = exact_eur(nano_eur).replace(".", point)
    return f"{text}0" if _THOUSANDS.fullmatch(text) else text


def cents(nano_eur: int) -> int:
    """The amount in cents, rounded half-even: the second rounding of I4, for invoice lines only."""
    quotient, remainder = divmod(nano_eur, NANO_EUR_PER_CENT)
    if 2 * remainder > NANO_EUR_PER_CENT or (2 * remainder == NANO_EUR_PER_CENT and quotient % 2):
        return quotient + 1
    return quotient


def format_eur(nano_eur: int, language: str = "en") -> str:
    """The exact amount as people write it in `language` (`en`, `fr`, `es`; a region such as `fr-FR` is ignored).

    At least two decimals, more only where the amount has them; nothing is rounded. Unknown languages read English.
    """
    thousands, point, pattern, grouped_from = _style_of(language)
    whole, decimals = exact_eur(abs(nano_eur)).split(".")
    if len(whole) >= grouped_from:
        whole = f"{int(whole):,}".replace(",", thousands)
    sign = "\N{MINUS SIGN}" if nano_eur < 0 else ""
    return sign + pattern.format(f"{whole}{point}{decimals}")


def _style_of(language: str) -> tuple[str, str, str, int]:
    return _STYLES.get(language.split("-")[0].lower(), _STYLES["en"])
