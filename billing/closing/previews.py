"""Previews of closings: a month's lines, made by the worker and kept, so that pages only read.

A preview that is asked for again is made anew. What it was made of is hashed: a closing is issued only while the ledger
still says the same, and an approval lasts only so long.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, timedelta

from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from billing.clock import database_now
from billing.closing.blocks import Facts, facts_of
from billing.closing.carried_over import carried_months, credit_left_over, credit_used_by
from billing.closing.contents import VatUnknown, contents_of, head_of, is_below_zero
from billing.closing.lines import (
    DoesNotAddUp,
    Late,
    credit_lines,
    entry_lines,
    late_lines,
    late_months,
    placed,
    term_lines,
    total_of,
    usage_lines,
)
from billing.closing.period import Period
from billing.closing.sums import summed
from billing.invoices.document.contents import InvoiceContents
from billing.invoices.document.faults import faults_of, missing_of
from billing.invoices.document.schematron import CheckFailed
from billing.models import BillingSettings, Closing, DraftLine, LedgerEntry
from identity import audit
from identity.models import Tenant
from identity.operators import Operator
from identity.permissions import OperatorPermission

State = Closing.State
_LEASE = timedelta(minutes=15)  # longer than the scan of ten million records takes


@dataclass(frozen=True, slots=True)
class Drafted:
    """Lines, and the hash of what they were made of. used_nano_eur: what the month's requests came to; credit_nano_eur:
    what they used of prepaid credit; credit_billed_nano_eur: what the bill counts of it.
    """

    lines: list[DraftLine]
    used_nano_eur: int
    credit_nano_eur: int
    credit_billed_nano_eur: int
    standing: str


def billed_tenants() -> QuerySet[Tenant]:
    """Those that get bills: neither the platform's own account nor what was made by mistake."""
    return Tenant.objects.filter(is_platform=False, closed_at=None)


def ask_previews(*, by: Operator, month: date, tenants: Iterable[Tenant]) -> int:
    """Have the month's lines made for these tenants; how many will be. Raises `Forbidden`."""
    by.require(OperatorPermission.INVOICE_ISSUE)
    ids = [tenant.pk for tenant in tenants]
    with transaction.atomic():
        Closing.objects.bulk_create([Closing(tenant_id=pk, month=month) for pk in ids], ignore_conflicts=True)
        wanted = Closing.objects.filter(tenant__in=ids, month=month).exclude(state=State.ISSUED)
        asked = wanted.update(asked_at=database_now(), lease_until=None)
        detail = {"month": f"{month:%Y-%m}", "organisations": asked}
        target = audit.Target("closing", f"{month:%Y-%m}")
        audit.record(actor=by.actor, action="closing.previews_asked", target=target, detail=detail)
    return asked


def write_previews(*, seconds: float) -> int:
    """Make previews that were asked for, for about so long; how many were made. For the worker."""
    deadline, made = time.monotonic() + seconds, 0
    while time.monotonic() < deadline and (closing := _taken()):
        make_preview(closing, faults=faults_of)
        made += 1
    return made


def make_preview(closing: Closing, *, faults: Callable[[InvoiceContents], list[str]] = missing_of) -> None:
    """Make the lines of a closing, now. faults: what finds what the document would lack."""
    fault, drafted = "", None
    facts = facts_of([closing.tenant])
    period = facts.period(closing.tenant, closing.month, None)
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            # Sums and records of one instant: requests of a month that runs are settled meanwhile.
            if not connection.needs_rollback and connection.savepoint_ids == []:
                cursor.execute("set transaction isolation level repeatable read")
            drafted = drafted_lines(closing, period, facts)
    except DoesNotAddUp as error:
        fault = _("The records of %(month)s are not what its sums say.") % {"month": f"{error.month:%Y-%m}"}
    found = _faults(closing, period, drafted, facts, faults) if drafted and drafted.lines else []
    _write(closing, period, drafted, fault, found)


def drafted_lines(closing: Closing, period: Period, facts: Facts) -> Drafted:
    """The lines as they would be now: a scan of the period's records. Raises `DoesNotAddUp`."""
    tenant, month = closing.tenant, closing.month
    beside = _beside(tenant, month, period, facts)
    own = usage_lines(tenant, month, period)
    lines = placed([*own, *late_lines(tenant, beside.late), *beside.entries, *beside.terms, *beside.credit], closing)
    credit = beside.credit_nano_eur, beside.credit_billed_nano_eur
    return Drafted(lines, beside.used_nano_eur, *credit, beside.standing(period))


def standing_of(closing: Closing, period: Period, facts: Facts) -> tuple[str, int]:
    """The hash that a preview would have now, of the ledger's sums and without reading records; and what the bill
    counts of prepaid credit, in nano-EUR.
    """
    beside = _beside(closing.tenant, closing.month, period, facts)
    return beside.standing(period), beside.credit_billed_nano_eur


@dataclass(frozen=True, slots=True)
class _Beside:
    """What a closing is made of, in sums: the month's usage, late usage, entries, terms of the contract.

    credit_nano_eur: what the month used of prepaid credit; credit_billed_nano_eur: what its bill counts of it
    """

    used_nano_eur: int
    late: list[Late]
    entries: list[DraftLine]
    terms: list[DraftLine]
    credit: list[DraftLine]
    credit_nano_eur: int
    credit_billed_nano_eur: int

    def standing(self, period: Period) -> str:
        """A hash of it."""
        told = {
            "period": [period.starts_at.astimezone(UTC).isoformat(), period.ends_at.astimezone(UTC).isoformat()],
            "used": self.used_nano_eur,
            "late": [[one.closing.month.isoformat(), one.missing_nano_eur] for one in self.late],
            "entries": sorted([str(line.entry_id), line.exact_nano_eur] for line in self.entries),
            "credit": self.credit_billed_nano_eur,
            "terms": sorted([line.term_key, line.exact_nano_eur] for line in self.terms),
        }
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _beside(tenant: Tenant, month: date, period: Period, facts: Facts) -> _Beside:
    used, late, carried = summed(tenant.pk, period), late_months(tenant, month), carried_months(tenant, month)
    entries = entry_lines(tenant, month, period, facts.house.settings, carried)
    paid = _paid(used, late, entries, {one.month for one in carried}, month)
    terms = term_lines(tenant, month, paid, _language(facts, tenant))
    credit = credit_used_by(tenant, month, period, is_late=bool(late))
    billed = credit + credit_left_over(tenant, month)
    at_top_up = facts.house.settings.credit_invoiced == BillingSettings.CreditInvoiced.AT_TOP_UP
    room = used + sum(one.missing_nano_eur for one in late)
    room += sum(line.exact_nano_eur for line in (*entries, *terms) if line.kind != DraftLine.Kind.TOP_UP)
    own = credit_lines(month, min(billed, max(room, 0))) if at_top_up else []
    return _Beside(used, late, entries, terms, own, credit, billed)


def _paid(used: int, late: list[Late], entries: list[DraftLine], carried: set[date], month: date) -> int:
    """What discounts are on: what was given back is not paid. A month that was carried over had its own discounts, so
    of it counts only what it had below zero.
    """
    refunds = [line for line in entries if line.entry_kind == LedgerEntry.Kind.REFUND]
    own = used + sum(one.missing_nano_eur for one in late if one.closing.month not in carried)
    own += sum(line.exact_nano_eur for line in refunds if line.covers_month == month)
    before = sum(one.missing_nano_eur for one in late if one.closing.month in carried)
    before += sum(line.exact_nano_eur for line in refunds if line.covers_month != month)
    return own + min(before, 0)


def _language(facts: Facts, tenant: Tenant) -> str:
    party, service = facts.parties.get(tenant.pk), facts.house.service
    return service.language_for((party.language if party else "") or service.default_language)


def _taken() -> Closing | None:
    """The closing that waits for longest, leased to this worker."""
    now = database_now()
    free = Q(lease_until=None) | Q(lease_until__lt=now)
    with transaction.atomic():
        waiting = Closing.objects.filter(free, asked_at__isnull=False).exclude(state=State.ISSUED)
        found = waiting.select_for_update(skip_locked=True, of=("self",)).select_related("tenant").order_by("asked_at")
        closing = found.first()
        if closing is not None:
            Closing.objects.filter(pk=closing.pk).update(lease_until=now + _LEASE)
    return closing


def _faults(
    closing: Closing, period: Period, drafted: Drafted, facts: Facts, faults: Callable[[InvoiceContents], list[str]]
) -> list[str]:
    """What the document would lack; what the seller or the buyer lack in the first place is told elsewhere."""
    try:
        head = head_of(facts.house, closing, period, drafted.credit_billed_nano_eur)
        contents = contents_of(facts.house, closing.tenant, head, drafted.lines)
    except VatUnknown:
        return []
    if is_below_zero(contents):
        return []
    try:
        return faults(contents)
    except CheckFailed as error:
        return [_("The document could not be checked: %(error)s.") % {"error": str(error)[:200]}]


def _write(closing: Closing, period: Period, drafted: Drafted | None, fault: str, faults: list[str]) -> None:
    with transaction.atomic():
        row = Closing.objects.select_for_update().get(pk=closing.pk)
        if row.state == State.ISSUED:
            return
        DraftLine.objects.filter(closing=row).delete()
        row.starts_at, row.ends_at, row.fault, row.faults = period.starts_at, period.ends_at, fault, faults
        row.asked_at = row.lease_until = None
        row.previewed_at = database_now()
        standing = drafted.standing if drafted else ""
        if not standing or standing != row.standing:
            row.state, row.approvals = State.PREVIEWED, []
        row.standing = standing
        lines = drafted.lines if drafted else []
        row.used_nano_eur = drafted.used_nano_eur if drafted else 0
        row.credit_nano_eur = drafted.credit_nano_eur if drafted else None
        row.exact_nano_eur, row.net_cents = total_of(lines)
        row.lines = len(lines)
        row.save()
        for line in lines:
            line.closing = row
        DraftLine.objects.bulk_create(lines, batch_size=1_000)
