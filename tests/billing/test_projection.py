"""What a month will have cost, in whole nano-euros."""

from datetime import UTC, datetime, timedelta

from billing.usage.projection import projected

NOW = datetime(2026, 11, 21, tzinfo=UTC)
END = datetime(2026, 12, 1, tzinfo=UTC)
EUR = 10**9


def estimate(**changes: object) -> int:
    values = {"spent": 20 * EUR, "reserved": EUR, "recent": 7 * EUR, "recent_since": NOW - timedelta(days=7)}
    return projected(**(values | {"now": NOW, "ends_at": END} | changes))  # type: ignore[arg-type]


def test_what_is_left_of_the_month_costs_what_the_last_week_did() -> None:
    assert estimate() == 20 * EUR + EUR + 10 * EUR


def test_a_month_without_recent_use_ends_where_it_stands() -> None:
    assert estimate(recent=0) == 21 * EUR


def test_a_tenant_of_two_days_is_projected_by_its_two_days() -> None:
    assert estimate(recent=2 * EUR, recent_since=NOW - timedelta(days=2)) == 31 * EUR


def test_the_first_hour_is_taken_for_a_day() -> None:
    assert estimate(spent=EUR, reserved=0, recent=EUR, recent_since=NOW - timedelta(hours=1)) == 11 * EUR


def test_a_month_that_is_over_is_what_was_spent() -> None:
    assert estimate(ends_at=NOW - timedelta(seconds=1)) == 21 * EUR


def test_a_part_of_a_nano_euro_is_rounded_down() -> None:
    assert estimate(spent=0, reserved=0, recent=1, ends_at=NOW + timedelta(days=6)) == 0
    assert estimate(spent=0, reserved=0, recent=10**18 + 1, ends_at=NOW + timedelta(days=7)) == 10**18 + 1
