"""What went wrong with the requests of a key lately."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from billing.usage.records import lowest_request_id

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


class Mishap(NamedTuple):
    """A request that was refused (`http_status` None, `code` says why) or did not complete (`code` is its status)."""

    at: datetime
    request_id: UUID
    code: str
    limit: str
    model: str
    http_status: int | None


def last_errors(tenant_id: int, key_id: int, *, since: datetime, size: int = 10) -> list[Mishap]:
    """The last refusals, and the last requests since then that did not complete; the newest first."""
    values: dict[str, Any] = {"tenant": tenant_id, "key": key_id, "first": lowest_request_id(since), "size": size}
    with connection.cursor() as cursor:
        cursor.execute(_ERRORS, values)
        return [Mishap(*row) for row in cursor.fetchall()]
