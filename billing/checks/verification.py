"""Adds the whole ledger up again, from its rows (I2, I3, I4): what `verify_ledger` does, and whoever has to be sure.

PostgreSQL adds, month by month, in one snapshot: it may run while requests are served, and this process holds nothing
but the differences. What each check compares is said in `docs/reconciliation.md`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any, NamedTuple, Protocol

from django.db import connection, transaction

from billing.checks import recount, recount_labels
from billing.checks.invoices import invoice_differences
from billing.pricing import METERS

MOST_TOLD = 1_000  # differences a check and month: whoever has more has one cause, and these show it
# For each sort and hash of the database while it adds up; what needs more goes to its disk.
_WORK_MEMORY = "64MB"
_SUMS = ("requests", "failed_requests", *(f"{meter}_quantity" for meter in METERS), "cost", "uncharged")
_LABEL_SUMS = ("requests", "failed_requests", "input tokens", "output tokens", "cost")
_MONTH_SUMS = ("requests", "cost", "uncharged")

Tell = Callable[[str], None]


class Cursor(Protocol):
    """Django's cursor, or psycopg's."""

    def execute(self, query: str, params: list[Any] | None = None, /) -> Any: ...
    def fetchall(self) -> list[tuple[Any, ...]]: ...


class Difference(NamedTuple):
    """Something that does not add up: of what, where, and what it should be. Money is in nano-EUR."""

    what: str
    where: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.what}: {self.where}: expected {self.expected}, found {self.found}"


def verify(tell: Tell = lambda line: None) -> list[Difference]:
    """Every difference in the ledger as it is at one instant, none when all of it adds up; `tell` gets the progress.

    Not inside of a transaction: it needs a snapshot of its own.
    """
    with _snapshot() as cursor:
        return list(differences(cursor, tell))


def differences(cursor: Cursor, tell: Tell) -> Iterator[Difference]:
    """The checks, one after the other, in the cursor's snapshot: a transaction that is REPEATABLE READ."""
    cursor.execute(recount.MAKE_TABLES)
    cursor.execute(recount.PARTITIONS)
    for partition, is_default in cursor.fetchall():
        cursor.execute(recount.count_rows(partition))
        [(rows,)] = cursor.fetchall()
        if rows == 0:
            continue
        tell(f"{partition}: {rows} records")
        if is_default:
            yield Difference("partition", partition, "no record", f"{rows} records")
        yield from partition_differences(cursor, partition)
        cursor.execute(recount.add_hours(partition))
        cursor.execute(recount_labels.add_labels(partition))
    yield from _sealed_months(cursor, tell)
    for title, check in _CHECKS:
        tell(title)
        yield from check(cursor)


def partition_differences(cursor: Cursor, partition: str) -> Iterator[Difference]:
    """Each record of a partition by itself, and its seal where it has one."""
    yield from _records(cursor, partition)
    cursor.execute(recount.SEALED_MONTHS)
    for month, *_ in cursor.fetchall():
        if partition == f"billing_usage_record_{month:%Y_%m}":
            yield from _seal_of_records(cursor, partition, month)


@contextmanager
def _snapshot() -> Iterator[Cursor]:
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute("set transaction isolation level repeatable read")
        cursor.execute(f"set local work_mem = '{_WORK_MEMORY}'")
        yield cursor


def _rows(cursor: Cursor, query: str, parameters: list[Any] | None = None) -> list[tuple[Any, ...]]:
    cursor.execute(f"{query} limit {MOST_TOLD}", parameters)
    return cursor.fetchall()


def _records(cursor: Cursor, partition: str) -> Iterator[Difference]:
    """Each record by itself: its price, its meters, its sum, its time; and that there is one of it."""
    for request_id, tenant, unpriced, stored, expected, cost, uncharged in _rows(cursor, recount.prices(partition)):
        where = _record(request_id, tenant)
        if unpriced:
            yield Difference("price", where, "a price for each meter used", "none for one of them")
            continue
        for meter, amount, right in zip(METERS, stored, expected, strict=True):
            if amount != right:
                yield Difference(f"{meter} amount", where, str(right), str(amount))
        if cost + uncharged != sum(expected):
            yield Difference("cost and uncharged", where, str(sum(expected)), f"{cost} and {uncharged}")
    for request_id, tenant, status, cost in _rows(cursor, recount.charged_for_nothing(partition)):
        yield Difference("cost", _record(request_id, tenant), f"0, being {status}", str(cost))
    for request_id, tenant, milliseconds in _rows(cursor, recount.broken_minutes(partition)):
        yield Difference("audio", _record(request_id, tenant), "whole minutes", f"{milliseconds} ms")
    for request_id, tenant, admitted_at, settled_at in _rows(cursor, recount.odd_times(partition)):
        times = f"admitted {admitted_at}, settled {settled_at}"
        yield Difference("time", _record(request_id, tenant), "that of its id, and a later end", times)
    for request_id, times in _rows(cursor, recount.repeated(partition)):
        yield Difference("record", f"request {request_id}", "once", f"{times} times")


def _seal_of_records(cursor: Cursor, partition: str, month: date) -> Iterator[Difference]:
    """What was sealed of a month, hour by hour, against its rows."""
    for row in _rows(cursor, recount.broken_seals(partition), [month]):
        *sums, sealed_digest, digest = row
        different = list(_sums_of_hour(sums, "sealed"))
        yield from different
        if not different:
            yield Difference("sealed digest", _hour(row), sealed_digest, digest)


def _sealed_months(cursor: Cursor, tell: Tell) -> Iterator[Difference]:
    """Each seal against its hours and the audit chain; where the rows were detached, its hours stand in for them."""
    cursor.execute(recount.SEALED_MONTHS)
    for month, requests, cost, uncharged, digest, audited, is_attached in cursor.fetchall():
        where = f"month {month:%Y-%m}"
        cursor.execute(recount.MONTH_TOTALS, [month])
        [(*totals, right)] = cursor.fetchall()
        for name, expected, found in zip(_MONTH_SUMS, totals, (requests, cost, uncharged), strict=True):
            if expected != found:
                yield Difference(f"sealed {name}", where, str(expected), str(found))
        if bytes(right).hex() != digest:
            yield Difference("sealed digest", where, bytes(right).hex(), digest)
        if audited != digest:
            yield Difference("sealed digest", where, f"{audited}, says the audit chain", digest)
        if not is_attached:
            tell(f"{where}: its sealed totals, for {requests} requests")
            cursor.execute(recount.ADD_SEALED_HOURS, [month])
            cursor.execute(recount.ADD_DETACHED, [month])


def _hours(cursor: Cursor) -> Iterator[Difference]:
    """The rollups against the records of their hour (docs/decisions/0003)."""
    for row in _rows(cursor, recount.HOURS):
        yield from _sums_of_hour(row, "rollup's")


def _days(cursor: Cursor) -> Iterator[Difference]:
    """The sums a day (UTC), against the records of theirs."""
    for day, tenant, project, model, mode, *sums in _rows(cursor, recount.DAYS):
        where = f"day {day:%Y-%m-%d}Z, tenant {tenant}, project {project}, model {model}, {mode}"
        yield from _wrong_sums(sums, "day's", where)


def _labels(cursor: Cursor) -> Iterator[Difference]:
    """The sums of what clients labelled, against the records of their hour."""
    for hour, tenant, project, model, label, *sums in _rows(cursor, recount_labels.LABELS):
        where = f"hour {hour:%Y-%m-%d %H}Z, tenant {tenant}, project {project}, model {model}, label {label!r}"
        for name, right, wrong in zip(_LABEL_SUMS, sums[:5], sums[5:], strict=True):
            if right != wrong:
                yield Difference(f"label's {name}", where, str(right), str(wrong))


def _sums_of_hour(row: Sequence[Any], what: str) -> Iterator[Difference]:
    yield from _wrong_sums(row[6:], what, _hour(row))


def _wrong_sums(sums: Sequence[Any], what: str, where: str) -> Iterator[Difference]:
    """Of first what is expected of each, then what is there."""
    for name, right, wrong in zip(_SUMS, sums[: len(_SUMS)], sums[len(_SUMS) :], strict=True):
        if right != wrong:
            yield Difference(f"{what} {name}", where, str(right), str(wrong))


def _hour(row: Sequence[Any]) -> str:
    hour, tenant, project, key, model, mode = row[:6]
    return f"hour {hour:%Y-%m-%d %H}Z, tenant {tenant}, project {project}, key {key}, model {model}, {mode}"


def _spent(cursor: Cursor) -> Iterator[Difference]:
    """What each period of a budget says is spent, against the records of its scope that were admitted in it."""
    cursor.execute(recount.ADD_SCOPES)
    for period, budget, scope, scope_id, starts_at, low, high, found in _rows(cursor, recount.SPENT):
        where = f"budget {budget} on {scope} {scope_id}, period {period} from {starts_at:%Y-%m-%d %H:%M}Z"
        expected = str(low) if low == high else f"{low} to {high}"
        yield Difference("spent", where, expected, str(found))


def _held(cursor: Cursor) -> Iterator[Difference]:
    """What each period says is held, against the open holds; and that cap and records leave room for it."""
    for period, budget, expected, found in _rows(cursor, recount.HELD):
        yield Difference("held", f"budget {budget}, period {period}", str(expected), str(found))
    for period, budget, cap, sum_ in _rows(cursor, recount.OVERSHOT):
        yield Difference("spent and held", f"budget {budget}, period {period}", f"at most {cap}", str(sum_))
    for request_id, tenant in _rows(cursor, recount.HELD_AND_SETTLED):
        yield Difference("hold", _record(request_id, tenant), "none, it is settled", "one")


def _entries(cursor: Cursor) -> Iterator[Difference]:
    """Ledger entries: made once, for something, and about requests that there are."""
    for tenant, idempotency_key, times in _rows(cursor, recount.ENTRIES_TWICE):
        yield Difference("ledger entry", f"tenant {tenant}, {idempotency_key}", "once", f"{times} times")
    for entry, tenant, request_id in _rows(cursor, recount.ENTRIES_ABOUT_NOTHING):
        yield Difference("ledger entry", f"{entry} of tenant {tenant}", f"a record of request {request_id}", "none")
    for period, entry, amount, refund in _rows(cursor, recount.REFUNDED_FOR_NOTHING):
        yield Difference("refunded", f"period {period}, entry {entry}", f"at most {refund}", str(amount))


def _credit(cursor: Cursor) -> Iterator[Difference]:
    """Prepaid credit: its budgets' limits against the entries, and its entries against the ledger's."""
    for tenant, credited, ending, limits in _rows(cursor, recount.CREDIT_LIMITS):
        yield Difference("credit limit", f"tenant {tenant}", str(credited - ending), str(limits))
    for tenant, credited, used in _rows(cursor, recount.CREDIT_OVERDRAWN):
        yield Difference("credit spent and held", f"tenant {tenant}", f"at most {credited}", str(used))
    for entry, tenant, found in _rows(cursor, recount.CREDIT_ENTRIES):
        yield Difference("credit entry", f"{entry} of tenant {tenant}", "one in the ledger that is credit", found)


def _invoices(cursor: Cursor) -> Iterator[Difference]:
    """What was issued, against its lines, the ledger's sums and entries."""
    yield from invoice_differences(cursor, Difference)


_CHECKS: tuple[tuple[str, Callable[[Cursor], Iterator[Difference]]], ...] = (
    ("rollups against records", _hours),
    ("sums a day against records", _days),
    ("sums a label against records", _labels),
    ("budgets: spent", _spent),
    ("budgets: held", _held),
    ("ledger entries", _entries),
    ("prepaid credit", _credit),
    ("invoices", _invoices),
)


def _record(request_id: object, tenant: object) -> str:
    return f"request {request_id} of tenant {tenant}"
