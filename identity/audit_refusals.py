"""What somebody was refused, in the audit chain: 401, 403 and 404 of the console and the API, of a known person or key.

A link costs a lock of the chain and stays for ever, so nobody may make as many as they like: the first `LINKS_AN_HOUR`
of an hour become a link each, the rest one link with their number when the hour is over. Whoever is unknown makes none.
A refusal is told in the chain of the tenant that somebody asked in, if it is theirs, else in the platform's:
a stranger writes into no tenant's chain.
"""

import logging
from collections.abc import Mapping
from uuid import UUID

from django.db import DatabaseError, connection, transaction

from identity import audit
from identity.audit_signing import utc_text
from identity.key_format import is_lookup
from identity.models import ApiKey, AuditRefusalCount, Tenant

logger = logging.getLogger("beffroi.audit")

LINKS_AN_HOUR = 20
_LONGEST_VALUE = 64  # characters of an id in an address; the width of the chain's column

_COUNT = """
    insert into identity_auditrefusalcount (tenant_id, actor_kind, actor, hour, count)
    values (%s, %s, %s, date_trunc('hour', clock_timestamp(), 'UTC'), 1)
    on conflict (tenant_id, actor_kind, actor, hour)
    do update set count = identity_auditrefusalcount.count + 1
    returning count
"""
_CLOSED = """
    delete from identity_auditrefusalcount where id = %s and hour < date_trunc('hour', clock_timestamp(), 'UTC')
    returning tenant_id, actor_kind, actor, hour, count
"""


def record_refusal(
    *, actor: audit.Actor, tenant: Tenant | None, status: int, route: str, asked: Mapping[str, object], lacks: str = ""
) -> bool:
    """Tell that somebody was refused; False where it was only counted, or could not be told.

    status: 401, 403 or 404; route: the name of the address; asked: the ids in it; lacks: the permission that lacked
    Never raises for want of the database: a refusal stays one.
    """
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(_COUNT, [tenant.pk if tenant else None, actor.kind.value, actor.name])
                if cursor.fetchone()[0] > LINKS_AN_HOUR:
                    return False
            ids = {name: str(value) for name, value in asked.items() if _names_something(name, value)}
            detail = {"status": status, "asked": ids} | ({"lacks": lacks} if lacks else {})
            target = audit.Target("address", route[:_LONGEST_VALUE])
            audit.record(actor=actor, action="access.refused", target=target, tenant=tenant, detail=detail)
    except DatabaseError:
        logger.warning("a refusal could not be recorded")
        return False
    return True


def close_hours() -> None:
    """Write down how many refusals of the hours that are over were only counted, and forget the counts."""
    for pk in AuditRefusalCount.objects.order_by("pk").values_list("pk", flat=True):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_CLOSED, [pk])
            row = cursor.fetchone()
            if row is not None and row[4] > LINKS_AN_HOUR:
                tenant_id, kind, name, hour, count = row
                audit.record(
                    actor=audit.Actor(audit.ActorKind(kind), name),
                    action="access.refusals_counted",
                    target=audit.Target("hour", utc_text(hour)),
                    tenant=Tenant.objects.get(pk=tenant_id) if tenant_id is not None else None,
                    detail={"count": count - LINKS_AN_HOUR},
                )


def _names_something(name: str, value: object) -> bool:
    """Whether it is the id of something that there is: another word in an address may be a piece of a prompt (I5).

    PostgreSQL shows its statements to operators, so none has the word in it but one that has a look-up's form.
    """
    if name == "slug":
        return value in Tenant.objects.values_list("slug", flat=True)
    if isinstance(value, str):
        return name in ("lookup", "key_id") and is_lookup(value) and ApiKey.objects.filter(lookup=value).exists()
    return isinstance(value, int | UUID)
