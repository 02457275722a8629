"""What was used by label: every charge adds to it, and it is what the records say."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib import import_module

import psycopg
import pytest

from billing.checks.verification import verify
from billing.pricing import Quantities
from billing.usage.activity import Wanted, page
from billing.usage.labels import LabelTotals, usage_by_label
from billing.usage.overview import Totals
from billing.usage.records import Filters, Reader
from tests.billing.raw_ledger import request_of, settlement_of
from tests.billing.whole_ledger import Scene, found_after
from tests.support.ledger import House, LedgerGateway, ledger_gateway, make_house
from tests.support.outage import OwnPostgres

A_COST = 100 * 150 + 50 * 600  # nano-EUR, of the usual request


@pytest.fixture
def house(database: None) -> House:
    return make_house()


@pytest.fixture
def gateway(database: None, gateway_database_url: str) -> Iterator[LedgerGateway]:
    with ledger_gateway(gateway_database_url) as gateway:
        yield gateway


def lately(**only: str | int) -> Filters:
    now = datetime.now(UTC)
    return Filters(since=now - timedelta(hours=1), until=now + timedelta(hours=1), **only)  # type: ignore[arg-type]


def test_charges_add_up_by_label_the_dearest_first_and_what_has_none_is_not_there(
    house: House, gateway: LedgerGateway
) -> None:
    key = house.key().row
    for label in ("chat", "chat", "nightly", ""):
        gateway.complete(house, key, label=label)
    reader = Reader(house.tenant.pk)
    assert usage_by_label(reader, lately()) == [
        LabelTotals("chat", Totals(2, 0, 2 * A_COST, 200, 100)),
        LabelTotals("nightly", Totals(1, 0, A_COST, 100, 50)),
    ]
    assert usage_by_label(reader, lately(), most=1)[1:] == [LabelTotals(None, Totals(1, 0, A_COST, 100, 50))]
    assert usage_by_label(reader, lately(model="another")) == []
    assert usage_by_label(Reader(house.tenant.pk, project_ids=frozenset({0})), lately()) == []
    assert usage_by_label(Reader(house.tenant.pk + 1), lately()) == []


def test_the_requests_of_a_label_are_found_page_by_page(house: House, gateway: LedgerGateway) -> None:
    key = house.key().row
    made = [gateway.complete(house, key, label="chat" if number % 3 else "") for number in range(9)]
    wanted = Wanted(lately(label="chat"))
    found, after = [], None
    for _page in range(3):
        shown = page(Reader(house.tenant.pk), wanted, after=after, size=2)
        found += [line.record.request_id for line in shown.lines if line.record]
        after = shown.next
    assert after is None
    assert found == [request_id for number, request_id in enumerate(made) if number % 3][::-1]


def test_sums_of_before_are_what_the_charges_would_have_added(scene: Scene, postgres: OwnPostgres) -> None:
    labelled(scene)
    fill = import_module("billing.migrations.0026_usage_label_of_before").FILL
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    with psycopg.connect(postgres.environment["DATABASE_OWNER_URL"]) as owner:
        for day in (today - timedelta(days=1), today):
            owner.execute("delete from billing_usage_label where hour >= %(day)s", {"day": day})
        for day in (today - timedelta(days=1), today):
            owner.execute(fill, {"day": day})
    assert verify() == []
    assert [one.label for one in usage_by_label(Reader(scene.house.tenant.pk), lately())] == ["chat"]


def labelled(scene: Scene) -> None:
    request = request_of(scene.house, scene.key.row)
    request["description"]["label"] = "chat"
    scene.ledger.admit(request)
    scene.ledger.settle(settlement_of(scene.house, request["request_id"], Quantities(input=3, output=2)))


@pytest.mark.parametrize("column", ["requests", "input_tokens", "cost_nano_eur"])
def test_a_wrong_sum_of_a_label_is_found_and_only_that(scene: Scene, postgres: OwnPostgres, column: str) -> None:
    labelled(scene)
    statement = f"update billing_usage_label set {column} = {column} + 1 where tenant_id = %(tenant)s"
    found = found_after(postgres, statement, tenant=scene.house.tenant.pk)
    assert [what for what, _right, _wrong in found] == [f"label's {column.removesuffix('_nano_eur').replace('_', ' ')}"]


def test_a_missing_sum_of_a_label_is_found(scene: Scene, postgres: OwnPostgres) -> None:
    labelled(scene)
    gone = "delete from billing_usage_label where tenant_id = %(tenant)s"
    assert ("label's requests", "1", "0") in found_after(postgres, gone, tenant=scene.house.tenant.pk)
