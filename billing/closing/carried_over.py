"""What a month's bill takes over from months before: those that came to less than zero, and credit that was too much.

A seller issues no invoice below zero: where refunds exceed what a month used, the month is closed without one, and the
next month that is closed takes all of it on (docs/decisions/0015).
"""

from datetime import date

from django.db.models import Exists, Min, OuterRef, QuerySet, Sum

from billing.closing.period import Period
from billing.credit.account import credit_used
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


def credit_used_by(tenant: Tenant, month: date, period: Period, *, is_late: bool) -> int:
    """What was used of prepaid credit in the month's period and, where something of closed months came to light since
    (`is_late`), what those say now that they did not when they were closed; in nano-EUR.
    """
    closed = Closing.objects.filter(tenant=tenant, state=Closing.State.ISSUED, month__lt=month)
    told = closed.filter(credit_nano_eur__isnull=False).aggregate(since=Min("starts_at"), used=Sum("credit_nano_eur"))
    if not is_late or told["since"] is None:
        return credit_used(tenant, period.starts_at, period.ends_at)
    return credit_used(tenant, told["since"], period.ends_at) - int(told["used"])


def credit_left_over(tenant: Tenant, month: date) -> int:
    """What was used of prepaid credit before the month, no bill had room for and is no credit again, in nano-EUR."""
    closed = Closing.objects.filter(tenant=tenant, state=Closing.State.ISSUED, month__lt=month)
    known = closed.filter(credit_nano_eur__isnull=False)
    sums = known.aggregate(used=Sum("credit_nano_eur"), returned=Sum("credit_returned_nano_eur"))
    if sums["used"] is None:
        return 0
    return int(sums["used"] - sums["returned"]) - _counted(Invoice.objects.filter(closing__in=known))


def credit_without_room(closing: Closing, invoice: Invoice) -> int:
    """What was used of prepaid credit until the end of the month that is being issued and its bill has no room for, in
    nano-EUR: a discount or a refund made it too much. What is less than a cent is none.
    """
    used = credit_left_over(closing.tenant, closing.month) + (closing.credit_nano_eur or 0)
    left = used - _counted(Invoice.objects.filter(pk=invoice.pk))
    return left if left >= NANO_EUR_PER_CENT else 0


def _counted(bills: QuerySet[Invoice]) -> int:
    """What bills count of the credit that was used: as paid before, or in lines below zero where the credit was
    invoiced when it came in.
    """
    in_lines = InvoiceLine.objects.filter(invoice__in=bills, kind=InvoiceLine.Kind.CREDIT)
    top_ups = InvoiceLine.objects.filter(invoice=OuterRef("pk"), kind=InvoiceLine.Kind.TOP_UP)
    prepaid = bills.filter(~Exists(top_ups)).aggregate(total=Sum("prepaid_cents"))["total"] or 0
    counted = in_lines.aggregate(total=Sum("exact_nano_eur"))["total"] or 0
    return int(prepaid * NANO_EUR_PER_CENT - counted)
