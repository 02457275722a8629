"""A month's statement: what was charged by project and model, and what the ledger gave back. Reads only, nano-EUR.

The month is that of the tenant's time zone. Sums are the ledger's own (`day_sums.py`), so the statement of a
month that runs is as fresh as its last charge; invoices are made of closed months.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from django.db import connection
from django.db.models import Sum

from billing.models import LedgerEntry
from billing.money import exact_eur
from billing.pricing import METERS, Quantities
from billing.usage.day_sums import DAYS_USED, DaysUsed
from billing.usage.records import MOST_ROWS, TooManyRows
from identity.models import Tenant
from identity.name_order import BY_NAME_SQL
from identity.spreadsheet import safe_cell

CSV_HEAD = ("month", "project_id", "project", "cost_centre", "model", "requests", *METERS, "cost_eur")
_LINES = f"""
    with {DAYS_USED}
    select p.id, p.name, p.cost_centre, m.name, u.requests, u.cost, {", ".join(METERS)}
    from (
        select project_id, model_id, sum(requests)::bigint as requests, sum(cost_nano_eur)::bigint as cost,
            {", ".join(f"sum({meter}_quantity)::bigint as {meter}" for meter in METERS)}
        from used group by 1, 2 having sum(requests) <> 0
    ) u join identity_project p on p.id = u.project_id join models_catalog_languagemodel m on m.id = u.model_id
    order by {BY_NAME_SQL.format("p.name")}, 1, 4 limit {MOST_ROWS + 1}
"""  # noqa: S608  # constants of ours


@dataclass(frozen=True, slots=True)
class Line:
    """What a project used of a model in the month."""

    project_id: int
    project: str
    cost_centre: str
    model: str
    requests: int
    cost_nano_eur: int
    quantities: Quantities

    @property
    def tokens(self) -> int:
        """All that were counted."""
        return sum(self.quantities[:4])


@dataclass(frozen=True, slots=True)
class Statement:
    """`[starts_at, ends_at)`. Lines are by project and model; `refunded_nano_eur` was given back in the month."""

    starts_at: datetime
    ends_at: datetime
    lines: Sequence[Line]
    refunded_nano_eur: int

    @property
    def requests(self) -> int:
        """Of all lines."""
        return sum(line.requests for line in self.lines)

    @property
    def total_nano_eur(self) -> int:
        """What the month comes to."""
        return sum(line.cost_nano_eur for line in self.lines) - self.refunded_nano_eur

    def dearest(self, most: int) -> list[Line]:
        """The lines that cost most."""
        return sorted(self.lines, key=lambda line: -line.cost_nano_eur)[:most]


def month_of(tenant: Tenant, day: date) -> tuple[datetime, datetime]:
    """The month of that day in the tenant's time zone, `[first, first of the next)`."""
    zone = ZoneInfo(tenant.time_zone)
    first = day.replace(day=1)
    following = (first + timedelta(days=32)).replace(day=1)
    return (
        datetime(first.year, first.month, 1, tzinfo=zone),
        datetime(following.year, following.month, 1, tzinfo=zone),
    )


def first_day(tenant: Tenant) -> date:
    """The tenant's first, in its time zone: when it was made, or first used where that was before."""
    with connection.cursor() as cursor:
        cursor.execute("select min(day) from billing_usage_day where tenant_id = %s", [tenant.pk])
        used: datetime = cursor.fetchone()[0] or tenant.created_at
    return min(tenant.created_at, used).astimezone(ZoneInfo(tenant.time_zone)).date()


def statement(tenant: Tenant, day: date) -> Statement:
    """The statement of the month of that day. Raises `TooManyRows` for thousands of projects times models."""
    starts_at, ends_at = month_of(tenant, day)
    first, last = starts_at.date(), ends_at.date() - timedelta(days=1)
    with connection.cursor() as cursor:
        cursor.execute(_LINES, DaysUsed(tenant.pk, first, last, tenant.time_zone).parameters())
        lines = [Line(*(*row[:6], Quantities(*row[6:]))) for row in cursor.fetchall()]
    if len(lines) > MOST_ROWS:
        raise TooManyRows(f"more than {MOST_ROWS} rows: ask the API for one project")
    given_back = LedgerEntry.objects.filter(
        tenant_id=tenant.pk, kind=LedgerEntry.Kind.REFUND, created_at__gte=starts_at, created_at__lt=ends_at
    ).aggregate(total=Sum("amount_nano_eur"))
    return Statement(starts_at, ends_at, lines, given_back["total"] or 0)


def csv_of(shown: Statement) -> str:
    """The statement as CSV (RFC 4180): a head, a line a project and model, refunds, the total. Amounts are exact euros.

    Names are made safe for spreadsheets.
    """
    month = f"{shown.starts_at:%Y-%m}"
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(CSV_HEAD)
    for line in shown.lines:
        names = map(safe_cell, (line.project, line.cost_centre, line.model))
        rows.writerow([month, line.project_id, *names, line.requests, *line.quantities, exact_eur(line.cost_nano_eur)])
    empty = [""] * len(METERS)
    rows.writerow([month, "", "refunds", "", "", "", *empty, exact_eur(-shown.refunded_nano_eur)])
    rows.writerow([month, "", "total", "", "", shown.requests, *empty, exact_eur(shown.total_nano_eur)])
    return text.getvalue()
