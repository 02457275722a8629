"""How prices are said: exactly, as they were agreed, never rounded to cents."""

from collections.abc import Mapping

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from billing.models.prices import Mode
from billing.pricing import FALL_BACKS
from console import formats

register = template.Library()
_AS = {"input": _("as input"), "output": _("as output")}


@register.filter
def exact(nano_eur: int) -> str:
    """All its digits, in the reader's language."""
    return formats.exact_money(nano_eur, (get_language() or "en").partition("-")[0])


@register.simple_tag
def price_of_meter(prices: Mapping[str, int], meter: str) -> SafeString | str:
    """What a million of the meter costs by these prices; what it costs as where it has none of its own."""
    if meter in prices:
        return exact(prices[meter]) if prices[meter] else format_html('<span class="quiet">{}</span>', _("free"))
    whole = FALL_BACKS.get(meter, "")
    return format_html('<span class="quiet">{}</span>', _AS[whole] if whole in prices else "–")


@register.filter
def mode_word(mode: str) -> str:
    """How a request is processed."""
    return str(Mode(mode).label)


@register.simple_tag
def more(nano_eur: int) -> SafeString | str:
    """A difference with its sign; dearer and cheaper by colour too."""
    language = (get_language() or "en").partition("-")[0]
    if nano_eur == 0:
        return formats.money(0, language)
    sign, tone = ("+", "more-up") if nano_eur > 0 else ("\N{MINUS SIGN}", "more-down")
    return format_html('<span class="{}">{}{}</span>', tone, sign, formats.money(abs(nano_eur), language))
