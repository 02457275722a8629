"""What one key did: its requests by model, and what went wrong lately."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from billing.usage import lowest_request_id

_BY_MODEL = """
    select m.name, sum(u.requests)::bigint, sum(u.failed_requests)::bigint,
        sum(u.input_quantity + u.cached_quantity)::bigint, sum(u.output_quantity + u.reasoning_quantity)::bigint,
        sum(u.cost_nano_eur)::bigint
    from billing_usage_hour u join models_catalog_languagemodel m on m.id = u.model_id
    where u.tenant_id = %(tenant)s and u.key_id = %(key)s and u.hour >= %(since)s
    group by m.name order by 6 desc, 1 limit %(size)s
"""
# A record that did not complete keeps its status, a refusal its code.
_ERRORS = """
    (select at, request_id, code, limit_name, model, null::int as http_status
        from billing_refusal where key_id = %(key)s and tenant_id = %(tenant)s order by at desc limit %(size)s)
    union all
    (select admitted_at, request_id, status, '', model, http_status
        from billing_usage_record
        where key_id = %(key)s and tenant_id = %(tenant)s and status <> 'completed' and request_id >= %(first)s
        order by request_id desc limit %(size)s)
    order by 1 desc limit %(size)s
"""


@dataclass(frozen=True, slots=True)
class ModelUse:
    """What a key asked of a model; tokens, and the cost in nano-EUR."""

    model: str
    requests: int
    failed_requests: int
    input_tokens: int
    output_tokens: int
    cost_nano_eur: int


class Mishap(NamedTuple):
    """A request that was refused (`http_status` None, `code` says why) or did not complete (`code` is its status)."""

    at: datetime
    request_id: UUID
    code: str
    limit: str
    model: str
    http_status: int | None


def usage_by_model(tenant_id: int, key_id: int, *, since: datetime, size: int = 20) -> list[ModelUse]:
    """The dearest models first, of the whole hours since then."""
    return [ModelUse(*row) for row in _rows(_BY_MODEL, tenant=tenant_id, key=key_id, since=since, size=size)]


def last_errors(tenant_id: int, key_id: int, *, since: datetime, size: int = 10) -> list[Mishap]:
    """The last refusals, and the last requests since then that did not complete; the newest first."""
    first = lowest_request_id(since)
    return [Mishap(*row) for row in _rows(_ERRORS, tenant=tenant_id, key=key_id, first=first, size=size)]


def _rows(query: str, **values: Any) -> Sequence[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        rows: Sequence[tuple[Any, ...]] = cursor.fetchall()
    return rows
