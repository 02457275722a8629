"""Figures as people read them: cents on screen, everything on hover, in their language."""

import pytest

from console import formats

NBSP, THIN = "\u00a0", "\u202f"


@pytest.mark.parametrize(
    ("nano_eur", "shown"),
    [
        (0, "€0.00"),
        (10**9, "€1.00"),
        (1_234_500_000_000, "€1,234.50"),
        (10_000_000, "€0.01"),
        (9_999_999, "€0.0100"),
        (4_217_395, "€0.0042"),
        (49_999, "<€0.0001"),
        (1, "<€0.0001"),
        (-2_500_000_000, "−€2.50"),
        (1_005_000_000, "€1.00"),  # half to even, not up
        (1_015_000_000, "€1.02"),
    ],
)
def test_money_is_rounded_half_even_to_cents_and_keeps_four_digits_below_one(nano_eur: int, shown: str) -> None:
    assert formats.money(nano_eur, "en") == shown


@pytest.mark.parametrize(
    ("nano_eur", "exact"),
    [(0, "€0.00"), (1, "€0.000000001"), (4_217_395, "€0.004217395"), (1_234_500_000_000, "€1,234.50")],
)
def test_exact_money_loses_nothing(nano_eur: int, exact: str) -> None:
    assert formats.exact_money(nano_eur, "en") == exact


def test_figures_follow_the_reader_s_language() -> None:
    assert formats.money(1_234_500_000_000, "fr") == f"1{THIN}234,50{NBSP}€"
    assert formats.money(4_217_395, "es") == f"0,0042{NBSP}€"
    assert formats.exact_money(1, "fr") == f"0,000000001{NBSP}€"
    assert formats.count(1_234_567, "fr") == f"1{THIN}234{THIN}567"
    assert formats.ago(7_200, "es") == "hace 2 horas"
    assert formats.ago(-172_800, "fr") == "dans 2 jours"


@pytest.mark.parametrize(
    ("milliseconds", "shown"), [(840, "840 ms"), (1_240, "1.2 s"), (59_999, "60.0 s"), (200_000, "3 min 20 s")]
)
def test_durations_have_the_unit_that_fits(milliseconds: int, shown: str) -> None:
    assert formats.duration(milliseconds, "en").replace(NBSP, " ") == shown


def test_a_share_of_nothing_is_nothing() -> None:
    assert formats.share(0, 0, "en") == "0%"
    assert formats.share(3, 4, "en") == "75%"


@pytest.mark.parametrize(
    ("percent", "language", "shown"),
    [(100.0, "en", "100 %"), (99.999, "en", "99.99 %"), (99.9, "fr", "99,90 %"), (0.0, "es", "0,00 %")],
)
def test_a_fine_share_is_never_rounded_up(percent: float, language: str, shown: str) -> None:
    assert formats.fine_share(percent, language) == shown


def test_a_share_of_next_to_nothing_is_not_nothing() -> None:
    assert formats.share(1, 1_000, "en") == "<1%"
    assert formats.share(1, 1_000, "fr") == f"<1{NBSP}%"
    assert formats.share(1, 100, "en") == "1%"
