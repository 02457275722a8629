"""Usage records one by one, the oldest first: what each request used and cost, never what it said."""

# ruff: noqa: S608  # queries are made of constants of ours

from typing import Any
from uuid import UUID

from django.db import connection

from billing.exports.formats.table import Column, Type, eur
from billing.exports.rows.kept import require_records
from billing.exports.rows.names import Names
from billing.exports.rows.source import Batch, Scope
from billing.pricing import METERS
from billing.usage.records import ID_MARGIN, id_made_at, lowest_request_id

_PLAIN = (
    Column("model"),
    Column("alias"),
    Column("endpoint"),
    Column("door"),
    Column("mode"),
    Column("status"),
    Column("http_status", Type.WHOLE),
    Column("finish_reason"),
    Column("stream", Type.FLAG),
    Column("label"),
    Column("site"),
)
_MEASURED = (
    *(Column(f"{meter}_quantity", Type.WHOLE, is_summed=True) for meter in METERS),
    *(eur(f"{meter}_eur") for meter in METERS),
    eur("cost_eur"),
    eur("uncharged_eur"),
)
_LAST = (
    Column("contract_id", Type.WHOLE),
    Column("price_version_id", Type.WHOLE),
    Column("kwh_per_million_tokens", Type.DECIMAL, scale=3),
    Column("kwh", Type.DECIMAL, scale=9, is_summed=True),
    Column("max_tokens_asked", Type.WHOLE),
    Column("max_tokens_given", Type.WHOLE),
    Column("guardrail"),
    Column("ttft_ms", Type.WHOLE),
    Column("duration_ms", Type.WHOLE),
)
COLUMNS: tuple[Column, ...] = (
    Column("request_id"),
    Column("parent_id"),
    Column("admitted_at", Type.MOMENT),
    Column("settled_at", Type.MOMENT),
    Column("day", Type.DAY),
    Column("project_id", Type.WHOLE),
    Column("project"),
    Column("cost_centre"),
    Column("key_id"),
    Column("key"),
    Column("owner"),
    *_PLAIN,
    *_MEASURED,
    *_LAST,
)
_OF_TABLE = {
    "kwh_per_million_tokens": "(kwh_per_million_tokens * 1000)::bigint",
    "kwh": "((input_quantity + cached_quantity + output_quantity + reasoning_quantity)"
    " * kwh_per_million_tokens * 1000)::bigint",
}
_READ = ", ".join(
    _OF_TABLE.get(column.name, column.name.replace("_eur", "_nano_eur")) for column in (*_PLAIN, *_MEASURED, *_LAST)
)
_COST = len(_PLAIN) + 2 * len(METERS)
# `request_id` bounds the partitions and the part of the index to be read; the exact time then decides.
WITHIN = """
    tenant_id = %(tenant)s and request_id > %(after)s and request_id < %(before)s
    and admitted_at >= %(since)s and admitted_at < %(until)s and settled_at <= %(cut)s
    and (%(project)s::bigint is null or project_id = %(project)s) and (%(key)s::bigint is null or key_id = %(key)s)
    and (%(model)s = '' or model = %(model)s)
"""
_QUERY = f"""
    select request_id, parent_id::text, admitted_at, settled_at, (admitted_at at time zone %(zone)s)::date, project_id,
        key_id, owner::text, {_READ}
    from billing_usage_record where {WITHIN} order by request_id limit %(size)s
"""


def bounds(scope: Scope) -> dict[str, UUID]:
    """The ids between which those of the scope are."""
    return {
        "after": lowest_request_id(scope.since - ID_MARGIN),
        "before": lowest_request_id(min(scope.until, scope.cut_at) + ID_MARGIN),
    }


def read(scope: Scope, cursor: list[Any], size: int) -> Batch:
    """The next records. Raises `NotKept`."""
    if not cursor:
        require_records(scope)
    parameters = scope.parameters() | bounds(scope) | {"size": size}
    if cursor:
        parameters["after"] = UUID(cursor[0])
    with connection.cursor() as reader:
        reader.execute(_QUERY, parameters)
        found = reader.fetchall()
    names = Names(scope, ((row[4], row[5], row[6]) for row in found))
    rows = []
    for request_id, parent_id, admitted_at, settled_at, day, project_id, key_id, owner, *rest in found:
        project, key = names.project(day, project_id), names.key(day, key_id)
        named = (project_id, project.name, project.ref, key.ref, key.name, owner)
        rows.append((str(request_id), parent_id, admitted_at, settled_at, day, *named, *rest))
    last = found[-1][0] if found else None
    return Batch(
        rows,
        [str(last)] if last and len(found) == size else None,
        id_made_at(last) if last else scope.until,
        sum(row[8 + _COST] for row in found),
    )
