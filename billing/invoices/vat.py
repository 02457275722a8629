"""Which VAT an invoice has: a pure function of who sells and who buys. Each case names the rule that it follows.

What is sold is a service supplied by electronic means to a business, month by month. So, by directive 2006/112/EC (the
numbers are its articles), it is supplied where the customer is established (44); in another member state the customer
owes the VAT (196), which the invoice says (226, 11a); outside of the Union nothing is owed here (44, again; 59 for who
is no business). Consumers (58) are not sold to: a customer in the Union without a VAT number is asked for it, as it is
what shows that it is a business (Implementing Regulation 282/2011, article 18).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from billing.invoices.legal_numbers import EU_COUNTRIES
from billing.invoices.vat_rates import Rate, percent, rate_on

# Monaco is France for VAT (article 7 of the directive).
_PART_OF = {"MC": "FR"}
# Parts of member states where the directive does not apply (article 6) and that have a country's code of their own:
# what a seller of the mainland owes there is the state's own law.
_OVERSEAS = {"GP": "FR", "MQ": "FR", "GF": "FR", "RE": "FR", "YT": "FR", "AX": "FI"}


class Category(StrEnum):
    """UNTDID 5305, as EN 16931 uses it (BT-151)."""

    STANDARD = "S"
    ZERO = "Z"
    EXEMPT = "E"
    REVERSE_CHARGE = "AE"
    OUTSIDE_EU = "G"


class Missing(StrEnum):
    """What has to be said before anybody can say which VAT."""

    SELLER_COUNTRY = "seller_country"
    SELLER_VAT_NUMBER = "seller_vat_number"
    SELLER_EXEMPTION = "seller_exemption"
    BUYER_COUNTRY = "buyer_country"
    BUYER_VAT_NUMBER = "buyer_vat_number"
    RATE = "rate"
    OVERSEAS = "overseas"


@dataclass(frozen=True, slots=True)
class Seller:
    """Who sells. is_exempt: as a small enterprise (article 284); exemption_text: what the law wants said of it."""

    country: str
    vat_number: str = ""
    is_exempt: bool = False
    exemption_text: str = ""


@dataclass(frozen=True, slots=True)
class Vat:
    """The VAT of all lines. code: of the VATEX list (BT-121); text: what the invoice says of why none is charged."""

    category: Category
    basis_points: int
    code: str = ""
    text: str = ""

    @property
    def rate_percent(self) -> str:
        """Such as `20`."""
        return percent(self.basis_points)

    def tax_cents(self, base_cents: int) -> int:
        """The tax on a base, rounded to the cent, halves away from zero (BR-CO-17 of EN 16931)."""
        exact = abs(base_cents) * self.basis_points
        rounded = (exact + 5_000) // 10_000
        return rounded if base_cents >= 0 else -rounded


# By language: what an invoice says. A buyer's tax office reads it, so it names the articles.
_TEXTS: dict[Category, dict[str, str]] = {
    Category.REVERSE_CHARGE: {
        "en": "Reverse charge: the customer owes the VAT (directive 2006/112/EC, articles 44 and 196).",
        "fr": "Autoliquidation : la TVA est due par le preneur (directive 2006/112/CE, articles 44 et 196).",
        "es": "Inversión del sujeto pasivo: el IVA lo debe el cliente (Directiva 2006/112/CE, artículos 44 y 196).",
    },
    Category.OUTSIDE_EU: {
        "en": "Service supplied outside the European Union: no VAT is due (directive 2006/112/EC, article 44).",
        "fr": "Service fourni hors de l'Union européenne : TVA non applicable (directive 2006/112/CE, article 44).",
        "es": "Servicio prestado fuera de la Unión Europea: no sujeto al IVA (Directiva 2006/112/CE, artículo 44).",
    },
}


def vat_of(
    seller: Seller,
    buyer_country: str,
    buyer_vat_number: str,
    *,
    day: date,
    rates: Iterable[Rate] = (),
    language: str = "en",
) -> Vat | Missing:
    """The VAT of what is supplied to a buyer in the time that ends on `day` (64: then it is due); or what is missing.

    rates: the operator's own, before those that are shipped
    """
    here, there = (_PART_OF.get(country, country) for country in (seller.country, buyer_country))
    if not here:
        return Missing.SELLER_COUNTRY
    if not there:
        return Missing.BUYER_COUNTRY
    if here == there:
        return _domestic(seller, here, day, rates)
    if _OVERSEAS.get(there) == here or _OVERSEAS.get(here) == there or {here, there} <= _OVERSEAS.keys():
        return Missing.OVERSEAS
    # Who is exempt at home is so for what is supplied at home: abroad articles 44 and 196 count, and 214(1)(e) wants
    # its number.
    if not seller.vat_number:
        return Missing.SELLER_VAT_NUMBER
    if there in EU_COUNTRIES:
        if not buyer_vat_number:
            return Missing.BUYER_VAT_NUMBER
        return _not_charged(Category.REVERSE_CHARGE, "VATEX-EU-AE", language)
    return _not_charged(Category.OUTSIDE_EU, "VATEX-EU-G", language)


def _domestic(seller: Seller, country: str, day: date, rates: Iterable[Rate]) -> Vat | Missing:
    if seller.is_exempt:
        text = seller.exemption_text
        if not text:
            return Missing.SELLER_EXEMPTION
        return Vat(Category.EXEMPT, 0, "VATEX-FR-FRANCHISE" if country == "FR" else "", text)
    if not seller.vat_number:
        return Missing.SELLER_VAT_NUMBER
    rate = rate_on(country, day, rates)
    if rate is None:
        return Missing.RATE
    return Vat(Category.STANDARD if rate else Category.ZERO, rate)


def _not_charged(category: Category, code: str, language: str) -> Vat:
    texts = _TEXTS[category]
    return Vat(category, 0, code, texts.get(language, texts["en"]))
