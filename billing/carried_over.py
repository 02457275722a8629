"""What a month's bill takes over from months before: those that came to less than zero, and credit that was too much.

A seller issues no invoice below zero: where refunds exceed what a month used, the month is closed without one, and the
next month that is closed takes all of it on (docs/decisions/0015).
"""

from datetime import date

from django.db.models import Exists, OuterRef, Sum

from billing.models import Closing, Invoice, InvoiceLine
from billing.money import NANO_EUR_PER_CENT
from identity.models import Tenant


def is_carried_over(closing: Closing, invoice: Invoice | None) -> bool:
    """Whether it was closed without an invoice although there was something: what there was is on a later one."""
    return closing.state == Closing.State.ISSUED and closing.lines > 0 and invoice is None


def carried_months(tenant: Tenant, month: date) -> list[Closing]:
    """The closings before the month that nothing was issued for yet although they had lines, the oldest first."""
    closed = Closing.objects.filter(tenant=tenant, state=Closing.State.ISSUED, month__lt=month, lines__gt=0)
    last = closed.filter(invoice__isnull=False).order_by("-month").first()
    waiting = closed.filter(month__gt=last.month) if last else closed
    return list(waiting.order_by("month"))


def credit_left_over(tenant: Tenant, month: date) -> int:
    """What was used of prepaid credit before the month and no bill had room for, in nano-EUR.

    A bill counts credit as paid before, or in lines below zero where the credit was invoiced when it came in.
    """
    closed = Closing.objects.filter(tenant=tenant, state=Closing.State.ISSUED, month__lt=month)
    known = closed.filter(credit_nano_eur__isnull=False)
    used = known.aggregate(total=Sum("credit_nano_eur"))["total"]
    if used is None:
        return 0
    bills = Invoice.objects.filter(closing__in=known)
    in_lines = InvoiceLine.objects.filter(invoice__in=bills, kind=InvoiceLine.Kind.CREDIT)
    top_ups = InvoiceLine.objects.filter(invoice=OuterRef("pk"), kind=InvoiceLine.Kind.TOP_UP)
    prepaid = bills.filter(~Exists(top_ups)).aggregate(total=Sum("prepaid_cents"))["total"] or 0
    counted = in_lines.aggregate(total=Sum("exact_nano_eur"))["total"] or 0
    return int(used + counted - prepaid * NANO_EUR_PER_CENT)
