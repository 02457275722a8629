"""Audit events on their way to the operator's collectors: every link of every chain, in its order (`shipping.py`).

Each collector has a cursor a chain. As a chain's links have no gaps and are seen in their order, nothing is left out,
whatever commits late elsewhere.
"""

from typing import Any

from django.db import connection
from django.db.models import F

from identity.audit import line_of
from identity.models import AuditEvent, LogExport

BATCH_EVENTS_MAX = 500  # some hundred KB, and less than a collector's usual 4 MB with the largest details
_CHAINS_A_BATCH, _OF_A_CHAIN = 50, 100

# The chains that have links beyond the collector's cursor, and where it stands in each.
_AHEAD = """
    select head.tenant_id, coalesce(cursor.sequence, 0)
    from identity_audithead head
    left join identity_exportcursor cursor
      on cursor.export_id = %s and cursor.tenant_id is not distinct from head.tenant_id
    where head.sequence > coalesce(cursor.sequence, 0)
    order by head.tenant_id nulls first limit %s
"""
_BEHIND = """
    select export.id, coalesce(sum(greatest(head.sequence - coalesce(cursor.sequence, 0), 0)), 0)
    from identity_logexport export cross join identity_audithead head
    left join identity_exportcursor cursor
      on cursor.export_id = export.id and cursor.tenant_id is not distinct from head.tenant_id
    where export.content <> 'logs'
    group by export.id
"""
# Never backwards: a sender that was thought to be lost may come late. Nothing for a collector that was removed.
_MOVE = """
    insert into identity_exportcursor (export_id, tenant_id, sequence)
    select id, %s, %s from identity_logexport where id = %s for key share
    on conflict (export_id, tenant_id)
    do update set sequence = greatest(identity_exportcursor.sequence, excluded.sequence)
"""
_TO_THE_END = """
    insert into identity_exportcursor (export_id, tenant_id, sequence)
    select %s, tenant_id, sequence from identity_audithead
"""


def how_far_behind() -> dict[int, int]:
    """How many events each collector of the audit has yet to get, by its id. One query."""
    with connection.cursor() as cursor:
        cursor.execute(_BEHIND)
        return {pk: int(count) for pk, count in cursor.fetchall()}


def begin_at_the_end(export: LogExport) -> None:
    """Leave out every event that there is now, inside the caller's transaction."""
    with connection.cursor() as cursor:
        cursor.execute(_TO_THE_END, [export.pk])


def next_events(export: LogExport) -> list[AuditEvent]:
    """What a collector lacks, as much as a batch takes; empty where it has everything."""
    with connection.cursor() as cursor:
        cursor.execute(_AHEAD, [export.pk, _CHAINS_A_BATCH])
        ahead = cursor.fetchall()
    found: list[AuditEvent] = []
    for tenant_id, sequence in ahead:
        count = min(_OF_A_CHAIN, BATCH_EVENTS_MAX - len(found))
        links = AuditEvent.objects.filter(tenant=tenant_id, sequence__gt=sequence).order_by("sequence")
        found += links.prefetch_related("known_as")[:count] if export.with_names else links[:count]
    # Of different chains about as they came: within a chain ids rise with the sequence.
    return sorted(found, key=lambda event: event.pk)


def lines_of(export: LogExport, events: list[AuditEvent]) -> list[dict[str, Any]]:
    """The events as they are sent."""
    return [line_of(event, with_names=export.with_names) for event in events]


def note_taken(export: LogExport, events: list[AuditEvent]) -> None:
    """The collector has these: go on after them."""
    last = {event.tenant_id: event.sequence for event in events}
    with connection.cursor() as cursor:
        for tenant_id, sequence in last.items():
            cursor.execute(_MOVE, [tenant_id, sequence, export.pk])
    LogExport.objects.filter(pk=export.pk).update(sent=F("sent") + len(events))
