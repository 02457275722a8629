"""Whatever a month had, its invoice is the ledger to the nano-euro, and each rounding is told."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.closing.period import period_of
from billing.closing.sums import summed
from billing.invoices.document.contents import from_json
from billing.invoices.document.faults import missing_of
from billing.models import Invoice, LedgerEntry
from billing.money import NANO_EUR_PER_CENT
from tests.support.closings import closed, entered, last_month, selling, with_buyer
from tests.support.history import history_of
from tests.support.ledger import House, make_house, make_model

MONTH = last_month()
FIRST = datetime(MONTH.year, MONTH.month, 2, tzinfo=UTC)
ZONES = ("Europe/Paris", "Asia/Kolkata", "America/New_York")

costs = st.integers(min_value=0, max_value=3 * 10**10)
moved = st.tuples(st.sampled_from(["refund", "fee", "correction"]), st.integers(min_value=1, max_value=10**10))


@dataclass(frozen=True)
class Request:
    """One of the month: in the first or the second project, of the first or the second model."""

    hour: int
    project: int
    model: int
    cost: int


requests = st.builds(Request, st.integers(0, 25 * 24), st.integers(0, 1), st.integers(0, 1), costs)


@pytest.mark.usefixtures("database")
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(used=st.lists(requests, max_size=8), entries=st.lists(moved, max_size=3), zone=st.sampled_from(ZONES))
def test_the_lines_and_their_rounding_are_the_ledger(
    owner_database_url: str, used: list[Request], entries: list[tuple[str, int]], zone: str
) -> None:
    house = make_house(time_zone=zone)
    with_buyer(house.tenant)
    record(house, used, owner_database_url)
    for kind, amount in entries:
        entered(house.tenant, kind, amount, FIRST + timedelta(days=9))
    with selling():
        invoice = closed(house.tenant, MONTH)
    if invoice is None:
        assert ledger(house) < 5 * NANO_EUR_PER_CENT  # below zero, or so little that rounding took it there
        return
    assert_adds_up(invoice, ledger(house))


def record(house: House, used: list[Request], owner_database_url: str) -> None:
    keys = [house.key().row, house.key(project=house.project_called("Second")).row]
    models = [house.model, make_model()]
    with history_of(house, owner_database_url) as history:
        for one in used:
            at = FIRST + timedelta(hours=one.hour)
            history.record(keys[one.project], at, model=models[one.model], cost=one.cost)


def ledger(house: House) -> int:
    """What the ledger says that the month came to, by its sums and its entries."""
    found = LedgerEntry.objects.filter(tenant_id=house.tenant.pk)
    amounts = found.values_list("kind", "amount_nano_eur")
    entries = sum(-amount if kind == "refund" else amount for kind, amount in amounts)
    return summed(house.tenant.pk, period_of(MONTH, house.tenant.time_zone)) + entries


def assert_adds_up(invoice: Invoice, ledger_nano_eur: int) -> None:
    lines = list(invoice.lines.all())
    roundings = [line.net_cents * NANO_EUR_PER_CENT - line.exact_nano_eur for line in lines]
    assert all(2 * abs(rounding) <= NANO_EUR_PER_CENT for rounding in roundings)
    assert invoice.exact_nano_eur == sum(line.exact_nano_eur for line in lines) == ledger_nano_eur
    assert invoice.net_cents * NANO_EUR_PER_CENT - sum(roundings) == ledger_nano_eur
    assert invoice.gross_cents == invoice.net_cents + invoice.tax_cents == invoice.due_cents >= 0
    contents = from_json(invoice.contents)
    assert bool(contents.rounding_note) == bool(sum(roundings))
    assert missing_of(contents) == []
