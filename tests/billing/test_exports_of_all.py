"""An export of all organisations has what each one's own has, for those who bill them and for nobody else."""

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from billing.exports.exports import cancel_export, content_of, download, export_for, exports_of
from billing.exports.of_all import cancel_export_of_all, download_of_all, exports_of_all
from billing.exports.rows import all_tenants
from billing.exports.run import write_slice
from billing.models import Export
from identity.access import caller_for_person
from identity.errors import Conflict, Forbidden, Invalid, NotFound
from identity.models import AuditEvent, OperatorRole, Person, Tenant
from identity.notices import inbox
from identity.operators import operator_for_person
from tests.support.exported import Made, ask_of_all, finish, make, take, today
from tests.support.history import history_of
from tests.support.ledger import House, LedgerGateway, ledger_gateway, make_house
from tests.support.people import make_cast, make_operator

pytestmark = pytest.mark.usefixtures("database")
OCTOBER: dict[str, Any] = {"first_day": date(2025, 10, 1), "last_day": date(2025, 10, 31)}


@pytest.fixture
def biller(database: None) -> Person:
    return make_operator(OperatorRole.BILLING)


@pytest.fixture
def gateway(gateway_database_url: str) -> Iterator[LedgerGateway]:
    with ledger_gateway(gateway_database_url) as gateway:
        yield gateway


def ask(by: Person, content: str = "days", file_format: str = "jsonl", **days: date) -> Export:
    return ask_of_all(operator_for_person(by), content, file_format, **days)


def of(house: House, made: Made, whose: str = "tenant") -> list[dict[str, Any]]:
    """The rows of one organisation, without whose they are."""
    mine = [row for row in made.rows if row[whose] == house.tenant.slug]
    return [{name: cell for name, cell in row.items() if name not in ("tenant", "tenant_name")} for row in mine]


def used_in_october(owner_database_url: str, *zones: str) -> list[House]:
    """Organisations with a request just before and after October begins and ends in their own time zone."""
    houses = []
    for zone in zones:
        house = make_house(time_zone=zone)
        key = house.key().row
        with history_of(house, owner_database_url) as history:
            for month, day, hour in ((9, 30, 23), (10, 1, 0), (10, 31, 23), (11, 1, 0)):
                history.record(key, datetime(2025, month, day, hour, 30, tzinfo=ZoneInfo(zone)))
        houses.append(house)
    return houses


@pytest.mark.parametrize("file_format", ["csv", "xlsx", "jsonl", "parquet"])
def test_each_organisation_has_the_rows_of_its_own_export(
    owner_database_url: str, biller: Person, file_format: str
) -> None:
    houses = used_in_october(owner_database_url, "Pacific/Auckland", "Europe/Paris", "Pacific/Honolulu")
    made = finish(ask(biller, "days", file_format))
    assert made.export.is_final
    for house in houses:
        rows = of(house, made)
        assert rows == make(house, "days", file_format, **OCTOBER).rows
        assert len(rows) == 2
        assert {row["tenant_name"] for row in made.rows if row["tenant"] == house.tenant.slug} == {house.tenant.name}


def test_the_same_again_is_the_same_rows_in_whatever_parts_and_after_a_new_name(
    owner_database_url: str, biller: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    houses = used_in_october(owner_database_url, "Europe/Paris", "Europe/Madrid")
    first = finish(ask(biller, "focus"), rows_a_part=1)
    Tenant.objects.filter(pk=houses[0].tenant.pk).update(name="Another name")
    monkeypatch.setattr(all_tenants, "TENANTS_A_PART", 1)
    again = finish(ask(biller, "focus"), rows_a_part=10_000)
    assert again.export.parts_count != first.export.parts_count
    assert again.data == first.data
    for house in houses:
        assert of(house, first, "BillingAccountId") == make(house, "focus", "jsonl", **OCTOBER).rows


def test_ledger_entries_of_all_are_exported(gateway: LedgerGateway, biller: Person) -> None:
    houses = [make_house(), make_house()]
    for house in houses:
        key = house.key().row
        withheld = [gateway.complete(house, key) for _ in range(3)]
        gateway.connection.execute("select give_back_v1(%s, %s)", [gateway.incarnation, withheld])
    made = finish(ask(biller, "ledger", first_day=today(houses[0]), last_day=today(houses[0])))
    for house in houses:
        assert [row["kind"] for row in of(house, made)] == ["refund"] * 3


def test_only_who_bills_may_have_it(biller: Person) -> None:
    export = ask(biller)
    for role in (OperatorRole.PLATFORM, OperatorRole.SUPPORT):
        other = make_operator(role)
        with pytest.raises(Forbidden):
            ask(other)
        for refused in (cancel_export_of_all, download_of_all):
            with pytest.raises(Forbidden):
                refused(by=operator_for_person(other), public_id=export.public_id)
        with pytest.raises(Forbidden):
            exports_of_all(operator_for_person(other))


def test_I6_no_person_of_an_organisation_finds_it(biller: Person) -> None:
    cast = make_cast()
    made = finish(ask(biller))
    alice = caller_for_person(cast.alice, cast.tenant.slug)
    assert made.export not in exports_of(alice)
    with pytest.raises(NotFound):
        export_for(alice, made.export.public_id)
    for verb in (download, cancel_export):
        with pytest.raises(NotFound):
            verb(by=alice, public_id=made.export.public_id)
    with pytest.raises(Forbidden):
        download_of_all(by=operator_for_person(cast.alice), public_id=made.export.public_id)


def test_who_asked_is_told_and_each_download_is_in_the_platforms_audit(biller: Person) -> None:
    made, by = finish(ask(biller)), operator_for_person(biller)
    assert [entry.notice.kind for entry in inbox(biller)] == ["export.ready_of_all"]
    for _ in range(2):
        export, pieces = download_of_all(by=by, public_id=made.export.public_id)
        assert b"".join(pieces) == made.data
    told = AuditEvent.objects.filter(tenant=None, target=str(export.public_id)).order_by("sequence")
    assert [event.action for event in told] == ["export.asked", "export.downloaded", "export.downloaded"]
    assert told[1].detail["sha256"] == export.sha256
    assert told[1].actor == str(biller.pseudonym)
    cancel_export_of_all(by=by, public_id=export.public_id)
    for gone in (export.public_id, UUID(int=0)):
        with pytest.raises(NotFound):
            download_of_all(by=by, public_id=gone)
    with pytest.raises(Conflict):
        cancel_export_of_all(by=by, public_id=export.public_id)
    assert b"".join(content_of(export)) == b""


def test_one_that_is_removed_while_it_is_written_writes_no_more(owner_database_url: str, biller: Person) -> None:
    used_in_october(owner_database_url, "Europe/Paris")
    export = ask(biller)
    taken = take(export)
    cancel_export_of_all(by=operator_for_person(biller), public_id=export.public_id)
    write_slice(taken, 0)
    export.refresh_from_db()
    assert (export.state, export.stored_bytes, export.parts.count()) == ("cancelled", 0, 0)


def test_a_period_that_makes_no_sense_is_refused(biller: Person) -> None:
    with pytest.raises(Invalid, match="last_day"):
        ask(biller, last_day=date(2025, 9, 1))
    with pytest.raises(Invalid, match="first_day"):
        ask(biller, first_day=date(2090, 1, 1), last_day=date(2090, 1, 2))
