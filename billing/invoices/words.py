"""What a line of an invoice says, in the language that is active; and its quantity and price as decimals.

Made from the line's columns, so that a page says it in its reader's language and an invoice in the buyer's.
"""

from collections.abc import Mapping

from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _

from billing.invoices.document.contents import Unit
from billing.models.closings import LineColumns
from billing.models.prices import Meter, Mode
from billing.money import exact_eur, format_eur

Kind = LineColumns.Kind
_TOKENS = ("input", "cached", "output", "reasoning")
_UNITS = {
    **dict.fromkeys(_TOKENS, Unit.MILLION_TOKENS),
    "audio_ms": Unit.MINUTE,
    "documents": Unit.MILLION_DOCUMENTS,
    "images": Unit.MILLION_IMAGES,
}
_METERS: Mapping[str, Promise] = {
    "input": gettext_lazy("input tokens"),
    "cached": gettext_lazy("cached input tokens"),
    "output": gettext_lazy("output tokens"),
    "reasoning": gettext_lazy("reasoning tokens"),
    "audio_ms": gettext_lazy("audio"),
    "documents": gettext_lazy("documents"),
    "images": gettext_lazy("images"),
}
_MILLION = 1_000_000
_MS_A_MINUTE = 60_000


def description_of(line: LineColumns) -> str:
    """What it is."""
    if line.kind == Kind.USAGE:
        return _("%(model)s: %(meter)s") % {"model": line.model, "meter": _METERS[Meter(line.meter)]}
    if line.kind == Kind.UNCHARGED:
        return _("%(model)s: not charged") % {"model": line.model}
    if line.kind == Kind.CREDIT:
        return _("Paid out of prepaid credit")
    if line.kind == Kind.TOP_UP:
        return _("Prepaid credit")
    if line.kind == Kind.TERM:
        return line.text
    words = {"refund": _("Given back"), "correction": _("Correction"), "fee": _("Fee")}
    return words.get(line.entry_kind, line.entry_kind)


def explanation_of(line: LineColumns, *, invoice_month: object = None) -> str:
    """How it came about, without the price and the exact amount, which stand beside it.

    invoice_month: of the invoice, so that usage of another month says so
    """
    parts = []
    if line.kind in (Kind.USAGE, Kind.UNCHARGED):
        if invoice_month is not None and line.covers_month != invoice_month:
            parts.append(
                _("Usage of %(month)s that no invoice had.") % {"month": date_format(line.covers_month, "F Y")}
            )
        if line.mode == Mode.BATCH:
            parts.append(_("Batch."))
        if line.kind == Kind.UNCHARGED:
            parts.append(_("What requests cost beyond what was reserved for them is not charged."))
        elif line.price_nano_eur is not None and _is_lump_sum(line):
            parts.append(f"{_price_words(line)}.")
    elif line.kind == Kind.TERM:
        parts.append(line.explained)
    else:
        parts.append(line.text)
    return " ".join(part for part in parts if part)


def quantity_of(line: LineColumns) -> tuple[str, Unit, str]:
    """The quantity, its unit and the price a unit, as decimals with a point; below zero only the quantity is."""
    if _is_lump_sum(line) or line.price_nano_eur is None:
        return "-1" if line.exact_nano_eur < 0 else "1", Unit.LUMP_SUM, exact_eur(abs(line.exact_nano_eur))
    if line.meter == "audio_ms":
        # A million milliseconds are 16 2/3 minutes, so the price of a minute is exact and the quantity rounded.
        return _decimal(line.quantity * _MILLION // _MS_A_MINUTE), Unit.MINUTE, _price_of_minute(line.price_nano_eur)
    return _decimal(line.quantity), _UNITS[line.meter], exact_eur(line.price_nano_eur)


def _price_words(line: LineColumns) -> str:
    """What a unit of usage costs. "": it has no price."""
    if line.price_nano_eur is None:
        return ""
    language = get_language() or "en"
    if line.meter == "audio_ms":
        price = format_eur(line.price_nano_eur * _MS_A_MINUTE // _MILLION, language)
        return _("%(price)s a minute") % {"price": price}
    return _("%(price)s a million") % {"price": format_eur(line.price_nano_eur, language)}


def _is_lump_sum(line: LineColumns) -> bool:
    """Without a quantity: what it gives back of a quantity is one, as prices on invoices are never below zero."""
    return line.kind != Kind.USAGE or line.price_nano_eur is None or line.quantity * line.exact_nano_eur < 0


def _decimal(millionths: int) -> str:
    whole, rest = divmod(abs(millionths), _MILLION)
    text = f"{whole}.{rest:06d}".rstrip("0").rstrip(".")
    return f"-{text}" if millionths < 0 else text


def _price_of_minute(nano_eur_per_million_ms: int) -> str:
    """Euros a minute: 0.06 of the price of a million milliseconds, exactly (eleven decimals at most)."""
    whole, rest = divmod(nano_eur_per_million_ms * 6, 10**11)
    return f"{whole}.{rest:011d}".rstrip("0").rstrip(".")
