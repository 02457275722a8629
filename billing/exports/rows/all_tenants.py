"""The rows of all tenants, one after the other by their ids: each as the tenant's own export has them, in days of its
own time zone, behind the tenant's short name and name. FOCUS says whose a row is by itself.

The platform's own account is left out. Whoever used nothing and has no entry in the period costs nothing.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, NamedTuple

from django.db import connection

from billing.exports.formats.table import Column, Row
from billing.exports.rows.names import Names
from billing.exports.rows.source import Batch, Scope, Source

TENANTS_A_PART = 50  # of those with few rows each: a part takes seconds at most
_MARGIN = timedelta(days=1)  # of time zones: a day begins up to 14 hours before that of UTC, or 12 after it
_WITH_ROWS = """
    select t.id, t.time_zone, (select max(id) from identity_tenant) from identity_tenant t
    where t.id >= %(first)s and not t.is_platform and (
        exists (select from billing_usage_day d where d.tenant_id = t.id and d.day >= %(since)s and d.day < %(until)s)
        or exists (
            select from billing_ledger_entry e
            where e.tenant_id = t.id and e.created_at >= %(since)s and e.created_at < %(until)s
        )
    )
    order by t.id limit %(size)s
"""


class _Tenant(NamedTuple):
    id: int
    time_zone: str
    last_id: int


class AllTenants:
    """A source of all tenants' rows out of one of a tenant's. Its cursor: a tenant's id and the cursor there."""

    def __init__(self, source: Source, *, is_named: bool) -> None:
        """`is_named`: a tenant's name stands before its rows; they have a column `day`."""
        self._source, self._is_named = source, is_named
        self._day = [column.name for column in source.COLUMNS].index("day") if is_named else 0
        named = (Column("tenant"), Column("tenant_name")) if is_named else ()
        self.COLUMNS: tuple[Column, ...] = (*named, *source.COLUMNS)

    def read(self, scope: Scope, cursor: list[Any], size: int) -> Batch:
        """The next rows: of one tenant or of many."""
        first, inner = cursor or (0, [])
        rows: list[Row] = []
        total, tenants = 0, _with_rows(scope, first, TENANTS_A_PART + 1)
        for tenant in tenants[:TENANTS_A_PART]:
            if tenant.id != first:  # the one at which the last part ended may have lost its rows to retention
                inner = []
            its = _of(scope, tenant)
            while len(rows) < size:
                batch = self._source.read(its, inner, size - len(rows))
                rows += self._named(its, batch.rows)
                total, inner = total + batch.total_nano_eur, batch.cursor or []
                if batch.cursor is None:
                    break
            else:
                return Batch(rows, [tenant.id, inner], _reached(scope, tenant), total)
        if len(tenants) <= TENANTS_A_PART:
            return Batch(rows, None, scope.until, total)
        following = tenants[TENANTS_A_PART]
        return Batch(rows, [following.id, []], _reached(scope, following), total)

    def _named(self, scope: Scope, rows: Sequence[Row]) -> Sequence[Row]:
        if not self._is_named or not rows:
            return rows
        days = [row[self._day] for row in rows]
        names = Names(scope, ((day, None, None) for day in days), is_billed=True)  # type: ignore[misc]  # they are days
        called = [names.tenant(day) for day in days]  # type: ignore[arg-type]
        return [(one.ref, one.name, *row) for one, row in zip(called, rows, strict=True)]


def _with_rows(scope: Scope, first: int, size: int) -> list[_Tenant]:
    values: dict[str, Any] = {
        "first": first,
        "since": scope.since - _MARGIN,
        "until": scope.until + _MARGIN,
        "size": size,
    }
    with connection.cursor() as reader:
        reader.execute(_WITH_ROWS, values)
        return [_Tenant(*row) for row in reader.fetchall()]


def _of(scope: Scope, tenant: _Tenant) -> Scope:
    """The same days in the tenant's time zone."""
    here = replace(scope, tenant_id=tenant.id, time_zone=tenant.time_zone)
    return replace(here, since=here.midnight(scope.since.date()), until=here.midnight(scope.until.date()))


def _reached(scope: Scope, tenant: _Tenant) -> Any:
    """For the share that is shown: ids stand for time."""
    whole = min(scope.until, scope.cut_at) - scope.since
    return scope.since + whole * tenant.id / tenant.last_id
