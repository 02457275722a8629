"""What was issued: kept once, found by who may, with what was paid of it. Amounts are in cents."""

import hashlib
from collections.abc import Iterable
from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

from django.db import connection
from django.db.models import OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from billing.invoices.document.contents import InvoiceContents, to_json
from billing.models import DraftLine, Invoice, InvoiceLine, Payment
from billing.models.closings import LineColumns
from identity.access import Caller
from identity.errors import NotFound
from identity.models import Tenant
from identity.operators import Operator
from identity.permissions import Permission

COLUMNS = tuple(field.name for field in LineColumns._meta.get_fields())
_OF_CONTENTS = (
    "series", "number", "issued_on", "due_on", "exact_nano_eur", "net_cents", "tax_cents", "gross_cents",
    "prepaid_cents", "due_cents",
)  # fmt: skip


class InvoiceState(StrEnum):
    """Where an invoice stands. A statement and a credit note are ISSUED: nobody pays them."""

    ISSUED = "issued"
    PARTLY_PAID = "partly_paid"
    PAID = "paid"
    OVERDUE = "overdue"


def with_payments(found: QuerySet[Invoice] | None = None) -> QuerySet[Invoice]:
    """Invoices with `paid_cents`, what came for them, and `credited_cents`, what credit notes took back."""
    invoices = Invoice.objects.all() if found is None else found
    payments = Payment.objects.filter(invoice=OuterRef("pk"))
    notes = Invoice.objects.filter(corrects=OuterRef("pk"), kind=Invoice.Kind.CREDIT_NOTE)
    sums = {
        "paid_cents": _sum_of(payments, "invoice", "amount_cents"),
        "credited_cents": _sum_of(notes, "corrects", "gross_cents"),
    }
    return invoices.annotate(**sums)


def open_cents(invoice: Invoice) -> int:
    """What is still to be paid of an invoice of `with_payments`."""
    if invoice.kind != Invoice.Kind.INVOICE:
        return 0
    return invoice.due_cents - invoice.credited_cents - invoice.paid_cents


def state_of(invoice: Invoice, today: date) -> InvoiceState:
    """Where an invoice of `with_payments` stands today."""
    if invoice.kind != Invoice.Kind.INVOICE:
        return InvoiceState.ISSUED
    rest = open_cents(invoice)
    if rest <= 0:
        return InvoiceState.PAID
    if invoice.due_on is not None and invoice.due_on < today:
        return InvoiceState.OVERDUE
    return InvoiceState.PARTLY_PAID if rest < invoice.due_cents else InvoiceState.ISSUED


def invoices_of(caller: Caller) -> QuerySet[Invoice]:
    """The tenant's, the newest first. Raises `Forbidden`."""
    caller.require(Permission.BILLING_READ)
    return with_payments(Invoice.objects.filter(tenant=caller.tenant)).order_by("-issued_at", "-pk")


def issued_invoice(public_id: UUID) -> Invoice:
    """One of any tenant's, for the operator, with what was paid of it. Raises `NotFound`."""
    found = with_payments(Invoice.objects.select_related("tenant", "corrects")).filter(public_id=public_id).first()
    if found is None:
        raise NotFound("invoice")
    return found


def enter(*, tenant: Tenant, kind: str, amount_nano_eur: int, reason: str, by: Operator, idempotency_key: str) -> UUID:
    """Write an entry of the ledger, once by its key; the id of the one that there is."""
    values: list[Any] = [uuid4(), tenant.pk, kind, amount_nano_eur, reason, f"{by.actor.kind.value}:{by.actor.name}"]
    with connection.cursor() as cursor:
        cursor.execute("select enter_v1(%s, %s, %s, %s, null, %s, %s, %s)", [*values, idempotency_key])
        entry: UUID = cursor.fetchone()[0]
    return entry


def next_number(series: str) -> str:
    """The next number of a series, in the transaction that issues: nobody else gets one until it ends."""
    with connection.cursor() as cursor:
        cursor.execute("insert into billing_invoiceseries (code, last) values (%s, 0) on conflict do nothing", [series])
        cursor.execute("update billing_invoiceseries set last = last + 1 where code = %s returning last", [series])
        [number] = cursor.fetchone()
    return f"{series}{number:05d}"


def statement_number(tenant: Tenant, month: date) -> str:
    """What a statement is called: a reference of its month and organisation, of no series."""
    return f"{month:%Y-%m}/{tenant.slug}"


def keep(
    contents: InvoiceContents, *, tenant: Tenant, by: Operator, month: date, now: datetime, **others: object
) -> Invoice:
    """Write what is issued: its contents and their hash. In the transaction of whoever issues, who keeps the audit."""
    text = to_json(contents)
    return Invoice.objects.create(
        tenant=tenant,
        kind=contents.kind.value,
        month=month,
        issued_at=now,
        line_count=len(contents.lines),
        contents=text,
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        actor=f"{by.actor.kind.value}:{by.actor.name}"[:64],
        **{name: getattr(contents, name) for name in _OF_CONTENTS},
        **others,
    )


def keep_lines(invoice: Invoice, lines: Iterable[DraftLine]) -> None:
    """Write the lines of what is issued. In the transaction of whoever issues."""
    rows = [
        InvoiceLine(invoice=invoice, tenant_id=invoice.tenant_id, **{name: getattr(line, name) for name in COLUMNS})
        for line in lines
    ]
    InvoiceLine.objects.bulk_create(rows, batch_size=1_000)


def _sum_of(rows: QuerySet[Any], by: str, column: str) -> Coalesce:
    return Coalesce(Subquery(rows.order_by().values(by).annotate(total=Sum(column)).values("total")), 0)
