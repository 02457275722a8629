"""The lines of a closing: a month's usage by project, model, mode, price version and meter, then what moved beside it.

Each is the exact sum of the ledger's own amounts, and in cents, rounded half-even (the second rounding of I4). All of
them together are the ledger's sum of the period, to the nano-euro, or the closing stops.

Usage that comes to light for a month that is closed (docs/decisions/0015) is what the ledger has of its period beyond
what invoices billed of it, group by group: it goes to the next month that is closed, and names its own.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple

from django.db.models import Q, Sum
from django.db.models.expressions import RawSQL
from django.utils import translation

from billing.closing.period import Period
from billing.closing.sums import Group, groups, summed
from billing.closing.terms import lines_at_closing
from billing.models import BillingSettings, Closing, DraftLine, InvoiceLine, LedgerEntry, MeterPrice
from billing.money import cents
from billing.pricing import FALL_BACKS, METERS
from identity.models import Project, Tenant
from identity.name_order import name_key

Kind = DraftLine.Kind
_ENTRIES = (LedgerEntry.Kind.REFUND, LedgerEntry.Kind.CORRECTION, LedgerEntry.Kind.FEE)
_CREDIT_ENTRIES = "select entry_id from billing_credit_entry where tenant_id = %s"
_USAGE = (Kind.USAGE, Kind.UNCHARGED)
MONTHS_LOOKED_BACK = 14  # of months that are closed, for late usage: records stay as long at least

# project, model, mode, price version, meter; the meter is "" for what was not charged
Key = tuple[int, int, str, int, str]


class DoesNotAddUp(Exception):
    """The records of a period are not what the ledger's sums say."""

    def __init__(self, month: date, summed_nano_eur: int, counted_nano_eur: int) -> None:
        super().__init__(f"{month:%Y-%m}: the sums say {summed_nano_eur} nano-EUR, the records {counted_nano_eur}")
        self.month = month


@dataclass
class _Amount:
    """What a group has of a meter."""

    quantity: int = 0
    exact_nano_eur: int = 0


@dataclass
class _Groups:
    """Amounts by key; names of models beside them."""

    amounts: dict[Key, _Amount] = field(default_factory=lambda: defaultdict(_Amount))
    models: dict[int, str] = field(default_factory=dict)

    def add(self, group: Group) -> None:
        """A group of the records."""
        self.models[group.model_id] = group.model
        key = group.project_id, group.model_id, group.mode, group.price_version_id
        for meter, quantity, amount in zip(METERS, group.quantities, group.amounts, strict=True):
            if quantity or amount:
                self._move((*key, meter), quantity, amount)
        if group.uncharged_nano_eur:
            self._move((*key, ""), 0, -group.uncharged_nano_eur)

    def take(self, line: InvoiceLine) -> None:
        """What an invoice has of it already."""
        assert line.project_id is not None
        assert line.model_id is not None
        assert line.price_version_id is not None
        self.models.setdefault(line.model_id, line.model)
        key = line.project_id, line.model_id, line.mode, line.price_version_id, line.meter
        self._move(key, -line.quantity, -line.exact_nano_eur)

    def _move(self, key: Key, quantity: int, exact_nano_eur: int) -> None:
        amount = self.amounts[key]
        amount.quantity += quantity
        amount.exact_nano_eur += exact_nano_eur


def usage_lines(tenant: Tenant, month: date, period: Period) -> list[DraftLine]:
    """The period's usage. Raises `DoesNotAddUp`."""
    found = _Groups()
    _add_records(found, tenant, month, period)
    return _lines_of(found, month)


class Late(NamedTuple):
    """A month that is closed, and what the ledger's sums have of it beyond what was billed of it."""

    closing: Closing
    period: Period
    missing_nano_eur: int


def late_months(tenant: Tenant, before: date) -> list[Late]:
    """Months that are closed, of which something came to light since. Some few queries of sums."""
    closed = Closing.objects.filter(tenant=tenant, state=Closing.State.ISSUED, month__lt=before).order_by("-month")
    billed, found = _billed(tenant), []
    for one in reversed(list(closed[:MONTHS_LOOKED_BACK])):
        assert one.starts_at is not None
        assert one.ends_at is not None
        period = Period(one.starts_at, one.ends_at)
        if missing := summed(tenant.pk, period) - billed.get(one.month, 0):
            found.append(Late(one, period, missing))
    return found


def late_lines(tenant: Tenant, late: Iterable[Late]) -> list[DraftLine]:
    """What no invoice has of these months, group by group. Raises `DoesNotAddUp`."""
    lines: list[DraftLine] = []
    for one in late:
        found, month = _Groups(), one.closing.month
        _add_records(found, tenant, month, one.period)
        for line in InvoiceLine.objects.filter(tenant=tenant, covers_month=month, kind__in=_USAGE, credits=None):
            found.take(line)
        lines += _lines_of(found, month)
    return lines


def entry_lines(
    tenant: Tenant, month: date, period: Period, known: BillingSettings, carried: Sequence[Closing] = ()
) -> list[DraftLine]:
    """Entries of the ledger until the period's end that no invoice has, from the first period on that was closed.

    What moves prepaid credit is no bill's, but for what came in, where that is invoiced at top-up: in the period and
    in those that were `carried` over to it, as what came in before was billed as was said then.
    """
    first = Closing.objects.filter(tenant=tenant, state=Closing.State.ISSUED).order_by("month").first()
    since = first.starts_at if first and first.starts_at else period.starts_at
    credit = RawSQL(_CREDIT_ENTRIES, [tenant.pk])  # noqa: S611  # a constant of ours
    billed = Q(kind__in=_ENTRIES) & ~Q(pk__in=credit)
    if known.credit_invoiced == BillingSettings.CreditInvoiced.AT_TOP_UP:
        came_in = min([period.starts_at, *(one.starts_at for one in carried if one.starts_at)])
        billed |= Q(kind=LedgerEntry.Kind.TOP_UP, created_at__gte=came_in)
    found = LedgerEntry.objects.filter(
        billed, tenant_id=tenant.pk, created_at__gte=since, created_at__lt=period.ends_at
    )
    invoiced = InvoiceLine.objects.filter(tenant=tenant, entry_id__isnull=False).values("entry_id")
    left = found.exclude(pk__in=invoiced).order_by("created_at", "id")
    return [_entry_line(entry, _month_in(carried, entry.created_at, month)) for entry in left]


def credit_lines(month: date, used_nano_eur: int) -> list[DraftLine]:
    """What was paid out of prepaid credit, where the credit itself was invoiced when it came in."""
    if not used_nano_eur:
        return []
    return [DraftLine(covers_month=month, kind=Kind.CREDIT, exact_nano_eur=-used_nano_eur)]


def term_lines(tenant: Tenant, month: date, used_nano_eur: int, language: str) -> list[DraftLine]:
    """Fixed lines and discounts of the contract, worded in the invoice's language. They become entries when issued."""
    with translation.override(language):
        terms = lines_at_closing(tenant, month, used_nano_eur)
    return [
        DraftLine(
            covers_month=month,
            kind=Kind.TERM,
            project_id=term.project_id,
            exact_nano_eur=term.amount_nano_eur,
            text=term.description[:500],
            explained=term.explained[:500],
            entry_kind=LedgerEntry.Kind.FEE if term.kind == "fee" else LedgerEntry.Kind.CORRECTION,
            term_key=term.key,
        )
        for term in terms
    ]


def placed(lines: Iterable[DraftLine], closing: Closing) -> list[DraftLine]:
    """The lines of the closing, numbered from 1, with the names that projects have now."""
    lines = list(lines)
    ids = {line.project_id for line in lines if line.project_id is not None}
    projects = {one.pk: one for one in Project.objects.filter(pk__in=ids)}
    prices = _prices({line.price_version_id for line in lines if line.price_version_id is not None})
    for line in lines:
        if line.project_id is not None:
            project = projects[line.project_id]
            line.project, line.cost_centre = project.name, project.cost_centre
            line.purchase_order = project.purchase_order
        if line.price_version_id is not None and line.meter:
            line.price_nano_eur = prices.get((line.price_version_id, line.meter))
    lines.sort(key=_place)
    for number, line in enumerate(lines, 1):
        line.closing, line.position, line.net_cents = closing, number, cents(line.exact_nano_eur)
    return lines


def _add_records(found: _Groups, tenant: Tenant, month: date, period: Period) -> None:
    records = groups(tenant.pk, period)
    counted, right = sum(group.cost_nano_eur for group in records), summed(tenant.pk, period)
    if counted != right:
        raise DoesNotAddUp(month, right, counted)
    for group in records:
        found.add(group)


def _lines_of(found: _Groups, month: date) -> list[DraftLine]:
    lines = []
    for (project_id, model_id, mode, version_id, meter), amount in found.amounts.items():
        if amount.quantity or amount.exact_nano_eur:
            kind = Kind.USAGE if meter else Kind.UNCHARGED
            line = DraftLine(covers_month=month, kind=kind, project_id=project_id, model_id=model_id, mode=mode)
            line.model, line.price_version_id, line.meter = found.models[model_id], version_id, meter
            line.quantity, line.exact_nano_eur = amount.quantity, amount.exact_nano_eur
            lines.append(line)
    return lines


def _billed(tenant: Tenant) -> dict[date, int]:
    """What invoices billed of the usage of each month; credit notes take nothing back of what was used."""
    usage = InvoiceLine.objects.filter(kind__in=_USAGE, tenant=tenant, credits=None)
    sums = usage.order_by().values("covers_month").annotate(total=Sum("exact_nano_eur"))
    return {row["covers_month"]: int(row["total"]) for row in sums}


def _entry_line(entry: LedgerEntry, month: date) -> DraftLine:
    """A refund is given back, what else is entered is to be paid where it is above zero, as in every export."""
    sign = -1 if entry.kind == LedgerEntry.Kind.REFUND else 1
    kind = Kind.TOP_UP if entry.kind == LedgerEntry.Kind.TOP_UP else Kind.ENTRY
    return DraftLine(
        covers_month=month,
        kind=kind,
        exact_nano_eur=sign * entry.amount_nano_eur,
        text=entry.reason[:500],
        entry_id=entry.id,
        entry_kind=entry.kind,
    )


def _month_in(carried: Sequence[Closing], at: datetime, month: date) -> date:
    """The month that was carried over in which it is, else this one."""
    mine = (one.month for one in carried if one.starts_at and one.ends_at and one.starts_at <= at < one.ends_at)
    return next(mine, month)


def _prices(versions: set[int]) -> dict[tuple[int, str], int]:
    """Nano-EUR per million units by version and meter, what a meter costs as another one included."""
    given = MeterPrice.objects.filter(version__in=versions).values_list("version_id", "meter", "nano_eur_per_million")
    own = {(version, meter): price for version, meter, price in given}
    found = dict(own)
    for version in versions:
        for meter, instead in FALL_BACKS.items():
            if (version, meter) not in own and (version, instead) in own:
                found[version, meter] = own[version, instead]
    return found


def _place(line: DraftLine) -> tuple[object, ...]:
    """Projects by name; in each the month's own usage, then late usage; what is of no project last."""
    meter = METERS.index(line.meter) if line.meter in METERS else len(METERS)
    of_project = (name_key(line.project), line.project_id or 0)
    usage = (-line.covers_month.toordinal(), line.model, line.mode, line.price_version_id or 0, meter)
    return (line.project_id is None, *of_project, *usage, line.kind, str(line.entry_id or ""), line.term_key)


def total_of(lines: Iterable[DraftLine] | Sequence[InvoiceLine]) -> tuple[int, int]:
    """The exact sum in nano-EUR, and the sum of the lines' cents."""
    found = [(line.exact_nano_eur, line.net_cents) for line in lines]
    return sum(exact for exact, _cents in found), sum(net for _exact, net in found)
