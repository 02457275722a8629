"""How a tier's limits are said, and why a model is seen or cannot be called."""

from collections.abc import Mapping
from typing import Any

from django import template
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from billing.tenants.changes import LimitChange
from console import formats
from console.limit_words import words_of_what
from gateway.pools.sight import Hindrance, Reason

register = template.Library()

_REASONS: dict[str, Promise] = {
    Reason.EVERYBODY: _("everybody sees it"),
    Reason.TIER: _("its tier"),
    Reason.TENANT: _("the organisation itself"),
    Reason.AGREEMENT: _("what is agreed"),
}
_HINDRANCES: dict[str, Promise] = {
    Hindrance.NO_ENGINE: _("no engine is ready"),
    Hindrance.NO_PRICE: _("it has no price on this list"),
    Hindrance.ENDED: _("it has ended"),
}


@register.simple_tag
def tier_limit(limit: Mapping[str, Any]) -> SafeString:
    """Such as "1,000 requests a minute"."""
    language = (get_language() or "en").partition("-")[0]
    amount = formats.count(int(limit["amount"]), language)
    return format_html("{} {}", amount, words_of_what(str(limit["what"]), str(limit["window"])))


@register.simple_tag
def limit_kind(limit: LimitChange) -> str:
    """Such as "requests a minute"."""
    return words_of_what(limit.what, limit.window)


@register.simple_tag
def seen_because(reason: str, of_tier: object = None) -> str:
    """Why a model is seen; `of_tier`: on the page of the tier itself."""
    return str(_("this tier")) if of_tier and reason == Reason.TIER else str(_REASONS[reason])


@register.simple_tag
def hindered_by(hindrance: str) -> str:
    """Why it cannot be called."""
    return str(_HINDRANCES[hindrance])
