"""Periods and windows: in the tenant's time zone, without gaps, also where the clocks are put forward or back."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest

from billing.limits.budgets import set_budget
from billing.models import Budget, BudgetPeriod
from billing.models import Scope as Holder
from identity.models import Tenant
from tests.billing.raw_ledger import RawLedger, request_of
from tests.support.ledger import make_house
from tests.support.people import TESTS


@pytest.fixture
def connection(owner_database_url: str) -> Any:
    with psycopg.connect(owner_database_url, autocommit=True) as connection:
        yield connection


def bounds(connection: Any, period: str, zone: str, at: str) -> tuple[str, str]:
    """The period around a UTC instant, as UTC."""
    row = connection.execute("select * from billing_period_bounds_v1(%s, %s, %s)", [period, zone, f"{at}Z"]).fetchone()
    starts, ends = (moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M") for moment in row)
    return starts, ends


@pytest.mark.parametrize(
    ("period", "at", "starts", "ends"),
    [
        ("month", "2026-03-15 12:00", "2026-02-28 23:00", "2026-03-31 22:00"),
        ("month", "2026-02-28 22:59", "2026-01-31 23:00", "2026-02-28 23:00"),
        ("month", "2026-02-28 23:00", "2026-02-28 23:00", "2026-03-31 22:00"),
        ("day", "2026-03-29 12:00", "2026-03-28 23:00", "2026-03-29 22:00"),  # a day of 23 hours
        ("day", "2026-10-25 12:00", "2026-10-24 22:00", "2026-10-25 23:00"),  # a day of 25
        ("week", "2026-03-29 21:59", "2026-03-22 23:00", "2026-03-29 22:00"),  # Monday to Sunday
        ("quarter", "2026-12-31 22:59", "2026-09-30 22:00", "2026-12-31 23:00"),
        ("year", "2026-12-31 23:00", "2026-12-31 23:00", "2027-12-31 23:00"),
    ],
)
def test_I3_a_period_is_cut_in_the_tenants_time_zone(
    connection: Any, period: str, at: str, starts: str, ends: str
) -> None:
    assert bounds(connection, period, "Europe/Paris", at) == (starts, ends)


def test_in_the_hour_that_comes_twice_a_minute_lasts_a_minute(connection: Any) -> None:
    for at in ("2026-10-25 00:30", "2026-10-25 01:30"):  # both are half past two in Paris
        assert bounds(connection, "minute", "Europe/Paris", at)[0] == at
    assert bounds(connection, "minute", "Europe/Paris", "2026-10-25 00:30")[1] == "2026-10-25 00:31"
    assert bounds(connection, "hour", "Europe/Paris", "2026-10-25 00:59") == ("2026-10-25 00:00", "2026-10-25 01:00")


@pytest.mark.parametrize(
    "zone",
    [
        "Europe/Paris",
        "America/Havana",
        "Atlantic/Azores",
        "Africa/Cairo",
        "Australia/Lord_Howe",
        "Asia/Kathmandu",
        "UTC",
    ],
)
@pytest.mark.parametrize("period", ["minute", "hour", "day", "week", "month", "quarter", "year"])
def test_I3_a_period_holds_its_instant_and_the_next_begins_where_it_ends(
    connection: Any, zone: str, period: str
) -> None:
    """Every 7 minutes around each change of the clocks; Havana's midnight comes twice, Cairo's never."""
    rows = connection.execute(
        """select at, b.starts_at, b.ends_at, following.starts_at
        from unnest(%s::timestamptz[]) around
        cross join generate_series(around - interval '26 hours', around + interval '26 hours', interval '7 minutes') at
        cross join lateral billing_period_bounds_v1(%s, %s, at) b
        cross join lateral billing_period_bounds_v1(%s, %s, b.ends_at) following""",
        [changes_of(zone), period, zone, period, zone],
    ).fetchall()
    assert rows
    for at, starts_at, ends_at, following in rows:
        assert starts_at <= at < ends_at, (at, starts_at, ends_at)
        assert following == ends_at


def changes_of(zone: str) -> list[datetime]:
    """The instants of 2026 at which the zone's clocks are put forward or back; for a zone without them, New Year."""
    tz = ZoneInfo(zone)
    hours = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hour) for hour in range(24 * 365)]
    offsets = [hour.astimezone(tz).utcoffset() for hour in hours]
    found = [hours[n] for n in range(1, len(hours)) if offsets[n] != offsets[n - 1]]
    return found or [datetime(2026, 1, 1, tzinfo=UTC)]


def test_a_period_is_opened_once_however_many_ask(ledger: RawLedger) -> None:
    house = make_house()
    key = house.key().row
    budgets = [house.budget(Holder.KEY, key.pk, 10**9, period=period) for period in Budget.Period.values]
    for _ in range(2):
        assert ledger.admit(request_of(house, key), request_of(house, key))[1].verdict == "admitted"
    for budget in budgets:
        period = BudgetPeriod.objects.get(budget_id=budget.pk)
        assert period.held_nano_eur == 4_000_000
        assert period.starts_at <= datetime.now(UTC) < period.ends_at


def test_a_tenant_that_moves_to_another_time_zone_never_has_two_periods_at_once(
    ledger: RawLedger, connection: Any
) -> None:
    house = make_house(time_zone="Pacific/Auckland")
    key = house.key().row
    budget = house.budget(Holder.KEY, key.pk, 10**9, period="day")
    ledger.admit(request_of(house, key))
    connection.execute("update billing_budget_period set ends_at = now() where budget_id = %s", [budget.pk])
    Tenant.objects.filter(pk=house.tenant.pk).update(time_zone="Pacific/Honolulu")
    ledger.admit(request_of(house, key))
    first, second = BudgetPeriod.objects.filter(budget_id=budget.pk).order_by("id")
    assert second.starts_at >= first.ends_at
    assert (first.held_nano_eur, second.held_nano_eur) == (1_000_000, 1_000_000)


def test_a_limit_changed_while_its_period_is_being_opened_is_not_lost(
    ledger: RawLedger, owner_database_url: str
) -> None:
    """The change is made but not committed when an admission opens the period: the admission waits for it."""
    house = make_house()
    key = house.key().row
    budget = set_budget(on=house.tenant, period="month", limit_nano_eur=10**9, actor=TESTS)
    request = request_of(house, key)
    verdicts: list[str] = []
    with psycopg.connect(owner_database_url) as changing:
        changing.execute("select set_budget_limit_v1(%s, 5)", [budget.pk])
        admission = threading.Thread(target=lambda: verdicts.append(ledger.admit(request)[0].verdict))
        admission.start()
        admission.join(0.3)
        assert not verdicts
        changing.commit()
        admission.join(10)
    assert verdicts == ["budget"]
