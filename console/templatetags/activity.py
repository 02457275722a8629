"""Tags of the pages about requests and usage."""

from decimal import Decimal

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language

from billing.checks.ledger_checks import last_check
from console import formats
from console.limit_words import words_of_scope, words_of_what

register = template.Library()


@register.simple_tag
def tone(colour: str, word: object) -> SafeString:
    """A word in a pill of that tone: never colour alone."""
    return format_html(
        '<span class="status status-{}"><span class="status-dot" aria-hidden="true"></span>{}</span>', colour, word
    )


@register.simple_tag
def limit_words(what: str, window: str, scope: str) -> str:
    """A limit or a budget, such as "Tokens a minute of the key"."""
    words = f"{words_of_what(what, window)} {words_of_scope(scope)}"
    return words[:1].upper() + words[1:]


@register.filter
def change(now: int, before: int) -> str:
    """How much more or less than before, such as "+12 %"; "" where there was nothing."""
    return formats.change(now, before, get_language() or "en")


@register.filter
def energy(kwh: Decimal) -> str:
    """Such as "1.2 kWh"."""
    return formats.energy(kwh, get_language() or "en")


@register.filter
def mass(grams: Decimal) -> str:
    """Such as "62 g"."""
    return formats.mass(grams, get_language() or "en")


@register.inclusion_tag("components/ledger_check.html")
def ledger_check() -> dict[str, object]:
    """When the whole ledger was added up again, and whether it agreed."""
    return {"check": last_check()}
