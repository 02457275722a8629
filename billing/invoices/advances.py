"""Prepaid credit as money that came in, for the books: on which day, how much, for which document.

Where credit is invoiced at its use, a payment is a deposit of its amount, at once. Where it is invoiced at top-up, the
customer paid VAT too: how much is known when the invoice that bills it is issued, as that counts it as paid before.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator
from datetime import date
from typing import NamedTuple
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery

from billing.models import BillingSettings, Closing, CreditPayment, Invoice, InvoiceLine, LedgerEntry
from billing.money import cents
from identity.models import Service


class Advance(NamedTuple):
    """A payment of credit. piece: the number of the invoice that bills it, else the ledger's entry."""

    day: date
    slug: str
    label: str
    cents: int
    piece: str


def advances_received(first: date, last: date, trade: str, credit_invoiced: str) -> Iterator[Advance]:
    """What was received on these days, both included, in a house of that trade that invoices credit so; by day.

    Three queries. Inside one organisation nothing, as credit is an internal allowance there.
    """
    if trade != Service.Trade.SELLER:
        return
    known = CreditPayment.objects.filter(received_on__range=(first, last))
    is_at_use = credit_invoiced == BillingSettings.CreditInvoiced.AT_USE
    deposits = set((known if is_at_use else _past_their_bill(known)).values_list("pk", flat=True))
    payments = list(known.select_related("tenant").order_by("received_on", "recorded_at", "pk"))
    shares = _shares([payment.pk for payment in payments])
    for payment in payments:
        label = " ".join(filter(None, (payment.reference, payment.tenant.name)))
        if payment.pk in shares:
            amount, piece = shares[payment.pk]
            yield Advance(payment.received_on, payment.tenant.slug, label, amount, piece)
        elif payment.pk in deposits:
            amount = cents(payment.amount_nano_eur)
            yield Advance(payment.received_on, payment.tenant.slug, label, amount, str(payment.pk))


def _past_their_bill(payments: QuerySet[CreditPayment]) -> QuerySet[CreditPayment]:
    """Those whose month is closed, which no invoice at top-up will bill: it was closed when credit was invoiced at use.
    What was in a month that was carried over waits still.
    """
    entered = LedgerEntry.objects.filter(pk=OuterRef(OuterRef("pk"))).values("created_at")
    closed = Closing.objects.filter(tenant=OuterRef("tenant"), state=Closing.State.ISSUED)
    return payments.filter(Exists(closed.filter(Q(invoice__isnull=False) | Q(lines=0), ends_at__gt=Subquery(entered))))


def _shares(entries: Collection[UUID]) -> dict[UUID, tuple[int, str]]:
    """By payment that an invoice bills, its share of what that counts as paid before, in cents, and the number. All the
    shares of an invoice together are exactly that.
    """
    billed = InvoiceLine.objects.filter(entry_id__in=entries, invoice__kind=Invoice.Kind.INVOICE)
    found = InvoiceLine.objects.filter(invoice__in=billed.values("invoice"), kind=InvoiceLine.Kind.TOP_UP)
    lines = defaultdict[Invoice, list[InvoiceLine]](list)
    for line in found.select_related("invoice").order_by("position"):
        lines[line.invoice].append(line)
    shares = dict[UUID, tuple[int, str]]()
    for invoice, of_it in lines.items():
        whole, upto, given = sum(line.exact_nano_eur for line in of_it), 0, 0
        for line in of_it:
            assert line.entry_id is not None
            upto += line.exact_nano_eur
            share = invoice.prepaid_cents * upto // whole - given
            shares[line.entry_id] = share, invoice.number
            given += share
    return shares
