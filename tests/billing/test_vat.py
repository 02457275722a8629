"""Which VAT an invoice has, by who sells and who buys; and the numbers that it names."""

from datetime import date

import pytest

from billing.invoices.legal_numbers import is_bic, is_iban, is_vat_number, register_scheme, vat_number
from billing.invoices.vat import Category, Missing, Seller, Vat, vat_of
from billing.invoices.vat_rates import SHIPPED, Rate, percent, rate_on

DAY = date(2026, 10, 31)
FRENCH = Seller("FR", "FR44732829320")
EXEMPT = Seller("FR", is_exempt=True, exemption_text="TVA non applicable, article 293 B du CGI")

CASES = [
    (FRENCH, "FR", "", ("S", "20", "")),
    (FRENCH, "FR", "FR83552100554", ("S", "20", "")),
    (FRENCH, "MC", "", ("S", "20", "")),
    (Seller("DE", "DE123456789"), "DE", "", ("S", "19", "")),
    (Seller("FI", "FI12345678"), "FI", "", ("S", "25.5", "")),
    (Seller("EE", "EE123456789"), "EE", "", ("S", "24", "")),
    (FRENCH, "DE", "DE123456789", ("AE", "0", "VATEX-EU-AE")),
    (FRENCH, "GR", "EL123456789", ("AE", "0", "VATEX-EU-AE")),
    (FRENCH, "DE", "", Missing.BUYER_VAT_NUMBER),
    (FRENCH, "CH", "", ("G", "0", "VATEX-EU-G")),
    (FRENCH, "GB", "GB123456789", ("G", "0", "VATEX-EU-G")),
    (FRENCH, "US", "", ("G", "0", "VATEX-EU-G")),
    (FRENCH, "RE", "", Missing.OVERSEAS),
    (FRENCH, "", "", Missing.BUYER_COUNTRY),
    (Seller(""), "FR", "", Missing.SELLER_COUNTRY),
    (Seller("FR"), "FR", "", Missing.SELLER_VAT_NUMBER),
    (EXEMPT, "FR", "", ("E", "0", "VATEX-FR-FRANCHISE")),
    (EXEMPT, "DE", "DE123456789", Missing.SELLER_VAT_NUMBER),
    (Seller("FR", "FR44732829320", is_exempt=True), "FR", "", Missing.SELLER_EXEMPTION),
    (Seller("CH", "CHE123456789"), "CH", "", Missing.RATE),
]


@pytest.mark.parametrize(("seller", "country", "number", "expected"), CASES)
def test_the_vat_of_a_sale(seller: Seller, country: str, number: str, expected: object) -> None:
    found = vat_of(seller, country, number, day=DAY)
    assert (found if isinstance(found, Missing) else (found.category, found.rate_percent, found.code)) == expected
    if isinstance(found, Vat) and found.category not in (Category.STANDARD, Category.ZERO):
        assert found.text


def test_every_member_state_has_a_rate_and_an_own_one_goes_before_it() -> None:
    assert len({rate.country for rate in SHIPPED}) == 27
    assert rate_on("FI", date(2024, 8, 31)) == 2400
    assert rate_on("FI", date(2024, 9, 1)) == 2550
    own = [Rate("FR", date(2026, 1, 1), 2100), Rate("CH", date(2024, 1, 1), 810)]
    assert rate_on("FR", DAY, own) == 2100
    assert rate_on("FR", date(2025, 12, 31), own) == 2000
    assert vat_of(Seller("CH", "CHE123456789"), "CH", "", day=DAY, rates=own) == Vat(Category.STANDARD, 810)
    assert [percent(points) for points in (2000, 2550, 810, 0)] == ["20", "25.5", "8.1", "0"]


@pytest.mark.parametrize(("points", "base", "tax"), [(2000, 1, 0), (2000, 3, 1), (2100, 50, 11), (2000, -3, -1)])
def test_tax_is_rounded_to_the_cent_halves_away_from_zero(points: int, base: int, tax: int) -> None:
    assert Vat(Category.STANDARD, points).tax_cents(base) == tax


@pytest.mark.parametrize("language", ["en", "fr", "es"])
def test_an_invoice_says_in_its_language_why_there_is_no_vat(language: str) -> None:
    found = vat_of(FRENCH, "DE", "DE123456789", day=DAY, language=language)
    assert isinstance(found, Vat)
    assert "2006/112" in found.text
    assert "196" in found.text


@pytest.mark.parametrize(
    ("country", "number", "is_one"),
    [
        ("FR", "fr 83 552 100 554", True),
        ("FR", "FR8355210055", False),
        ("GR", "EL123456789", True),
        ("GR", "GR123456789", False),
        ("NL", "NL123456789B01", True),
        ("CH", "CHE-123.456.789 MWST", True),
        ("CH", "!", False),
    ],
)
def test_the_form_of_a_vat_number(country: str, number: str, is_one: object) -> None:
    assert is_vat_number(vat_number(number), country) is is_one


def test_account_numbers_and_registers() -> None:
    assert is_iban("FR7630006000011234567890189")
    assert not is_iban("FR7630006000011234567890188")
    assert not is_iban("FR763000600001123456789018")
    assert is_bic("AGRIFRPP")
    assert not is_bic("AGRIFRP")
    assert register_scheme("FR", "732 829 320") == "0002"
    assert register_scheme("FR", "73282932000074") == "0009"
    assert register_scheme("DE", "HRB 1234") == ""
