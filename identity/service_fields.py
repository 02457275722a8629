"""What the operator may say of the installation: each field's one form, and what is refused."""

import re
from collections.abc import Callable, Collection
from typing import TypedDict
from urllib.parse import urlsplit

from babel import Locale
from django.conf import settings
from django.utils.translation import gettext as _

from identity.errors import Invalid
from identity.models import Service
from identity.people import clean_email
from identity.wording import clean_name, clean_text

NAME_LENGTH_MAX = 60  # characters: it stands above the navigation
ADDRESS_LENGTH_MAX = 500
# A usage record is asked for when a year's bills are compared with the year before; the longest that a court may ask
# for it is ten years (Code de commerce L123-22).
USAGE_MONTHS_MIN, USAGE_MONTHS_MAX = 13, 120
GRAMS_CO2E_MAX = 2_000  # of a kWh: the dirtiest grids are at about 1,000
# Regions of ISO 3166 that no company has its seat in: groups of countries, and what stands for an unknown one.
_NO_COUNTRIES = frozenset({"EU", "EZ", "QO", "UN", "XA", "XB", "ZZ"})
# A country and up to thirteen letters or digits, as in the directive on VAT (2006/112, article 215) and outside of it.
_VAT_NUMBER = re.compile(r"[A-Z]{2}[0-9A-Z+*]{2,13}")


class ServiceChanges(TypedDict, total=False):
    """Fields of `Service` that are to change. An empty text takes away what was said; `trade` stays once it is said."""

    name: str
    support_email: str
    support_phone: str
    support_url: str
    trade: str
    legal_name: str
    registration_number: str
    vat_number: str
    postal_address: str
    country: str
    languages: Collection[str]
    default_language: str
    usage_months: int | None
    grams_co2e_per_kwh: int | None


def country_codes() -> list[str]:
    """ISO 3166 codes of the countries."""
    known = map(str, Locale("en").territories)
    return sorted(code for code in known if len(code) == 2 and code.isalpha() and code not in _NO_COUNTRIES)


def cleaned(changes: ServiceChanges) -> dict[str, object]:
    """The changes in their one form, field by field. Raises `Invalid`."""
    texts = {field: text(str(changes[field])) for field, text in _TEXTS.items() if field in changes}  # type: ignore[literal-required]
    found: dict[str, object] = {**texts}
    if "languages" in changes:
        found["languages"] = _languages(changes["languages"])
    if "usage_months" in changes:
        found["usage_months"] = _usage_months(changes["usage_months"])
    if "grams_co2e_per_kwh" in changes:
        found["grams_co2e_per_kwh"] = _grams(changes["grams_co2e_per_kwh"])
    return found


def _named(field: str, length_max: int) -> Callable[[str], str]:
    return lambda text: clean_name(text, field, length_max) if text.strip() else ""


def _support_email(text: str) -> str:
    try:
        return clean_email(text) if text.strip() else ""
    except Invalid as error:
        raise Invalid("support_email", error.message) from None


def _support_url(text: str) -> str:
    url = clean_text(text, "support_url", ADDRESS_LENGTH_MAX)
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if url and (parts.scheme not in ("https", "http") or not parts.hostname or "@" in parts.netloc or " " in url):
        raise Invalid("support_url", _("must be an address that begins with https://"))
    return url


def _vat_number(text: str) -> str:
    number = "".join(text.split()).replace(".", "").replace("-", "").upper()
    if number and not _VAT_NUMBER.fullmatch(number):
        raise Invalid("vat_number", _("must begin with a country's two letters, such as FR32123456789"))
    return number


def _country(text: str) -> str:
    code = text.strip().upper()
    if code and code not in country_codes():
        raise Invalid("country", _("is no country's code"))
    return code


def _trade(text: str) -> str:
    if text not in Service.Trade.values:
        raise Invalid("trade", _("must be seller or chargeback"))
    return text


def _languages(codes: Collection[str]) -> list[str]:
    """In the order of the settings."""
    known = [code for code, _name in settings.LANGUAGES]
    if not codes or not set(codes) <= set(known):
        raise Invalid("languages", _("must be one or more of those that the pages exist in"))
    return [code for code in known if code in codes]


def _usage_months(months: int | None) -> int | None:
    if months is not None and not USAGE_MONTHS_MIN <= months <= USAGE_MONTHS_MAX:
        bounds = {"least": USAGE_MONTHS_MIN, "most": USAGE_MONTHS_MAX}
        raise Invalid("usage_months", _("must be from %(least)d to %(most)d") % bounds)
    return months


def _grams(grams: int | None) -> int | None:
    if grams is not None and not 0 <= grams <= GRAMS_CO2E_MAX:
        raise Invalid(
            "grams_co2e_per_kwh", _("must be from %(least)d to %(most)d") % {"least": 0, "most": GRAMS_CO2E_MAX}
        )
    return grams


_TEXTS: dict[str, Callable[[str], str]] = {
    "name": _named("name", NAME_LENGTH_MAX),
    "support_email": _support_email,
    "support_phone": _named("support_phone", 100),
    "support_url": _support_url,
    "trade": _trade,
    "legal_name": _named("legal_name", 200),
    "registration_number": _named("registration_number", 64),
    "vat_number": _vat_number,
    "postal_address": lambda text: clean_text(text, "postal_address", 500),
    "country": _country,
    "default_language": str,
}
