"""Tags and filters of the pages: figures, times, states, icons. They word and dress; nothing is decided here."""

import json
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language, gettext

from console import formats
from console.catalog_words import country_name
from console.states import tone_of, word_of

register = template.Library()
_SPRITE = Path(__file__).resolve().parents[2] / "static/beffroi/icons.svg"


def _language() -> str:
    return (get_language() or "en").partition("-")[0]


@register.filter
def as_json(data: object) -> str:
    """For an attribute that a script reads."""
    return json.dumps(data, separators=(",", ":"))


@register.filter
def money(nano_eur: int | None) -> SafeString:
    """The amount, rounded for the eye, exact on hover; nothing for None."""
    if nano_eur is None:
        return SafeString("–")
    shown, exact = formats.money(nano_eur, _language()), formats.exact_money(nano_eur, _language())
    return format_html('<span class="figure" title="{}">{}</span>', exact, shown)


@register.filter
def plain_money(nano_eur: int) -> str:
    """The amount as text alone, for sentences and attributes."""
    return formats.money(nano_eur, _language())


@register.filter
def count(number: int | None) -> str:
    """A whole number with its separators; a dash for None."""
    return "–" if number is None else formats.count(number, _language())


@register.filter
def short_count(number: int | None) -> SafeString:
    """A large number made short, exact on hover."""
    if number is None:
        return SafeString("–")
    shown, exact = formats.short_count(number, _language()), formats.count(number, _language())
    return format_html('<span class="figure" title="{}">{}</span>', exact, shown)


@register.filter
def country(code: str) -> str:
    """A country's name in the reader's language."""
    return country_name(code)


@register.filter
def duration(milliseconds: int | None) -> str:
    """Milliseconds in words; a dash for None."""
    return "–" if milliseconds is None else formats.duration(milliseconds, _language())


@register.filter
def ago(when: datetime | None) -> SafeString:
    """How long ago (or until), with the exact time on hover; "never" for None."""
    if when is None:
        return SafeString(gettext("never"))
    seconds = int((timezone.now() - when).total_seconds())
    shown = formats.ago(seconds, _language()) if seconds else gettext("just now")
    return _time(when, shown, formats.moment(timezone.localtime(when), _language()))


@register.filter
def moment(when: datetime | None) -> SafeString:
    """The exact time in the tenant's zone; a dash for None."""
    if when is None:
        return SafeString("–")
    text = formats.moment(timezone.localtime(when), _language())
    return _time(when, text, text)


@register.filter
def day(when: date | None) -> SafeString:
    """The day alone, of an aware time in the reader's zone; a dash for None."""
    if when is None:
        return SafeString("–")
    text = plain_day(when)
    return _time(when, text, text)


@register.filter
def plain_day(when: date) -> str:
    """The day as text alone, for sentences and attributes."""
    return formats.day(timezone.localtime(when).date() if isinstance(when, datetime) else when, _language())


@register.filter
def month(when: date) -> str:
    """Month and year, for headings and choices."""
    return formats.month(when, _language())


def _time(when: datetime | date, shown: str, exact: str) -> SafeString:
    return format_html('<time datetime="{}" title="{}">{}</time>', when.isoformat(), exact, shown)


@register.simple_tag
def icon(name: str, css_class: str = "") -> SafeString:
    """One of static/beffroi/icons.svg, for the eye only: the word beside it, or the control's label, says it."""
    return format_html(
        '<svg class="icon {}" width="20" height="20" viewBox="0 0 24 24" aria-hidden="true" focusable="false">{}</svg>',
        css_class,
        _drawing(name),
    )


@lru_cache(maxsize=128)
def _drawing(name: str) -> SafeString:
    _, found, rest = _SPRITE.read_text(encoding="utf-8").partition(f'<g id="{name}">')
    if not found:
        raise template.TemplateSyntaxError(f"there is no icon {name!r}")
    return mark_safe(rest.partition("</g>")[0])  # noqa: S308  # our own file


@register.simple_tag
def status(state: str, word: str = "") -> SafeString:
    """A state as icon, word and colour: never colour alone."""
    tone = tone_of(state)
    return format_html(
        '<span class="status status-{}"><span class="status-dot" aria-hidden="true"></span>{}</span>',
        tone,
        word or word_of(state),
    )


@register.simple_tag
def bar(part: int | None, whole: int | None, label: str = "") -> SafeString:
    """How much of the whole is used; warns from 80 %, alarms when full. `label` is for those who do not see it."""
    part, whole = part or 0, whole or 0
    tenths = min(1000, part * 1000 // whole) if whole else 0
    tone = "full" if whole and part >= whole else "high" if tenths >= 800 else "low"
    return format_html(
        '<progress class="bar bar-{}" max="1000" value="{}" aria-label="{}">{}</progress>',
        tone,
        tenths,
        label or gettext("used"),
        formats.share(part, whole, _language()),
    )


@register.filter
def share(part: int | None, whole: int | None) -> str:
    """`part` of `whole` in percent."""
    return formats.share(part or 0, whole or 0, _language())


@register.simple_tag(takes_context=True)
def with_query(context: template.RequestContext, **changes: Any) -> str:
    """The present address's query with some members changed; one that becomes empty goes."""
    query = context["request"].GET.copy()
    for name, value in changes.items():
        query[name] = str(value)
        if value in (None, ""):
            del query[name]
    return f"?{query.urlencode()}"
