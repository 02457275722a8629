"""A notice in a reader's words: language, time zone and the way in which the reader's country writes figures."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from babel import dates, numbers
from django.utils import translation
from django.utils.translation import gettext as _

from identity.models import Notice, Role
from identity.notice_kinds import KINDS

_LOCALES = {"en": "en_GB", "fr": "fr_FR", "es": "es_ES"}
_NANO_EXPONENT = -9
_CENT = Decimal("0.01")
# Below one cent two more digits, lest a price of a call reads as nothing.
_FINER = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class Worded:
    """What a reader reads; `path` is where it leads on our pages, empty for nowhere."""

    title: str
    text: str
    path: str


class _Count(int):
    """A number that decides between singular and plural and is written as the reader's country writes it."""

    locale: str

    def __str__(self) -> str:
        return numbers.format_decimal(int(self), locale=self.locale)


class _Unknown(int):
    """Stands for what an older release did not store: reads as a dash, counts as many."""

    def __str__(self) -> str:
        return "–"


class _Values(dict[str, Any]):
    """What the wording is filled with."""

    def __missing__(self, name: str) -> _Unknown:
        return _Unknown(2)


def word(notice: Notice, *, language: str, time_zone: str) -> Worded:
    """The notice for a reader of `language`, with moments in `time_zone`. Reads the notice's tenant."""
    kind = KINDS.get(notice.kind)
    with translation.override(language):
        if kind is None:  # a later release made it
            return Worded(_("A notice that this release cannot show"), "", "")
        values = _values(notice.context, language, ZoneInfo(time_zone))
        return Worded(kind.title % values, kind.text % values, _path(kind.link, notice))


def money(nano_eur: int, language: str) -> str:
    """An amount as people write it: cents, rounded half-even; below one cent four digits."""
    exact = Decimal(nano_eur).scaleb(_NANO_EXPONENT)
    digits = _FINER if 0 < abs(exact) < _CENT else _CENT
    rounded = exact.quantize(digits, ROUND_HALF_EVEN)
    return numbers.format_currency(rounded, "EUR", locale=_locale(language), decimal_quantization=False)


def moment(when: datetime, language: str, zone: ZoneInfo) -> str:
    """A moment with its time zone's name: nobody has to guess whose midnight is meant."""
    local = when.astimezone(zone)
    return f"{dates.format_date(local, 'long', locale=_locale(language))}, {local:%H:%M} ({zone.key})"


def _values(context: Mapping[str, Any], language: str, zone: ZoneInfo) -> _Values:
    return _Values({name: _shown(name, value, language, zone) for name, value in context.items()})


def _shown(name: str, value: Any, language: str, zone: ZoneInfo) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        if name.endswith("_nano_eur"):
            return money(value, language)
        count = _Count(value)
        count.locale = _locale(language)
        return count
    try:
        if name == "replacement" and not value:
            return _("another model")
        if name == "role":
            return Role(value).label
        if name == "at" or name.endswith("_at"):
            return moment(datetime.fromisoformat(value), language, zone)
        if name.endswith("_on"):
            return dates.format_date(date.fromisoformat(value), "long", locale=_locale(language))
    except (TypeError, ValueError):
        return str(value)  # a text where a moment was meant still says something
    return str(value)


def _path(link: str, notice: Notice) -> str:
    """The page's path; empty where the context lacks a part of it."""
    parts = {name: quote(str(value), safe="/:@") for name, value in notice.context.items()}
    if notice.tenant:
        parts["tenant"] = notice.tenant.slug
    try:
        return link.format_map(parts)
    except KeyError:
        return ""


def _locale(language: str) -> str:
    return _LOCALES.get(language.split("-")[0], _LOCALES["en"])
