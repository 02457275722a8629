"""The nightly check adds invoices up again: what somebody broke as the owner of the tables is found and named."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import psycopg
import pytest
from django.db import connection

from billing.checks.invoices import invoice_differences
from billing.checks.verification import Difference
from billing.models import Invoice
from tests.support.closings import issued, last_month, selling, with_buyer
from tests.support.history import history_of
from tests.support.ledger import House, make_house

MONTH = last_month()
MIDDLE = datetime(MONTH.year, MONTH.month, 15, 12, 30, tzinfo=UTC)
_TABLES = ("billing_invoice", "billing_invoiceline", "billing_ledger_entry")


@pytest.fixture
def house(database: None, owner_database_url: str) -> House:
    house = make_house()
    with_buyer(house.tenant)
    with history_of(house, owner_database_url) as history:
        history.record(house.key().row, MIDDLE, cost=10**9 + 7)
    return house


@pytest.fixture
def invoice(house: House) -> Invoice:
    with selling():
        return issued(house.tenant, MONTH)


@contextmanager
def broken(owner_database_url: str, *edits: str) -> Iterator[None]:
    """What the owner of the tables can do who switches the triggers off; undone at the end."""
    with psycopg.connect(owner_database_url) as owner:
        for table in _TABLES:
            owner.execute(f"alter table {table} disable trigger user")
        for edit in edits:
            owner.execute(edit)
        found.append([*differences(owner)])
        yield
        owner.rollback()


found: list[list[Difference]] = []


def differences(owner: psycopg.Connection[tuple[object, ...]]) -> Iterator[Difference]:
    """What the check says in this transaction."""
    with owner.cursor() as cursor:
        yield from invoice_differences(cursor, Difference)


def named(owner_database_url: str, edit: str, word: str) -> list[str]:
    """The differences that an edit makes about what is named by the word."""
    with broken(owner_database_url, edit):
        return [str(one) for one in found.pop() if word in str(one)]


def test_an_invoice_that_nobody_touched_adds_up(invoice: Invoice, house: House) -> None:
    with connection.cursor() as cursor:
        about = [str(one) for one in invoice_differences(cursor, Difference)]
    words = (invoice.number, f"tenant {house.tenant.pk}")
    assert not [line for line in about if any(word in line for word in words)]


def test_a_line_that_was_changed_is_named(invoice: Invoice, owner_database_url: str) -> None:
    edit = f"update billing_invoiceline set exact_nano_eur = exact_nano_eur + 1 where invoice_id = {invoice.pk}"
    first = named(owner_database_url, edit, invoice.number)[0]
    assert first.startswith(f"invoice: {invoice.number}: expected {invoice.line_count} lines, 1000000007 nano-EUR")


@pytest.mark.parametrize(
    ("edit", "what"),
    [
        ("delete from billing_invoiceline where invoice_id = {pk} and position = 1", "invoice: "),
        ("update billing_invoiceline set net_cents = net_cents + 1 where invoice_id = {pk}", "invoice line's cents: "),
        ("update billing_invoice set contents = replace(contents, 'Lille', 'Paris') where id = {pk}", "contents: "),
        (
            "update billing_invoice set prepaid_cents = 1, due_cents = due_cents - 1, line_count = 7 where id = {pk}",
            "invoice: ",
        ),
    ],
)
def test_what_was_changed_of_an_invoice_is_found(
    invoice: Invoice, owner_database_url: str, edit: str, what: str
) -> None:
    assert any(what in one for one in named(owner_database_url, edit.format(pk=invoice.pk), invoice.number))


def test_usage_that_was_billed_twice_or_is_not_the_ledgers_is_found(
    invoice: Invoice, house: House, owner_database_url: str
) -> None:
    month = f"month {MONTH:%Y-%m} of tenant {house.tenant.pk}"
    edit = f"update billing_usage_day set cost_nano_eur = 5 where tenant_id = {house.tenant.pk}"
    assert named(owner_database_url, edit, month) == [f"billed: {month}: expected 5, found 1000000007"]


def test_a_number_that_is_left_out_is_found(invoice: Invoice, owner_database_url: str) -> None:
    edit = f"delete from billing_invoiceline where invoice_id = {invoice.pk}"
    edit += f"; delete from billing_invoice where id = {invoice.pk}"
    assert any(one.startswith("series: ") for one in named(owner_database_url, edit, invoice.series))
