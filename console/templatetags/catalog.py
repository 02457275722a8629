"""Filters for models, budgets and limits: words, languages, meters and lives in the reader's language."""

from collections.abc import Mapping
from decimal import Decimal

from babel.numbers import format_decimal
from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language, gettext

from billing.limits.places import Source
from billing.limits.standing import BudgetStanding, LimitStanding
from console import catalog_words
from console.limit_words import words_of_what
from identity.models import Person

register = template.Library()
register.filter("catalog_word", catalog_words.word_of)
register.filter("meter_word", catalog_words.meter_word)
register.filter("short_unit_of", catalog_words.short_unit_of)
register.filter("language_name", catalog_words.language_name)
register.filter("country_name", catalog_words.country_name)


@register.filter
def budget_words(budget: BudgetStanding) -> str:
    """Such as "budget a month"; or that it is the prepaid credit."""
    if budget.source == Source.CREDIT:
        return gettext("prepaid credit")
    return words_of_what("budget", budget.period)


@register.filter
def of_budget(answering: Mapping[int, Person], budget_id: int) -> Person | None:
    """Who answers for the budget."""
    return answering.get(budget_id)


@register.filter
def limit_words(limit: LimitStanding) -> str:
    """Such as "tokens a minute"."""
    return words_of_what(limit.what, limit.window)


@register.filter
def pace(value: float | Decimal | None) -> str:
    """A figure with one digit after the point where it is below 100; a dash for None."""
    if value is None:
        return "–"
    language = (get_language() or "en").partition("-")[0]
    return format_decimal(value, "#,##0" if value >= 100 else "0.#", locale=language)


@register.filter
def whole(value: float | None) -> int | None:
    """Rounded, for what is counted in whole milliseconds."""
    return None if value is None else round(value)


@register.simple_tag
def life(stage: str) -> SafeString:
    """Where a model stands, as dot and word."""
    return format_html(
        '<span class="status status-{}"><span class="status-dot" aria-hidden="true"></span>{}</span>',
        catalog_words.life_tone(stage),
        catalog_words.life_word(stage),
    )
