"""A limit or a budget in words, from the name that a refusal keeps: `tokens/minute/key`, `budget/month/tenant`."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

_WORDS: dict[tuple[str, str], Promise] = {
    ("budget", "day"): _("budget a day"),
    ("budget", "week"): _("budget a week"),
    ("budget", "month"): _("budget a month"),
    ("budget", "quarter"): _("budget a quarter"),
    ("budget", "year"): _("budget a year"),
    ("budget", "once"): _("budget in all"),
    ("requests", "minute"): _("requests a minute"),
    ("requests", "hour"): _("requests an hour"),
    ("requests", "day"): _("requests a day"),
    ("requests", "month"): _("requests a month"),
    ("tokens", "minute"): _("tokens a minute"),
    ("tokens", "hour"): _("tokens an hour"),
    ("tokens", "day"): _("tokens a day"),
    ("tokens", "month"): _("tokens a month"),
    ("output_tokens", "minute"): _("output tokens a minute"),
    ("output_tokens", "hour"): _("output tokens an hour"),
    ("output_tokens", "day"): _("output tokens a day"),
    ("output_tokens", "month"): _("output tokens a month"),
    ("concurrent", "none"): _("requests at once"),
}
_SCOPES: dict[str, Promise] = {
    "tenant": _("of the organisation"),
    "project": _("of the project"),
    "key": _("of the key"),
}


def words_of_limit(name: str) -> str:
    """Such as "tokens a minute, of the key"; "" for none, and a name of a later release as it is."""
    what, window, scope = (*name.split("/"), "", "", "")[:3]
    words = _WORDS.get((what, window))
    return f"{words}, {_SCOPES[scope]}" if words and scope in _SCOPES else name


def words_of_what(what: str, window: str) -> str:
    """Such as "tokens a minute"."""
    return str(_WORDS.get((what, window), f"{what} {window}"))


def words_of_scope(scope: str) -> str:
    """Such as "of the key"."""
    return str(_SCOPES.get(scope, scope))
