"""Reads of usage: what they find, and that they find it by an index."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg
import pytest
from django.db import connection, transaction
from django.db.models import QuerySet

from billing.models import Refusal, RefusalCount
from billing.pricing import Quantities
from billing.usage import records as usage
from billing.usage.records import Filters, Grouping, Interval, Reader, lowest_request_id, records_page, sums
from gateway.relay.ids import new_request_id
from tests.support.ledger import House, LedgerGateway, ledger_gateway, make_house


@pytest.fixture
def house(database: None) -> House:
    return make_house()


@pytest.fixture
def gateway(database: None, gateway_database_url: str) -> Iterator[LedgerGateway]:
    with ledger_gateway(gateway_database_url) as gateway:
        yield gateway


def plan_of(rows: QuerySet[Any]) -> dict[str, Any]:
    """The plan for many rows: with the ways that only few rows excuse switched off."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("set local enable_seqscan = off; set local enable_bitmapscan = off; set local enable_sort = off")
        query, parameters = rows.query.sql_with_params()
        cursor.execute(f"explain (format json) {query}", parameters)
        plan: dict[str, Any] = cursor.fetchone()[0][0]["Plan"]
    return plan


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", []):
        yield from nodes(inner)


@pytest.mark.parametrize("key_id", [None, 10**12])
def test_a_page_of_records_is_read_from_an_index_in_its_order(database: None, key_id: int | None) -> None:
    now = datetime.now(UTC)
    filters = Filters(since=now - timedelta(days=3), until=now)
    rows = usage.records_found(Reader(10**12, key_id), filters).filter(request_id__lt=new_request_id())
    plan = list(nodes(plan_of(rows.order_by("-request_id")[:101])))

    assert not [node for node in plan if node["Node Type"] in ("Sort", "Incremental Sort", "Seq Scan")]
    scans = [node for node in plan if "Index Cond" in node]
    assert scans
    column = "tenant_id" if key_id is None else "key_id"
    for scan in scans:
        assert f"{column} = " in scan["Index Cond"]
        assert "request_id <" in scan["Index Cond"]
    # Three days lie in one month or two, and the partition for what fits nowhere: the others are not even opened.
    assert len(scans) <= 3


def test_what_did_not_complete_has_an_index_of_its_own_in_every_partition(
    database: None, owner_database_url: str
) -> None:
    rows = usage.records_found(Reader(10**12), Filters(status="engine_died")).order_by("-request_id")[:101]
    query, parameters = rows.query.sql_with_params()
    with psycopg.connect(owner_database_url) as owner:
        owner.execute("drop index usage_record_by_tenant; set local enable_seqscan = off")  # empty, both are as good
        [[plans]] = owner.execute(f"explain (format json) {query}", parameters).fetchall()
        owner.rollback()
        [[ours]] = owner.execute(
            "select array_agg(relname::text) from pg_inherits join pg_class on oid = inhrelid"
            " where inhparent = 'usage_record_not_completed'::regclass"
        ).fetchall()
    used = {node["Index Name"] for node in nodes(plans[0]["Plan"]) if "Index Name" in node}
    assert used
    assert used <= set(ours)


def test_one_request_is_found_by_its_id_alone(database: None) -> None:
    rows = usage.records_found(Reader(1), Filters(request_id=new_request_id())).order_by("-request_id")[:2]
    scans = [node for node in nodes(plan_of(rows)) if "Index Cond" in node]
    assert len(scans) == 1
    assert "request_id = " in scans[0]["Index Cond"]


def test_sums_and_refusals_are_read_by_tenant_and_time(database: None) -> None:
    now = datetime.now(UTC)
    filters = Filters(since=now - timedelta(days=3), until=now)
    hours = plan_of(usage.hours_found(Reader(1), filters))
    assert "tenant_id = 1" in hours["Index Cond"]
    assert "hour >=" in hours["Index Cond"]
    refusals = plan_of(
        usage._narrowed(Refusal.objects.all(), Reader(1), filters, time="at").order_by("-at", "-request_id")[:9]
    )
    scan = next(node for node in nodes(refusals) if "Index Cond" in node)
    assert "tenant_id = 1" in scan["Index Cond"]


def test_refusals_are_counted_from_the_readers_own_rows(database: None) -> None:
    now = datetime.now(UTC)
    filters = Filters(since=now - timedelta(days=3), until=now)
    counts = plan_of(usage._narrowed(RefusalCount.objects.all(), Reader(1, 2), filters, time="minute"))
    assert counts["Index Cond"].startswith("((tenant_id = 1) AND (minute >=")
    assert "key_id = 2" in counts["Index Cond"]


def test_a_request_id_names_its_millisecond(database: None) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    made = new_request_id()
    assert lowest_request_id(before) <= made < lowest_request_id(before + timedelta(seconds=2))
    assert lowest_request_id(datetime(1970, 1, 1, tzinfo=UTC)) == UUID(int=0)


def test_a_price_of_its_own_is_shown_for_each_line(house: House, gateway: LedgerGateway) -> None:
    gateway.complete(house, house.key().row, Quantities(input=7, cached=3, output=2, reasoning=1))
    page = records_page(Reader(house.tenant.pk), Filters(), size=10)
    [record] = page.records
    lines = usage.meter_lines(record, page.prices[record.price_version_id])
    assert [(line.meter, line.quantity, line.price) for line in lines] == [
        ("input", 7, 150_000_000),
        ("cached", 3, 50_000_000),
        ("output", 2, 600_000_000),
        ("reasoning", 1, 600_000_000),
    ]
    assert sum(line.amount for line in lines) == record.cost_nano_eur
    assert page.next is None


def test_days_begin_at_midnight_of_the_time_zone(house: House, owner_database_url: str) -> None:
    # In Paris the 29th of March 2026 had 23 hours: it began at 23:00 and ended at 22:00 UTC.
    key = house.key().row
    hours = ["2026-03-28T22:00Z", "2026-03-28T23:00Z", "2026-03-29T21:00Z", "2026-03-29T22:00Z"]
    with psycopg.connect(owner_database_url, autocommit=True) as owner:
        for requests, hour in enumerate(hours, start=1):
            owner.execute(
                "insert into billing_usage_hour values (%s, %s, %s, %s, %s, 'standard', %s, 0,"
                " 0, 0, 0, 0, 0, 0, 0, 0, 0)",
                [hour, house.tenant.pk, house.project.pk, key.pk, house.model.pk, requests],
            )
    filters = Filters(since=datetime(2026, 3, 1, tzinfo=UTC), until=datetime(2026, 4, 1, tzinfo=UTC))

    def per_day(zone: str) -> dict[str, int]:
        found = sums(Reader(house.tenant.pk), filters, by=[], interval=Interval.DAY, time_zone=zone)
        return {row.starts_at.isoformat(): row.requests for row in found if row.starts_at}

    assert per_day("Europe/Paris") == {
        "2026-03-28T00:00:00+01:00": 1,
        "2026-03-29T00:00:00+01:00": 2 + 3,
        "2026-03-30T00:00:00+02:00": 4,
    }
    assert per_day("UTC") == {"2026-03-28T00:00:00+00:00": 1 + 2, "2026-03-29T00:00:00+00:00": 3 + 4}


def test_the_time_of_sums_is_rounded_to_whole_hours(house: House, gateway: LedgerGateway) -> None:
    gateway.complete(house, house.key().row)
    now = datetime.now(ZoneInfo("Asia/Kolkata"))

    def requests(since: datetime, until: datetime) -> int:
        filters = Filters(since=since, until=until)
        found = sums(Reader(house.tenant.pk), filters, by=[], interval=Interval.ALL, time_zone="UTC")
        return sum(row.requests for row in found)

    assert requests(now + timedelta(microseconds=1), now + timedelta(seconds=1)) == 1
    assert requests(now + timedelta(hours=1), now + timedelta(hours=2)) == 0


def test_more_sums_than_a_page_holds_are_refused(
    house: House, gateway: LedgerGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        gateway.complete(house, house.key().row)
    monkeypatch.setattr(usage, "MOST_ROWS", 2)
    now = datetime.now(UTC)
    filters = Filters(since=now - timedelta(hours=1), until=now)
    with pytest.raises(usage.TooManyRows):
        sums(Reader(house.tenant.pk), filters, by=[Grouping.KEY], interval=Interval.ALL, time_zone="UTC")
