"""The FOCUS export is what the published model asks for, and adds up to what was charged."""

import csv
import io
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest

from billing.models import Export
from billing.pricing import Quantities
from identity.models import Project
from tests.billing.focus.rules import model, offences
from tests.support.exported import Made, ask, finish, make
from tests.support.history import history_of
from tests.support.ledger import House, LedgerGateway, ledger_gateway, make_house

pytestmark = pytest.mark.usefixtures("database")
FORMATS = ("csv", "xlsx", "jsonl", "parquet")


@pytest.fixture
def house() -> House:
    return make_house()


@pytest.fixture
def gateway(gateway_database_url: str) -> Iterator[LedgerGateway]:
    with ledger_gateway(gateway_database_url) as gateway:
        yield gateway


def lines_of(made: Made) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(made.data.decode())))


@pytest.fixture
def used(gateway: LedgerGateway, house: House) -> int:
    """Requests of two projects, one beyond its reservation, one given back; what they cost in all."""
    key, other = house.key().row, house.key(project=house.project_called("Crédit à l'export")).row
    Project.objects.filter(pk=other.project_id).update(cost_centre="CC-7")
    for number in range(5):
        gateway.complete(house, key, Quantities(input=101 + number, cached=7, output=33, reasoning=5))
        gateway.complete(house, other, Quantities(input=13, output=number + 1))
    small = gateway.admit(house, key, input_tokens=10, output_tokens=10)
    gateway.settle(house, small.request_id, Quantities(input=10, output=20))
    withheld = gateway.complete(house, key)
    gateway.connection.execute("select give_back_v1(%s, %s)", [gateway.incarnation, [withheld]])
    return make(house, "requests").export.amount_nano_eur - 45_000


def test_X2_the_file_keeps_every_rule_of_the_published_model(house: House, used: int) -> None:
    lines = lines_of(make(house, "focus"))
    assert {line["ChargeCategory"] for line in lines} == {"Usage", "Credit"}
    assert offences(lines) == []
    assert len(model()) > 300


@pytest.mark.parametrize("file_format", FORMATS)
def test_X2_costs_add_up_to_what_was_charged_to_the_nano_euro(house: House, used: int, file_format: str) -> None:
    made = make(house, "focus", file_format)
    assert made.total("BilledCost") == made.total("EffectiveCost") == made.export.amount_nano_eur == used


def test_a_row_tells_what_was_sold_at_what_price(gateway: LedgerGateway, house: House) -> None:
    key = house.key().row
    gateway.complete(house, key, Quantities(output=500))
    [line] = lines_of(make(house, "focus"))
    assert line["ChargeDescription"] == f"{house.model.name}: output tokens"
    assert (line["ConsumedQuantity"], line["ConsumedUnit"]) == ("500", "Tokens")
    assert (line["PricingQuantity"], line["PricingUnit"], line["ListUnitPrice"]) == ("0.0005", "1000000 Tokens", "0.6")
    assert Decimal(line["BilledCost"]) == Decimal(line["ListCost"]) == Decimal("0.0003")
    assert (line["ResourceId"], line["SubAccountId"]) == (key.lookup, f"project-{house.project.pk}")
    assert line["BillingAccountId"] == house.tenant.slug
    assert line["ServiceProviderName"] == line["HostProviderName"] == line["ProviderName"] != ""
    period = [datetime.fromisoformat(line[f"ChargePeriod{end}"]) for end in ("Start", "End")]
    assert timedelta(hours=23) <= period[1] - period[0] <= timedelta(hours=25)


def test_X5_energy_is_what_the_catalogue_declared_when_it_was_asked(gateway: LedgerGateway, house: House) -> None:
    key = house.key().row
    gateway.complete(house, key, Quantities(input=100, output=300), kwh_per_million_tokens="0.125")
    gateway.complete(house, key, Quantities(input=100, output=300))
    [told, untold] = make(house, "requests", "jsonl").rows
    assert (told["kwh"], untold["kwh"]) == ("0.00005", None)
    lines = lines_of(make(house, "focus"))
    assert {line["SkuMeter"]: line["x_Kwh"] for line in lines} == {
        "Input tokens": "0.0000125",
        "Output tokens": "0.0000375",
    }


def test_it_is_the_same_bytes_in_parts_of_any_size_that_a_row_group_does_not_tell(house: House, used: int) -> None:
    first, second = ask(house, "focus"), ask(house, "focus")
    Export.objects.filter(pk=second.pk).update(cut_at=first.cut_at)
    assert finish(first, rows_a_part=1).data == finish(second, rows_a_part=10_000).data


def test_who_bills_whom_stays_as_it_was_first_exported(house: House, owner_database_url: str) -> None:
    key = house.key().row
    october = {"first_day": date(2025, 10, 1), "last_day": date(2025, 10, 31)}
    with history_of(house, owner_database_url) as history:
        history.record(key, datetime.fromisoformat("2025-10-07T12:00Z"))
    before = make(house, "focus", "csv", **october)
    type(house.tenant).objects.filter(pk=house.tenant.pk).update(name="Another name")
    assert make(house, "focus", "csv", **october).data == before.data
    assert before.export.is_final


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("BilledCost", "", "BilledCost-C-003-M"),
        ("ChargeCategory", "Rent", "ChargeCategory-C-003-M"),
        ("ChargePeriodStart", "2026-11-01", "ChargePeriodStart-C-001-M"),
        ("ListCost", "1000", "ListUnitPrice-C-010-C"),
        ("PricingUnit", "", "PricingUnit-C-006-C"),
        ("SkuId", "another", "SkuPriceId-C-008-M"),
        ("InvoiceIssuerName", "Somebody else", "BilledCost-C-005-C"),
    ],
)
def test_the_rules_find_what_is_wrong(house: House, used: int, column: str, value: str, rule: str) -> None:
    lines = lines_of(make(house, "focus"))
    usage = next(line for line in lines if line["ChargeCategory"] == "Usage")
    usage[column] = value
    assert rule in {offence.partition(":")[0] for offence in offences(lines)}


def test_the_rules_find_a_missing_column(house: House, used: int) -> None:
    lines = lines_of(make(house, "focus"))
    for line in lines:
        del line["BilledCost"]
    assert "CostAndUsage-D-006-M: BilledCost is missing" in offences(lines)
