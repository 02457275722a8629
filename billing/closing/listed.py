"""A month of all organisations as whoever closes it sees it: state, amount, change, what blocks it. Reads only.

Amounts are nano-EUR before VAT. One that was not previewed is what the ledger's sums of days (UTC) say so far, or until
a day of the month: an estimate, without discounts.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db import connection
from django.db.models import Count, Q, Sum

from billing.closing.blocks import Block, Facts, blocks_of, facts_shown, told_of
from billing.closing.carried_over import is_carried_over
from billing.closing.period import following, preceding
from billing.closing.previews import billed_tenants
from billing.invoices.issued import state_of, with_payments
from billing.models import Closing, Invoice
from billing.money import NANO_EUR_PER_CENT
from identity.models import Tenant
from identity.name_order import by_name

SHOWN_MAX = 100  # organisations of one page
_USED = """
    select u.tenant_id,
        coalesce(sum(u.cost_nano_eur) filter (where u.day >= %(first)s), 0)::bigint,
        coalesce(sum(u.cost_nano_eur) filter (where u.day < %(first)s), 0)::bigint
    from billing_usage_day u
    where u.tenant_id = any(%(tenants)s) and u.day >= %(before)s and u.day < %(until)s
        and (u.day < %(before_until)s or u.day >= %(first)s)
    group by 1
"""


@dataclass(frozen=True, slots=True)
class Row:
    """An organisation's month.

    state: of the closing, or of its invoice once it is issued; is_estimate: the amount is of sums of days
    amount_nano_eur: before VAT, whole cents as the document has them once there are lines
    before_nano_eur: the month before, as it was closed, or its same days
    """

    tenant: Tenant
    state: str
    amount_nano_eur: int
    before_nano_eur: int
    is_estimate: bool
    is_being_made: bool
    blocks: Sequence[Block]
    invoice: Invoice | None
    closing: Closing | None

    @property
    def change_nano_eur(self) -> int:
        """From the month before."""
        return self.amount_nano_eur - self.before_nano_eur


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the month is: closings by state, previews that are still to be made, cents before VAT that are issued."""

    by_state: Mapping[str, int]
    waiting: int
    issued_cents: int


@dataclass(frozen=True, slots=True)
class ClosingPage:
    """Some organisations of a month. next: the number of the next page; None: this is the last one."""

    rows: Sequence[Row]
    progress: Progress
    next: int | None


def closing_page(month: date, *, today: date, until: date | None = None, text: str = "", page: int = 1) -> ClosingPage:
    """Organisations by name, a hundred a page. until: the last day that estimates count. Some six queries."""
    found = told_of(billed_tenants().order_by(by_name(), "pk"))
    if text:
        found = found.filter(Q(name__icontains=text) | Q(slug__icontains=text) | Q(external_id__icontains=text))
    start = (max(page, 1) - 1) * SHOWN_MAX
    tenants = list(found[start : start + SHOWN_MAX + 1])
    shown = tenants[:SHOWN_MAX]
    rows = rows_of(shown, month, facts_shown(shown), today=today, until=until)
    return ClosingPage(rows, progress_of(month), page + 1 if len(tenants) > SHOWN_MAX else None)


def rows_of(
    tenants: Sequence[Tenant], month: date, facts: Facts, *, today: date, until: date | None = None
) -> list[Row]:
    """A line an organisation, in their order. Three queries."""
    closings = {
        (one.tenant_id, one.month): one
        for one in Closing.objects.filter(tenant__in=tenants, month__in=[month, preceding(month)])
    }
    invoices = {one.closing_id: one for one in with_payments(Invoice.objects.filter(closing__in=closings.values()))}
    used = _used([tenant.pk for tenant in tenants], month, until or _last_day(month, today))
    return [_row(tenant, month, closings, invoices, used.get(tenant.pk, (0, 0)), facts, today) for tenant in tenants]


def progress_of(month: date) -> Progress:
    """Of all organisations. One query."""
    found = Closing.objects.filter(month=month).order_by().values("state")
    asked = Count("pk", filter=Q(asked_at__isnull=False))
    issued = Sum("net_cents", filter=Q(invoice__isnull=False), default=0)
    counted = list(found.annotate(count=Count("pk"), waiting=asked, cents=issued))
    return Progress(
        {row["state"]: row["count"] for row in counted},
        sum(row["waiting"] for row in counted),
        sum(int(row["cents"]) for row in counted),
    )


def _row(
    tenant: Tenant,
    month: date,
    closings: Mapping[tuple[int, date], Closing],
    invoices: Mapping[int | None, Invoice],
    used: tuple[int, int],
    facts: Facts,
    today: date,
) -> Row:
    closing, before = closings.get((tenant.pk, month)), closings.get((tenant.pk, preceding(month)))
    invoice = invoices.get(closing.pk) if closing else None
    is_made = closing is not None and closing.previewed_at is not None and not closing.fault
    return Row(
        tenant=tenant,
        state=shown_state(closing, invoice, today),
        amount_nano_eur=_lines_of(closing) if closing and is_made else used[0],
        before_nano_eur=_lines_of(before) if before and before.state == Closing.State.ISSUED else used[1],
        is_estimate=not is_made,
        is_being_made=closing is not None and closing.asked_at is not None,
        blocks=blocks_of(tenant, month, closing, facts),
        invoice=invoice,
        closing=closing,
    )


def _lines_of(closing: Closing) -> int:
    return closing.net_cents * NANO_EUR_PER_CENT


def shown_state(closing: Closing | None, invoice: Invoice | None, today: date) -> str:
    """One word: of the closing, and once it is issued what became of the invoice; `closed` where nobody pays it,
    `carried_over` where it came to less than zero and goes on to the next month.
    """
    if closing is None:
        return Closing.State.OPEN.value
    if closing.state != Closing.State.ISSUED:
        return closing.state
    if is_carried_over(closing, invoice):
        return "carried_over"
    return state_of(invoice, today).value if invoice and invoice.kind == Invoice.Kind.INVOICE else "closed"


def _used(tenants: Iterable[int], month: date, until: date) -> dict[int, tuple[int, int]]:
    """What each used in the month until that day, and in as many days of the month before."""
    first, before = month.replace(day=1), preceding(month)
    is_whole = until >= following(first) - timedelta(days=1)
    same_days = first if is_whole else min(before + (until - first) + timedelta(days=1), first)
    values: dict[str, Any] = {
        "tenants": list(tenants),
        "first": _midnight(first),
        "before": _midnight(before),
        "before_until": _midnight(same_days),
        "until": _midnight(until + timedelta(days=1)),
    }
    with connection.cursor() as cursor:
        cursor.execute(_USED, values)
        return {tenant: (cost, cost_before) for tenant, cost, cost_before in cursor.fetchall()}


def _last_day(month: date, today: date) -> date:
    """The last day of the month that is over or runs."""
    return max(month.replace(day=1), min(following(month) - timedelta(days=1), today))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
