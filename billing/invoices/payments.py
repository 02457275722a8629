"""Payments of invoices, by hand or from a bank's file: once a bank's reference; a wrong one is taken back."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from django.db import transaction
from django.utils.translation import gettext as _

from billing.clock import database_now, is_to_come
from billing.invoices.issued import open_cents, with_payments
from billing.models import Invoice, Payment
from billing.money import NANO_EUR_PER_CENT, NotAnAmount, parse_typed_eur
from identity import audit
from identity.errors import Conflict, Invalid
from identity.models import Tenant
from identity.operators import Operator
from identity.permissions import OperatorPermission
from identity.wording import clean_name, clean_text

REFERENCE_LENGTH_MAX = 140  # as in a SEPA transfer
LINES_MAX = 5_000
HEAD = ("date", "amount_eur", "reference", "invoice")


class Match(StrEnum):
    """What comes of a line of a bank's file."""

    NEW = "new"
    KNOWN = "known"
    UNMATCHED = "unmatched"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class BankLine:
    """A line of a file, and what comes of it. `fault`: why nothing does, for people."""

    line: int
    paid_on: date | None
    amount_cents: int
    reference: str
    number: str
    match: Match
    fault: str = ""


def record_payment(
    *,
    by: Operator,
    invoice: Invoice,
    amount_cents: int,
    paid_on: date,
    reference: str,
    note: str = "",
    source: str = "hand",
) -> tuple[Payment, bool]:
    """Say that so many cents came for an invoice, and whether that is new: the same reference is the same payment.

    Below zero takes one back that was wrong. Raises `Forbidden`, `Invalid` (a day to come too), `Conflict` (another
    amount under the same reference, more than is due, not an invoice).
    """
    by.require(OperatorPermission.INVOICE_ISSUE)
    reference = clean_name(reference, "reference", REFERENCE_LENGTH_MAX)
    note = clean_text(note, "note", 300)
    with transaction.atomic():
        Tenant.objects.select_for_update(no_key=True).get(pk=invoice.tenant_id)
        known = Payment.objects.filter(invoice=invoice, reference=reference).first()
        if known is not None:
            if known.amount_cents != amount_cents:
                raise Conflict(_("Another amount is recorded under this reference."))
            return known, False
        if is_to_come(paid_on, database_now(), invoice.tenant.time_zone):
            raise Invalid("paid_on", _("must not be in the future"))
        _require_sensible(with_payments().get(pk=invoice.pk), amount_cents)
        payment = Payment.objects.create(
            invoice=invoice,
            amount_cents=amount_cents,
            paid_on=paid_on,
            reference=reference,
            note=note,
            source=source,
            actor=f"{by.actor.kind.value}:{by.actor.name}"[:64],
        )
        target = audit.Target("invoice", invoice.number)
        detail = {"amount_cents": amount_cents, "paid_on": paid_on.isoformat(), "reference": reference}
        audit.record(
            tenant=invoice.tenant, actor=by.actor, action="invoice.payment_recorded", target=target, detail=detail
        )
        audit.record(actor=by.actor, action="invoice.payment_recorded", target=target, detail=detail)
    return payment, True


def read_bank_file(text: str) -> list[BankLine]:
    """What a file of payments says, and what would come of each line. Writes nothing. Raises `Invalid`.

    A head `date,amount_eur,reference,invoice` in any order, commas or semicolons; `invoice` may be empty where the
    reference names the number.
    """
    sample = text.lstrip("\ufeff")
    try:
        rows = list(csv.DictReader(io.StringIO(sample), delimiter=";" if ";" in sample.partition("\n")[0] else ","))
    except csv.Error:
        rows = []
    if "\x00" in sample or not rows or not {"date", "amount_eur", "reference"} <= set(rows[0]):
        raise Invalid("file", _("must have the columns date, amount_eur, reference and invoice"))
    if len(rows) > LINES_MAX:
        raise Invalid("file", _("must have at most %(count)s lines") % {"count": LINES_MAX})
    return _matched([_line_of(number, row) for number, row in enumerate(rows, 2)])


def import_payments(*, by: Operator, text: str) -> list[BankLine]:
    """Record the payments of a file, each in a transaction of its own; the same file again records none twice."""
    by.require(OperatorPermission.INVOICE_ISSUE)
    lines = read_bank_file(text)
    invoices = {one.number: one for one in Invoice.objects.filter(number__in=[line.number for line in lines])}
    return [_imported(by, line, invoices) for line in lines]


def _imported(by: Operator, line: BankLine, invoices: dict[str, Invoice]) -> BankLine:
    if line.match != Match.NEW or line.paid_on is None:
        return line
    try:
        _payment, is_new = record_payment(
            by=by,
            invoice=invoices[line.number],
            amount_cents=line.amount_cents,
            paid_on=line.paid_on,
            reference=line.reference,
            source="file",
        )
    except (Conflict, Invalid) as error:
        return _with(line, Match.REFUSED, str(error))
    return line if is_new else _with(line, Match.KNOWN, "")


def _line_of(number: int, row: dict[str, str | None]) -> BankLine:
    values = {name: (row.get(name) or "").strip() for name in HEAD}
    paid_on, amount, fault = None, 0, ""
    try:
        paid_on = _day_of(values["date"])
        nano_eur = parse_typed_eur(values["amount_eur"])
        amount = nano_eur // NANO_EUR_PER_CENT
        if nano_eur % NANO_EUR_PER_CENT or not amount:
            fault = _("The amount is no number of cents.")
    except NotAnAmount:
        fault = _("The amount is not written as 1234.50.")
    except ValueError:
        fault = _("The date is not written as 2026-11-30 or 30/11/2026.")
    if not values["reference"] or len(values["reference"]) > REFERENCE_LENGTH_MAX:
        fault = fault or _("There is no reference of the bank.")
    match = Match.REFUSED if fault else Match.UNMATCHED
    return BankLine(number, paid_on, amount, values["reference"], values["invoice"], match, fault)


def _day_of(text: str) -> date:
    """Of `2026-11-30`, or day first as banks of the euro area write: `30/11/2026`, `30.11.2026`. Raises ValueError."""
    parts = text.replace(".", "/").split("/")
    if len(parts) != 3:
        return date.fromisoformat(text)
    day, month, year = parts
    return date.fromisoformat(f"{year}-{month:0>2}-{day:0>2}")


@dataclass(frozen=True, slots=True)
class _Books:
    """What lines are held against, by an invoice's id. Lines above in the file count: `now` alone stands still."""

    known: dict[tuple[int, str], int]
    left: dict[int, int]
    paid: dict[int, int]
    now: datetime


def _matched(lines: Sequence[BankLine]) -> list[BankLine]:
    """By the number in its column, or by the one number that the reference names."""
    words = {word.strip(".,;:()") for line in lines for word in (line.number, *line.reference.split())}
    found = with_payments(Invoice.objects.filter(number__in=words, kind=Invoice.Kind.INVOICE).select_related("tenant"))
    invoices = {one.number: one for one in found}
    known = {
        (one.invoice_id, one.reference): one.amount_cents
        for one in Payment.objects.filter(invoice__in=[invoice.pk for invoice in invoices.values()])
    }
    left = {invoice.pk: open_cents(invoice) for invoice in invoices.values()}
    paid = {invoice.pk: invoice.paid_cents for invoice in invoices.values()}
    books = _Books(known, left, paid, database_now())
    return [_match(line, invoices, books) for line in lines]


def _match(line: BankLine, invoices: dict[str, Invoice], books: _Books) -> BankLine:
    if line.match == Match.REFUSED:
        return line
    named = [line.number] if line.number else [word.strip(".,;:()") for word in line.reference.split()]
    numbers = [number for number in dict.fromkeys(named) if number in invoices]
    if len(numbers) != 1:
        return _with(line, Match.UNMATCHED, _("No invoice, or more than one, has this number."))
    invoice = invoices[numbers[0]]
    line = BankLine(line.line, line.paid_on, line.amount_cents, line.reference, invoice.number, Match.NEW)
    before = books.known.get((invoice.pk, line.reference))
    if before == line.amount_cents:
        return _with(line, Match.KNOWN, "")
    if before is not None:
        return _with(line, Match.REFUSED, _("Another amount is recorded under this reference."))
    if line.paid_on and is_to_come(line.paid_on, books.now, invoice.tenant.time_zone):
        return _with(line, Match.REFUSED, _("The day is in the future."))
    if line.amount_cents > books.left[invoice.pk]:
        return _with(line, Match.REFUSED, _("It is more than is due."))
    if -line.amount_cents > books.paid[invoice.pk]:
        return _with(line, Match.REFUSED, _("It is more than was paid."))
    books.known[invoice.pk, line.reference] = line.amount_cents
    books.left[invoice.pk] -= line.amount_cents
    books.paid[invoice.pk] += line.amount_cents
    return line


def _with(line: BankLine, match: Match, fault: str) -> BankLine:
    return BankLine(line.line, line.paid_on, line.amount_cents, line.reference, line.number, match, fault)


def _require_sensible(invoice: Invoice, amount_cents: int) -> None:
    if invoice.kind != Invoice.Kind.INVOICE:
        raise Conflict(_("Only invoices are paid."))
    if not amount_cents:
        raise Invalid("amount", _("must not be zero"))
    if amount_cents > open_cents(invoice):
        raise Conflict(_("It is more than is due."))
    if -amount_cents > invoice.paid_cents:
        raise Conflict(_("It is more than was paid."))
