"""What in a tenant asks for somebody's care: keys that expire, that nobody answers for or uses; webhooks that are off.

One query, each count up to `COUNTED_MAX`: with half a million keys it takes what it takes with ten.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from identity.access import Caller
from identity.key_search import EXPIRES_SOON, UNUSED
from identity.permissions import Permission

COUNTED_MAX = 100
# Of a tenant's keys, so many of the oldest are asked whether anybody uses them.
_ASKED_MAX = 500
_MINE = "(%(projects)s::bigint[] is null or k.project_id = any(%(projects)s))"
_LIVES = "k.revoked_at is null and k.kind = 'api' and (k.expires_at is null or k.expires_at > %(now)s)"
# The order is for the planner alone: who has no owner mostly has somebody responsible, which it does not know; it reads
# all keys for those that have neither unless their order makes it take the index.
_QUERY = f"""
    select
        exists (select from identity_apikey k where k.tenant_id = %(tenant)s and {_MINE} and {_LIVES}),
        e.keys, e.first,
        (select count(*) from (
            select from identity_apikey k where k.tenant_id = %(tenant)s and {_MINE} and {_LIVES}
                and k.owner_id is null and k.responsible_id is null
            order by k.responsible_id limit {COUNTED_MAX}
        ) n),
        (select count(*) from (
            select from (
                select id from identity_apikey k where k.tenant_id = %(tenant)s and {_MINE} and {_LIVES}
                    and k.created_at < %(unused_since)s order by k.id limit {_ASKED_MAX}
            ) old where not exists (
                select from identity_keyuse u where u.key_id = old.id and u.used_hour > %(unused_since)s
            ) limit {COUNTED_MAX}
        ) n),
        (select count(*) from identity_webhook w where w.tenant_id = %(tenant)s and w.status <> 'active'),
        (select jsonb_object_agg(p.id, p.name) from identity_project p
            where p.tenant_id = %(tenant)s and p.id = any(%(named)s))
    from (
        select count(*) as keys, min(expires_at) as first from (
            select k.expires_at from identity_apikey k where k.tenant_id = %(tenant)s and {_MINE} and {_LIVES}
                and k.expires_at <= %(soon)s limit {COUNTED_MAX}
        ) n
    ) e
"""  # noqa: S608  # constants of ours


@dataclass(frozen=True, slots=True)
class Concerns:
    """Counts stop at `COUNTED_MAX`; what the caller may not see is 0. `projects`: the names asked for, by id."""

    has_keys: bool
    expiring_keys: int
    first_expires_at: datetime | None
    unanswered_keys: int
    unused_keys: int
    webhooks_off: int
    projects: Mapping[int, str]


def concerns_of(caller: Caller, *, now: datetime, projects_named: Collection[int] = ()) -> Concerns:
    """What there is within the caller's sight: keys of its projects, and webhooks for who may read these."""
    parameters = {
        "tenant": caller.tenant.pk,
        "projects": None if caller.project_ids is None else sorted(caller.project_ids),
        "named": [one for one in projects_named if caller.project_ids is None or one in caller.project_ids],
        "now": now,
        "soon": now + EXPIRES_SOON,
        "unused_since": now - UNUSED,
    }
    with connection.cursor() as cursor:
        cursor.execute(_QUERY, parameters)
        has_keys, expiring, first, unanswered, unused, webhooks, names = cursor.fetchone()
    sees_keys = caller.may(Permission.KEY_READ)
    return Concerns(
        has_keys=has_keys,
        expiring_keys=expiring if sees_keys else 0,
        first_expires_at=first if sees_keys else None,
        unanswered_keys=unanswered if sees_keys else 0,
        unused_keys=unused if sees_keys else 0,
        webhooks_off=webhooks if caller.may(Permission.WEBHOOK_READ) else 0,
        projects={int(number): name for number, name in json.loads(names or "{}").items()},
    )
