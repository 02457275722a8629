"""Amounts as text lose nothing: what is written can be read back to the nano-euro."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.money import (
    NANO_EUR_PER_CENT,
    NotAnAmount,
    cents,
    exact_eur,
    format_eur,
    parse_eur,
    parse_typed_eur,
    typed_eur,
)

amounts = st.integers(-(10**18), 10**18)


@given(amounts)
def test_an_amount_survives_being_written_and_read(nano_eur: int) -> None:
    assert parse_eur(exact_eur(nano_eur)) == nano_eur
    assert Decimal(exact_eur(nano_eur)).scaleb(9) == nano_eur


@given(amounts, st.sampled_from(["en", "fr", "es-MX"]))
def test_what_a_form_proposes_is_read_as_the_same_amount(nano_eur: int, language: str) -> None:
    assert parse_typed_eur(typed_eur(nano_eur, language)) == nano_eur


@pytest.mark.parametrize(
    ("nano_eur", "language", "text"),
    [(99_500_000_000, "en", "99.50"), (99_500_000_000, "fr", "99,50"), (1_234_000_000, "es", "1,2340")],
)
def test_a_form_proposes_the_readers_decimals_and_nothing_that_may_be_thousands(
    nano_eur: int, language: str, text: str
) -> None:
    assert typed_eur(nano_eur, language) == text


@pytest.mark.parametrize(
    ("nano_eur", "text"),
    [(0, "0.00"), (1, "0.000000001"), (900_000_000, "0.90"), (-1_500_000_000, "-1.50"), (12_345_678_900, "12.3456789")],
)
def test_an_exact_amount_has_two_decimals_or_as_many_as_it_needs(nano_eur: int, text: str) -> None:
    assert exact_eur(nano_eur) == text


@pytest.mark.parametrize(
    ("text", "nano_eur"),
    [("12", 12 * 10**9), (" 0.9 ", 900_000_000), ("+1.50", 1_500_000_000), ("-0", 0), ("1.0000000000000", 10**9)],
)
def test_decimal_numbers_of_euros_are_read(text: str, nano_eur: int) -> None:
    assert parse_eur(text) == nano_eur


@pytest.mark.parametrize("text", ["", "1,5", "1e3", "NaN", ".5", "5.", "1 000", "0.0000000001", "١", "9" * 19])
def test_anything_else_is_refused_in_words(text: str) -> None:
    with pytest.raises(NotAnAmount, match="decimal number|finer"):
        parse_eur(text)


@pytest.mark.parametrize(
    ("text", "nano_eur"), [("12,50", 12_500_000_000), ("1 250", 1_250 * 10**9), ("0,125", 125_000_000)]
)
def test_what_people_type_is_read_with_a_comma_or_spaces(text: str, nano_eur: int) -> None:
    assert parse_typed_eur(text) == nano_eur


@pytest.mark.parametrize("text", ["1,234", "12,000", "1,234.50", "1.234,50"])
def test_what_may_be_thousands_or_decimals_is_asked_for_again(text: str) -> None:
    with pytest.raises(NotAnAmount):
        parse_typed_eur(text)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "€1,234.50"),
        ("fr", "1\u202f234,50\u00a0€"),
        ("fr-FR", "1\u202f234,50\u00a0€"),
        ("es", "1234,50\u00a0€"),
        ("xx", "€1,234.50"),
    ],
)
def test_people_read_amounts_in_their_own_notation(language: str, text: str) -> None:
    assert format_eur(1_234_500_000_000, language) == text


def test_spanish_groups_thousands_from_five_digits_on() -> None:
    assert format_eur(12_345 * 10**9, "es") == "12.345,00\u00a0€"


def test_small_and_negative_amounts_are_shown_in_full() -> None:
    assert format_eur(2_751_600) == "€0.0027516"
    assert format_eur(-(10**9), "fr") == "\u22121,00\u00a0€"


@given(amounts)
def test_cents_are_rounded_half_even(nano_eur: int) -> None:
    assert cents(nano_eur) == int(Decimal(nano_eur).scaleb(-7).to_integral_value("ROUND_HALF_EVEN"))


def test_half_a_cent_goes_to_the_even_cent() -> None:
    assert [cents(n * NANO_EUR_PER_CENT // 2) for n in (1, 3, 5, -1)] == [0, 2, 2, 0]
