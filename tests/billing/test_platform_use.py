"""What all tenants together were charged in a month."""

from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest

from billing.models import UsageRecord
from billing.usage.platform_month import Month, platform_use
from billing.usage.statement import statement
from tests.billing.raw_ledger import RawLedger
from tests.support.ledger import House, ledger_gateway, make_house
from tests.support.people import make_key


@pytest.fixture
def house(database: None) -> House:
    return make_house()


def today() -> date:
    return datetime.now(UTC).date()


@pytest.mark.parametrize(
    ("day", "now", "expected"),
    [
        ("2026-11-05", "2026-11-21", ("2026-11-01", "2026-11-21", "2026-10-01", "2026-10-21", False)),
        ("2026-10-01", "2026-11-21", ("2026-10-01", "2026-10-31", "2026-09-01", "2026-09-30", True)),
        ("2026-03-01", "2026-03-30", ("2026-03-01", "2026-03-30", "2026-02-01", "2026-02-28", False)),
        ("2026-11-01", "2026-11-30", ("2026-11-01", "2026-11-30", "2026-10-01", "2026-10-31", False)),
    ],
)
def test_a_running_month_is_held_against_the_same_days_and_one_that_is_over_against_the_whole(
    day: str, now: str, expected: tuple[object, ...]
) -> None:
    month = Month.of(date.fromisoformat(day), today=date.fromisoformat(now))
    told = (month.first, month.last, month.before, month.before_last)
    assert (*(one.isoformat() for one in told), month.is_over) == expected


def test_a_tenant_s_line_is_what_its_own_statement_says_refunds_included(
    house: House, ledger: RawLedger, gateway_database_url: str
) -> None:
    key, _ = make_key(house.tenant)
    with ledger_gateway(gateway_database_url) as gateway:
        withheld, _kept = gateway.complete(house, key), gateway.complete(house, key)
    cost = UsageRecord.objects.get(request_id=withheld).cost_nano_eur
    ledger.connection.execute("select give_back_v1(%s, %s)", [ledger.incarnation, [withheld]])
    use = platform_use(Month.of(today(), today=today()))
    line = next(one for one in use.tenants if one.slug == house.tenant.slug)
    assert (line.cost_nano_eur, line.requests) == (cost, 2)
    assert line.cost_nano_eur == statement(house.tenant, today()).total_nano_eur
    assert use.by_model[house.model.name] == {today(): 2 * cost}


def test_what_is_given_back_after_the_month_is_counted_without_any_use_in_this_one(
    house: House, ledger: RawLedger, gateway_database_url: str, owner_database_url: str
) -> None:
    key, _ = make_key(house.tenant)
    with ledger_gateway(gateway_database_url) as gateway:
        withheld = gateway.complete(house, key)
    cost = UsageRecord.objects.get(request_id=withheld).cost_nano_eur
    last_month = datetime.combine(today().replace(day=1) - timedelta(days=1), datetime.min.time(), UTC)
    with psycopg.connect(owner_database_url, autocommit=True) as owner:
        owner.execute("update billing_usage_day set day = %s where tenant_id = %s", [last_month, house.tenant.pk])
    ledger.connection.execute("select give_back_v1(%s, %s)", [ledger.incarnation, [withheld]])
    use = platform_use(Month.of(today(), today=today()))
    line = next(one for one in use.tenants if one.slug == house.tenant.slug)
    assert (line.cost_nano_eur, line.requests) == (-cost, 0)


def test_the_platform_s_own_account_is_on_no_bill(house: House, gateway_database_url: str) -> None:
    key, _ = make_key(house.tenant)
    with ledger_gateway(gateway_database_url) as gateway:
        gateway.complete(house, key)
    type(house.tenant).objects.filter(pk=house.tenant.pk).update(is_platform=True)
    try:
        use = platform_use(Month.of(today(), today=today()))
    finally:
        type(house.tenant).objects.filter(pk=house.tenant.pk).update(is_platform=False)
    assert house.tenant.slug not in {one.slug for one in use.tenants}
    assert house.model.name not in use.by_model
