"""Invoices as pages show them: rows of a list, and one with its lines."""

from dataclasses import dataclass
from datetime import date

from django.db.models import QuerySet

from billing.invoices.document.contents import from_json
from billing.invoices.document.libraries import INSTALLS
from billing.invoices.document.page import euros, title_of, words_of
from billing.invoices.files import LIBRARIES, with_files
from billing.invoices.issued import InvoiceState, open_cents, state_of
from billing.models import Invoice, InvoiceDrawing

LISTED_MAX = 200
# Of more the page shows the sums by project: the whole is a megabyte, and slow to read.
LINES_ON_PAGE_MAX = 500


@dataclass(frozen=True, slots=True)
class Row:
    """One of a list. `state`: None for what nobody pays. `left`: what is still to be paid, or ""."""

    invoice: Invoice
    title: str
    amount: str
    state: InvoiceState | None
    left: str


def years_of(found: QuerySet[Invoice]) -> list[int]:
    """Years in which something was issued, the newest first."""
    return [day.year for day in found.order_by().dates("issued_on", "year", order="DESC")]


def rows_of(found: QuerySet[Invoice], today: date, year: int | None) -> list[Row]:
    """What was issued in that year, or ever."""
    wanted = found if year is None else found.filter(issued_on__year=year)
    return [row_of(one, today) for one in with_files(wanted.defer("contents"))[:LISTED_MAX]]


def row_of(invoice: Invoice, today: date) -> Row:
    """One with what was paid of it (`with_payments`)."""
    left = open_cents(invoice)
    is_paid_for = invoice.kind == Invoice.Kind.INVOICE
    return Row(
        invoice=invoice,
        title=title_of(invoice.kind),
        amount=euros(invoice.gross_cents),
        state=state_of(invoice, today) if is_paid_for else None,
        left=euros(left) if is_paid_for and 0 < left < invoice.gross_cents else "",
    )


def shown_invoice(invoice: Invoice, today: date) -> dict[str, object]:
    """Everything of one for its page."""
    contents = from_json(invoice.contents)
    words = words_of(contents, lines_max=LINES_ON_PAGE_MAX)
    return {
        **words,
        **pdf_state(invoice),
        "invoice": invoice,
        "row": row_of(invoice, today),
        "payments": [(one, euros(one.amount_cents)) for one in invoice.payments.order_by("paid_on", "pk")],
        "credit_notes": invoice.credit_notes.filter(kind=Invoice.Kind.CREDIT_NOTE).order_by("pk"),
    }


def pdf_state(invoice: Invoice) -> dict[str, object]:
    """Why the PDF of one is not there yet, for `_pdf_state.html`."""
    drawing = InvoiceDrawing.objects.filter(pk=invoice.pk).first()
    return {
        "waits_for_libraries": drawing is not None and drawing.fault == LIBRARIES,
        "failed": drawing is not None and drawing.attempts > 0,
        "installs": INSTALLS,
    }
