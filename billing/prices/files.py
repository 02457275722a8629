"""A price list as a spreadsheet has it: a model, mode and day a line, with a column a meter.

The heading names `model`, and may name `mode` (standard where it is empty), `valid_from`, any meters, and
`audio_by_started_minute` (`yes` or empty). Prices are in EUR per million units; an empty cell is a meter without a
price, `valid_from` a day (from its midnight), an instant of ISO 8601, or empty: from now. What `price_rows` writes,
`read_price_wishes` reads, and finds nothing to change in it.
"""

from collections.abc import Iterator
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _

from billing.models import RateCard
from billing.models.prices import Mode
from billing.money import NotAnAmount, exact_eur, parse_typed_eur
from billing.prices.changes import WISHES_MAX, PriceWish
from billing.prices.listed import versions_of
from billing.pricing import METERS
from billing.tables import TableLine, read_table
from identity.errors import Invalid

REQUIRED = ("model",)
BY_MINUTE = "audio_by_started_minute"
OPTIONAL = ("mode", "valid_from", *METERS, BY_MINUTE)
_YES, _NO = ("yes", "true", "1"), ("", "no", "false", "0")


def price_rows(card: RateCard) -> Iterator[tuple[str, ...]]:
    """All prices of the list, those of the past and the scheduled ones included, in the order of the columns."""
    for version in versions_of(card).order_by("model__name", "mode", "valid_from"):
        prices = {price.meter: exact_eur(price.nano_eur_per_million) for price in version.prices.all()}
        when = version.valid_from.isoformat()
        by_minute = "yes" if version.audio_by_started_minute else ""
        yield (version.model.name, version.mode, when, *(prices.get(meter, "") for meter in METERS), by_minute)


def read_price_wishes(text: str, *, zone: ZoneInfo) -> list[PriceWish]:
    """The prices in the text; days begin in `zone`. Raises `Invalid` for what is no such table and for what is no
    price, mode or time; its message continues "The table ...".
    """
    lines = read_table(text, required=REQUIRED, optional=OPTIONAL, most=WISHES_MAX)
    return [_wish(line, zone) for line in lines]


def _wish(line: TableLine, zone: ZoneInfo) -> PriceWish:
    given = line.cells
    prices = {meter: _amount(line, meter) for meter in METERS if given.get(meter)}
    mode = given.get("mode") or Mode.STANDARD.value
    return PriceWish(
        given["model"],
        prices,
        mode=mode,
        valid_from=_instant(line, zone),
        line=line.number,
        audio_by_started_minute=_is_yes(line),
    )


def _is_yes(line: TableLine) -> bool:
    text = line.cells.get(BY_MINUTE, "").lower()
    if text not in (*_YES, *_NO):
        words = {"column": BY_MINUTE, "number": line.number}
        raise Invalid("file", _("has neither yes nor nothing in column %(column)s of line %(number)s") % words)
    return text in _YES


def _amount(line: TableLine, meter: str) -> int:
    try:
        return parse_typed_eur(line.cells[meter])
    except NotAnAmount:
        words = {"column": meter, "number": line.number}
        raise Invalid("file", _("has no amount in euros in column %(column)s of line %(number)s") % words) from None


def _instant(line: TableLine, zone: ZoneInfo) -> datetime | None:
    text = line.cells.get("valid_from", "")
    if not text:
        return None
    try:
        if len(text) == len("2026-01-01"):
            return datetime.combine(date.fromisoformat(text), time(), zone)
        at = datetime.fromisoformat(text)
        return at.replace(tzinfo=zone) if at.tzinfo is None else at
    except ValueError:
        words = _("has no day such as 2027-01-01 in column valid_from of line %(number)s")
        raise Invalid("file", words % {"number": line.number}) from None
