"""Entries of the ledger, the oldest first: money that moved outside a request."""

from typing import Any

from django.db import connection

from billing.exports.formats.table import Column, Type, eur
from billing.exports.rows.source import Batch, Scope

COLUMNS: tuple[Column, ...] = (
    Column("entry_id"),
    Column("created_at", Type.MOMENT),
    Column("day", Type.DAY),
    Column("kind"),
    eur("amount_eur"),
    Column("request_id"),
    Column("reason"),
)
# `id` decides among entries of one transaction.
_QUERY = """
    select id::text, created_at, (created_at at time zone %(zone)s)::date, kind, amount_nano_eur, request_id::text,
        reason
    from billing_ledger_entry
    where tenant_id = %(tenant)s and created_at >= %(since)s and created_at < %(until)s and created_at <= %(cut)s
        and (%(at)s::timestamptz is null or (created_at, id) > (%(at)s, %(id)s::uuid))
    order by created_at, id limit %(size)s
"""


def entries(scope: Scope, cursor: list[Any], size: int) -> list[tuple[Any, ...]]:
    """The next entries, as rows of `COLUMNS`."""
    at, entry_id = cursor or (None, None)
    with connection.cursor() as reader:
        reader.execute(_QUERY, scope.parameters() | {"at": at, "id": entry_id, "size": size})
        rows: list[tuple[Any, ...]] = reader.fetchall()
    return rows


def place_of(entry: tuple[Any, ...]) -> list[Any]:
    """The cursor after an entry."""
    return [entry[1].isoformat(), entry[0]]


def read(scope: Scope, cursor: list[Any], size: int) -> Batch:
    """The next entries."""
    found = entries(scope, cursor, size)
    is_last = len(found) < size
    return Batch(
        found,
        None if is_last else place_of(found[-1]),
        scope.until if is_last else found[-1][1],
        sum(row[4] for row in found),
    )
