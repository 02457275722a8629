"""The journal of a time for an ERP: what was issued and paid, as entries that balance to the cent.

An invoice debits the customer with what it comes to and credits revenue and VAT; a credit note is the reverse. A
payment debits the bank and credits the customer; one of prepaid credit credits advances (`advances.py`), from
where an invoice takes what was paid before. Statements inside one organisation are in no books.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import date
from typing import NamedTuple

from billing.invoices.advances import Advance, advances_received
from billing.invoices.settings import accounts_of, billing_settings
from billing.models import Invoice, Payment
from identity.operators import Operator
from identity.permissions import OperatorPermission
from identity.service import read_service
from identity.spreadsheet import safe_cell

HEAD = ("date", "journal", "account", "auxiliary", "label", "debit", "credit", "piece")


class Entry(NamedTuple):
    """A line of the journal; one of debit and credit is zero. piece: the document's number, or the ledger's entry."""

    day: date
    journal: str
    account: str
    auxiliary: str
    label: str
    debit_cents: int
    credit_cents: int
    piece: str


def journal_csv(*, by: Operator, first: date, last: date) -> str:
    """The entries of these days, both included, as CSV (RFC 4180) with amounts as decimals. Raises `Forbidden`."""
    by.require(OperatorPermission.BILLING_READ)
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(HEAD)
    for entry in journal(first, last):
        words = map(safe_cell, (entry.account, entry.auxiliary, entry.label))
        amounts = _decimal(entry.debit_cents), _decimal(entry.credit_cents)
        rows.writerow([entry.day.isoformat(), entry.journal, *words, *amounts, entry.piece])
    return text.getvalue()


def journal(first: date, last: date) -> list[Entry]:
    """The entries of these days, by day and document. Debits and credits of each document are the same sum."""
    known = billing_settings()
    accounts = accounts_of(known)
    received = advances_received(first, last, read_service().trade, known.credit_invoiced)
    invoices = Invoice.objects.exclude(kind=Invoice.Kind.STATEMENT).filter(issued_on__range=(first, last))
    payments = Payment.objects.filter(paid_on__range=(first, last)).select_related("invoice__tenant")
    found = [
        *_of_invoices(invoices.select_related("tenant").order_by("issued_on", "number"), accounts),
        *_of_payments(payments.order_by("paid_on", "pk"), accounts),
        *_of_advances(received, accounts),
    ]
    return sorted(found, key=lambda entry: entry.day)


def _of_invoices(invoices: Iterable[Invoice], accounts: dict[str, str]) -> Iterator[Entry]:
    for invoice in invoices:
        sign = -1 if invoice.kind == Invoice.Kind.CREDIT_NOTE else 1
        parts = [
            ("customers", invoice.tenant.slug, sign * invoice.gross_cents),
            ("revenue", "", -sign * invoice.net_cents),
            ("vat", "", -sign * invoice.tax_cents),
            ("advances", invoice.tenant.slug, sign * invoice.prepaid_cents),
            ("customers", invoice.tenant.slug, -sign * invoice.prepaid_cents),
        ]
        label = f"{invoice.number} {invoice.tenant.name}"
        for account, auxiliary, cents in parts:
            if cents:
                told = (accounts["sales_journal"], accounts[account], auxiliary, label)
                yield Entry(invoice.issued_on, *told, max(cents, 0), max(-cents, 0), invoice.number)


def _of_payments(payments: Iterable[Payment], accounts: dict[str, str]) -> Iterator[Entry]:
    for payment in payments:
        invoice = payment.invoice
        label = f"{invoice.number} {payment.reference}"
        for account, auxiliary, cents in (
            ("bank", "", payment.amount_cents),
            ("customers", invoice.tenant.slug, -payment.amount_cents),
        ):
            told = (accounts["bank_journal"], accounts[account], auxiliary, label)
            yield Entry(payment.paid_on, *told, max(cents, 0), max(-cents, 0), invoice.number)


def _of_advances(received: Iterable[Advance], accounts: dict[str, str]) -> Iterator[Entry]:
    for one in received:
        for account, auxiliary, cents in (("bank", "", one.cents), ("advances", one.slug, -one.cents)):
            if cents:
                told = (accounts["bank_journal"], accounts[account], auxiliary, one.label)
                yield Entry(one.day, *told, max(cents, 0), max(-cents, 0), one.piece)


def _decimal(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"
