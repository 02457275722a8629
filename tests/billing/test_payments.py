"""Invoices are credited and paid, each once; the journal of it balances to the cent."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest

from billing.clock import is_to_come
from billing.invoices.credit_notes import credit_invoice
from billing.invoices.document.contents import Kind, from_json
from billing.invoices.document.faults import faults_of
from billing.invoices.issued import InvoiceState, open_cents, state_of, with_payments
from billing.invoices.journal import journal
from billing.invoices.payments import Match, import_payments, read_bank_file, record_payment
from billing.models import Invoice
from identity.errors import Conflict, Invalid
from tests.support.closings import charging_back, entered, issued, last_month, selling, with_buyer
from tests.support.history import history_of
from tests.support.ledger import House, make_house
from tests.support.operators import RUNS

MONTH = last_month()
MIDDLE = datetime(MONTH.year, MONTH.month, 15, 12, 30, tzinfo=UTC)
YESTERDAY, NEXT_WEEK = (datetime.now(UTC).date() + timedelta(days=days) for days in (-1, 7))


@pytest.fixture
def house(database: None, owner_database_url: str) -> House:
    house = make_house()
    with_buyer(house.tenant)
    with history_of(house, owner_database_url) as history:
        history.record(house.key().row, MIDDLE, cost=33_330_000_000)
        history.record(house.key(project=house.project_called("Second")).row, MIDDLE, cost=10_010_000_000)
    return house


@pytest.fixture
def invoice(house: House) -> Iterator[Invoice]:
    with selling():
        yield issued(house.tenant, MONTH)


def now_of(invoice: Invoice) -> Invoice:
    return with_payments().get(pk=invoice.pk)


def pay(invoice: Invoice, cents: int, reference: str) -> bool:
    day = invoice.issued_on
    return record_payment(by=RUNS, invoice=invoice, amount_cents=cents, paid_on=day, reference=reference)[1]


def test_what_is_issued_lacks_nothing_that_the_standard_wants(invoice: Invoice) -> None:
    assert faults_of(from_json(invoice.contents)) == []


def test_a_payment_is_recorded_once_and_in_parts(invoice: Invoice) -> None:
    assert (invoice.gross_cents, state_of(now_of(invoice), invoice.issued_on)) == (5201, InvoiceState.ISSUED)
    assert pay(invoice, 2_000, "VIR 1")
    assert not pay(invoice, 2_000, "VIR 1")
    assert state_of(now_of(invoice), invoice.issued_on) == InvoiceState.PARTLY_PAID
    assert state_of(now_of(invoice), date(2099, 1, 1)) == InvoiceState.OVERDUE
    with pytest.raises(Conflict, match="Another amount"):
        pay(invoice, 1, "VIR 1")
    with pytest.raises(Conflict, match="more than is due"):
        pay(invoice, 3_202, "VIR 2")
    pay(invoice, 3_201, "VIR 2")
    assert state_of(now_of(invoice), date(2099, 1, 1)) == InvoiceState.PAID
    pay(invoice, -3_201, "VIR 2 was another's")
    assert open_cents(now_of(invoice)) == 3_201


def test_a_banks_file_is_looked_at_first_and_imported_once(invoice: Invoice) -> None:
    text = (
        "date;amount_eur;reference;invoice\n"
        f"{YESTERDAY};20,00;VIR 1 {invoice.number};\n"
        f"{YESTERDAY:%d/%m/%Y};1,00;VIR 2;{invoice.number}\n"
        f"{YESTERDAY:%-d.%-m.%Y};1,00;VIR 3;F1999-00001\n"
        f"{YESTERDAY};1,001;VIR 4;{invoice.number}\n"
        f"yesterday;1,00;VIR 5;{invoice.number}\n"
        f"{YESTERDAY};9999;VIR 6;{invoice.number}\n"
        f"{NEXT_WEEK};1,00;VIR 7;{invoice.number}\n"
        f"{YESTERDAY};-21,01;VIR 8;{invoice.number}\n"
        f"{YESTERDAY};-21,00;VIR 9;{invoice.number}\n"
    )
    found = [line.match for line in read_bank_file(text)]
    refused = [Match.REFUSED] * 5
    assert found == [Match.NEW, Match.NEW, Match.UNMATCHED, *refused, Match.NEW]
    done = [line.match for line in import_payments(by=RUNS, text=text)]
    assert done == found  # what was looked at is what comes of it
    assert open_cents(now_of(invoice)) == 5201
    assert [line.match for line in import_payments(by=RUNS, text=text)][:2] == [Match.KNOWN, Match.KNOWN]
    assert invoice.payments.count() == 3
    with pytest.raises(Invalid, match="columns"):
        read_bank_file("a,b\n1,2\n")


def test_a_payment_of_a_day_to_come_is_refused_by_hand_and_in_a_file(invoice: Invoice) -> None:
    after = datetime.now(UTC).date() + timedelta(days=2)
    with pytest.raises(Invalid, match="future"):
        record_payment(by=RUNS, invoice=invoice, amount_cents=100, paid_on=after, reference="VIR 1")
    text = f"date,amount_eur,reference,invoice\n{invoice.issued_on},1.00,VIR 1,{invoice.number}\n"
    text += f"{after},1.00,VIR 2,{invoice.number}\n"
    found = [(line.line, line.match, line.fault) for line in import_payments(by=RUNS, text=text)]
    assert found == [(2, Match.NEW, ""), (3, Match.REFUSED, "The day is in the future.")]
    assert [one.reference for one in invoice.payments.all()] == ["VIR 1"]


@pytest.mark.parametrize(
    ("day", "zone", "is_future"),
    [(22, "UTC", False), (23, "UTC", True), (23, "Europe/Paris", False), (22, "America/New_York", False)],
)
def test_a_day_has_begun_where_it_has_in_utc_or_at_the_organisations(day: int, zone: str, is_future: bool) -> None:
    now = datetime(2026, 11, 22, 23, 30, tzinfo=UTC)
    assert is_to_come(date(2026, 11, day), now, zone) == is_future


def test_a_credit_note_takes_back_lines_and_then_the_rest_and_no_more(invoice: Invoice) -> None:
    lines = [line for line in invoice.lines.order_by("position") if line.net_cents]
    first = credit_invoice(by=RUNS, invoice=invoice, reason="A wrong price", positions=[lines[0].position])
    assert (first.kind, first.net_cents, first.corrects_id) == (Kind.CREDIT_NOTE, lines[0].net_cents, invoice.pk)
    assert first.number.startswith(f"A{first.issued_on:%Y}-")
    assert faults_of(from_json(first.contents)) == []
    rest = credit_invoice(by=RUNS, invoice=invoice, reason="All of it")
    assert first.gross_cents + rest.gross_cents == invoice.gross_cents
    assert state_of(now_of(invoice), date(2099, 1, 1)) == InvoiceState.PAID
    with pytest.raises(Conflict, match="Nothing of it is left"):
        credit_invoice(by=RUNS, invoice=invoice, reason="Again")
    with pytest.raises(Conflict, match="cannot be credited"):
        credit_invoice(by=RUNS, invoice=rest, reason="Again")
    with pytest.raises(Invalid):
        credit_invoice(by=RUNS, invoice=invoice, reason=" ")


def test_the_journal_balances_to_the_cent_document_by_document(invoice: Invoice) -> None:
    pay(invoice, 2_000, "VIR 1")
    note = credit_invoice(by=RUNS, invoice=invoice, reason="A wrong price", positions=[1])
    entries = journal(invoice.issued_on, invoice.issued_on)
    for piece in (invoice.number, note.number):
        mine = [entry for entry in entries if entry.piece == piece]
        assert len(mine) >= 3
        assert sum(entry.debit_cents for entry in mine) == sum(entry.credit_cents for entry in mine)
    debits = {(one.account, one.debit_cents) for one in entries if one.piece == invoice.number and one.debit_cents}
    assert debits == {("411000", 5201), ("512000", 2_000)}


def test_a_statement_is_not_paid_and_is_corrected_by_a_statement(house: House) -> None:
    with charging_back():
        statement = issued(house.tenant, MONTH)
        with pytest.raises(Conflict, match="Only invoices"):
            pay(statement, 100, "VIR 1")
        taken = credit_invoice(by=RUNS, invoice=statement, reason="Another department's")
    assert (taken.kind, taken.net_cents, taken.number) == ("statement", -statement.net_cents, f"{statement.number}/1")
    assert not [one for one in journal(taken.issued_on, taken.issued_on) if one.piece == taken.number]


def test_a_credit_note_never_gives_back_more_than_was_invoiced_nor_asks_for_money(house: House) -> None:
    entered(house.tenant, "correction", -(10**10), MIDDLE)
    with selling():
        invoice = issued(house.tenant, MONTH)
    below = invoice.lines.get(net_cents__lt=0)
    used = [line.position for line in invoice.lines.filter(net_cents__gt=0)]
    with pytest.raises(Conflict, match="lines that they reduce"):
        credit_invoice(by=RUNS, invoice=invoice, reason="The discount", positions=[below.position])
    with pytest.raises(Conflict, match="more than is left"):
        credit_invoice(by=RUNS, invoice=invoice, reason="The usage", positions=used)
    note = credit_invoice(by=RUNS, invoice=invoice, reason="Both", positions=[below.position, *used])
    assert note.gross_cents == invoice.gross_cents


def test_the_vat_of_many_small_credit_notes_is_that_of_the_invoice(database: None, owner_database_url: str) -> None:
    house = make_house()
    with_buyer(house.tenant)
    with history_of(house, owner_database_url) as history:
        for number in range(10):
            key = house.key(project=house.project_called(f"P{number}")).row
            history.record(key, MIDDLE, cost=3 * 10**7)
    with selling():
        invoice = issued(house.tenant, MONTH)
        assert (invoice.net_cents, invoice.tax_cents) == (30, 6)
        lines = [line.position for line in invoice.lines.filter(net_cents__gt=0)]
        notes = [credit_invoice(by=RUNS, invoice=invoice, reason="One", positions=[one]) for one in lines]
    assert sum(note.tax_cents for note in notes) == 6
    assert all(note.tax_cents >= 0 for note in notes)
