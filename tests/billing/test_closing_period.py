"""Which time a closing has, and how a month is named."""

from datetime import date

import pytest

from billing.closing.period import month_named, period_of


@pytest.mark.parametrize("zone", ["UTC", "Europe/Paris", "Asia/Kolkata", "America/New_York", "Pacific/Kiritimati"])
def test_the_rate_of_vat_is_that_of_the_months_last_day_wherever_it_ends(zone: str) -> None:
    assert period_of(date(2026, 11, 1), zone).last_day(zone) == date(2026, 11, 30)


@pytest.mark.parametrize("text", ["", "2026", "2026-00", "2026-13", "9999-12", "0001-01", "20\u0662\u0666-10"])
def test_what_names_no_month_of_this_century_is_none(text: str) -> None:
    assert month_named(text) is None


def test_a_month_is_named_as_people_write_it() -> None:
    assert month_named("2026-10") == date(2026, 10, 1)
