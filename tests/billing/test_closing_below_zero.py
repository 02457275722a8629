"""A month that gives back more than it used: a seller issues nothing below zero, and nothing of it is lost."""

from collections.abc import Iterator
from datetime import UTC, date, datetime

import pytest
from django.db import connection

from billing.checks.invoices import invoice_differences
from billing.checks.verification import Difference
from billing.closing.listed import closing_page
from billing.closing.period import preceding
from billing.models import Closing, ContractTerm, Invoice, LedgerEntry
from identity.models import AuditEvent
from tests.support.closings import charging_back, closed, entered, issued, last_month, selling, with_buyer
from tests.support.history import History, history_of
from tests.support.ledger import House, make_house

EUR = 10**9
MONTH = last_month()
BEFORE = preceding(MONTH)
FIRST = preceding(BEFORE)
MIDDLE, EARLIER, EARLIEST = (
    datetime(month.year, month.month, 15, 12, 30, tzinfo=UTC) for month in (MONTH, BEFORE, FIRST)
)


@pytest.fixture
def house(database: None) -> House:
    house = make_house()
    with_buyer(house.tenant)
    return house


@pytest.fixture
def history(house: House, owner_database_url: str) -> Iterator[History]:
    with history_of(house, owner_database_url) as history:
        yield history


def differences(house: House, *entries: object) -> list[str]:
    """What the nightly check says of the house."""
    words = (f"tenant {house.tenant.pk}", *map(str, entries))
    with connection.cursor() as cursor:
        found = [str(one) for one in invoice_differences(cursor, Difference)]
    return [one for one in found if any(word in one for word in words)]


def state_of(house: House, month: date) -> str:
    [row] = closing_page(month, today=date(2099, 1, 1), text=house.tenant.slug).rows
    return row.state


def test_it_is_closed_without_an_invoice_and_the_next_month_takes_it_on(house: House, history: History) -> None:
    key = house.key().row
    history.record(key, EARLIER, cost=2 * EUR)
    refund = entered(house.tenant, "refund", 5 * EUR, EARLIER)
    history.record(key, MIDDLE, cost=10 * EUR)
    with selling():
        assert closed(house.tenant, BEFORE) is None
        assert state_of(house, BEFORE) == "carried_over"
        assert differences(house, refund) == []
        invoice = issued(house.tenant, MONTH)
    lines = {(line.covers_month, line.exact_nano_eur) for line in invoice.lines.all() if line.exact_nano_eur}
    assert lines == {(BEFORE, 2 * EUR), (BEFORE, -5 * EUR), (MONTH, 10 * EUR)}
    assert (invoice.net_cents, invoice.tax_cents, invoice.gross_cents) == (700, 140, 840)
    assert differences(house, refund) == []
    event = AuditEvent.objects.get(tenant=house.tenant, action="closing.carried_over")
    assert event.detail["exact_nano_eur"] == -3 * EUR


def test_several_of_them_in_a_row_end_on_one_invoice(house: House, history: History) -> None:
    key = house.key().row
    history.record(key, EARLIEST, cost=EUR)
    entered(house.tenant, "refund", 4 * EUR, EARLIEST)
    history.record(key, EARLIER, cost=EUR)
    history.record(key, MIDDLE, cost=6 * EUR)
    with selling():
        assert [closed(house.tenant, month) for month in (FIRST, BEFORE)] == [None, None]
        assert Closing.objects.get(tenant=house.tenant, month=BEFORE).exact_nano_eur == -2 * EUR
        assert issued(house.tenant, MONTH).exact_nano_eur == 4 * EUR
    assert differences(house) == []


def test_its_number_is_left_to_the_next_invoice(house: House, history: History) -> None:
    key = house.key().row
    history.record(key, EARLIER, cost=EUR)
    entered(house.tenant, "refund", 2 * EUR, EARLIER)
    history.record(key, MIDDLE, cost=9 * EUR)
    with selling(invoice_prefix="BELOW"):
        closed(house.tenant, BEFORE)
        assert issued(house.tenant, MONTH).number.endswith("-00001")


def test_a_month_that_comes_to_nothing_has_an_invoice_of_nothing(house: House, history: History) -> None:
    history.record(house.key().row, MIDDLE, cost=EUR)
    entered(house.tenant, "refund", EUR, MIDDLE)
    with selling():
        invoice = issued(house.tenant, MONTH)
    assert (invoice.gross_cents, invoice.due_cents) == (0, 0)


def test_a_fee_and_a_discount_of_it_count_once(house: House, history: History) -> None:
    """What the month had of its contract is entered when it is closed, and is on the next invoice as it was then."""
    common = {"tenant": house.tenant, "first_month": BEFORE, "last_month": BEFORE}
    ContractTerm.objects.create(kind="fee", description="Service", amount_nano_eur=EUR, **common)
    ContractTerm.objects.create(kind="percent", share_millionths=100_000, **common | {"last_month": MONTH})
    key = house.key().row
    history.record(key, EARLIER, cost=10 * EUR)
    entered(house.tenant, "correction", -40 * EUR, EARLIER)
    history.record(key, MIDDLE, cost=100 * EUR)
    with selling():
        assert closed(house.tenant, BEFORE) is None
        assert LedgerEntry.objects.filter(tenant_id=house.tenant.pk).count() == 3
        invoice = issued(house.tenant, MONTH)
    # Of the month before: 10 used, 1 of it off, 40 taken back; 100 of this one, 10 of it off. The fee and the discount
    # were entered today, so a later month has them.
    assert invoice.exact_nano_eur == (10 - 40 + 100 - 10) * EUR
    billed = {line.entry_id for line in invoice.lines.all()}
    entries = LedgerEntry.objects.filter(tenant_id=house.tenant.pk)
    assert sorted(entry.amount_nano_eur for entry in entries if entry.pk not in billed) == [-EUR, EUR]


def test_what_was_given_back_lowers_what_the_next_discount_is_on(house: House, history: History) -> None:
    term = {"kind": "percent", "share_millionths": 100_000, "first_month": BEFORE}
    ContractTerm.objects.create(tenant=house.tenant, **term)
    entered(house.tenant, "refund", 20 * EUR, EARLIER)
    history.record(house.key().row, MIDDLE, cost=100 * EUR)
    with selling():
        assert closed(house.tenant, BEFORE) is None
        assert issued(house.tenant, MONTH).exact_nano_eur == (100 - 20 - 8) * EUR


def test_a_house_that_charges_back_issues_a_statement_below_zero(house: House, history: History) -> None:
    history.record(house.key().row, MIDDLE, cost=EUR)
    entered(house.tenant, "refund", 2 * EUR, MIDDLE)
    with charging_back():
        assert issued(house.tenant, MONTH).gross_cents == -100
    assert Invoice.objects.get(tenant=house.tenant).kind == "statement"
