"""Numbers that an invoice names: of VAT by country, of bank accounts, of registers. Pure: their form, no look-up.

Forms of VAT numbers: the Commission's list for VIES (question 11 of its frequently asked questions), Northern Ireland
(XI) included; outside of the Union any number of two letters and more is believed.
"""

import re
from typing import Final

# The member states, as ISO 3166 calls them (article 5 of directive 2006/112/EC).
EU_COUNTRIES: Final = frozenset(
    ("AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU", "LV",
     "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK")
)  # fmt: skip
_VAT_PREFIX = {"GR": "EL"}  # elsewhere it is the country's code
_VAT_FORMS: Final = {
    "AT": r"U\d{8}",
    "BE": r"[01]\d{9}",
    "BG": r"\d{9,10}",
    "CY": r"\d{8}[A-Z]",
    "CZ": r"\d{8,10}",
    "DE": r"\d{9}",
    "DK": r"\d{8}",
    "EE": r"\d{9}",
    "EL": r"\d{9}",
    "ES": r"[A-Z0-9]\d{7}[A-Z0-9]",
    "FI": r"\d{8}",
    "FR": r"[A-HJ-NP-Z0-9]{2}\d{9}",
    "HR": r"\d{11}",
    "HU": r"\d{8}",
    "IE": r"\d[A-Z0-9+*]\d{5}[A-Z]{1,2}",
    "IT": r"\d{11}",
    "LT": r"(\d{9}|\d{12})",
    "LU": r"\d{8}",
    "LV": r"\d{11}",
    "MT": r"\d{8}",
    "NL": r"[A-Z0-9+*]{10}\d{2}",
    "PL": r"\d{10}",
    "PT": r"\d{9}",
    "RO": r"\d{2,10}",
    "SE": r"\d{12}",
    "SI": r"\d{8}",
    "SK": r"\d{10}",
    "XI": r"(\d{9}|\d{12}|GD\d{3}|HA\d{3})",
}
_OTHER_VAT = re.compile(r"[A-Z0-9+*]{4,16}")
_IBAN = re.compile(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}")
# How long an IBAN of these countries is (ISO 13616); those of others are only checked by their digits.
_IBAN_LENGTHS = {
    "AT": 20, "BE": 16, "BG": 22, "CH": 21, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "EE": 20, "ES": 24, "FI": 18,
    "FR": 27, "GB": 22, "GR": 27, "HR": 21, "HU": 28, "IE": 22, "IS": 26, "IT": 27, "LI": 21, "LT": 20, "LU": 20,
    "LV": 21, "MC": 27, "MT": 31, "NL": 18, "NO": 15, "PL": 28, "PT": 25, "RO": 24, "SE": 24, "SI": 19, "SK": 24,
}  # fmt: skip
_BIC = re.compile(r"[A-Z]{4}[A-Z]{2}[A-Z0-9]{2}([A-Z0-9]{3})?")


def vat_number(text: str) -> str:
    """As it is written without blanks, points and hyphens."""
    return re.sub(r"[\s.\-]", "", text).upper()


def is_vat_number(number: str, country: str) -> bool:
    """Whether a number as `vat_number` writes it is one of that country (ISO 3166)."""
    if country not in EU_COUNTRIES:
        return bool(_OTHER_VAT.fullmatch(number))
    prefix = vat_prefix(country)
    return number.startswith(prefix) and bool(re.fullmatch(_VAT_FORMS[prefix], number[2:]))


def vat_prefix(country: str) -> str:
    """With which two letters the VAT numbers of a country begin."""
    return _VAT_PREFIX.get(country, country)


def iban(text: str) -> str:
    """As it is written without blanks."""
    return re.sub(r"\s", "", text).upper()


def is_iban(number: str) -> bool:
    """Whether its length and its check digits are right (ISO 13616, ISO 7064: 97-10)."""
    if not _IBAN.fullmatch(number) or len(number) != _IBAN_LENGTHS.get(number[:2], len(number)):
        return False
    return int("".join(str(int(character, 36)) for character in number[4:] + number[:4])) % 97 == 1


def is_bic(code: str) -> bool:
    """Whether it has the form of a BIC (ISO 9362)."""
    return bool(_BIC.fullmatch(code))


def register_scheme(country: str, number: str) -> str:
    """Which register a number is of, by ISO 6523: `0002` SIREN, `0009` SIRET; "" where the form does not say."""
    digits = re.sub(r"\s", "", number)
    if country != "FR" or not digits.isdigit():
        return ""
    return {9: "0002", 14: "0009"}.get(len(digits), "")
