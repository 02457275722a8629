"""Reading the audit chain: by whom, about what, when; whether it holds; and taking it away."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from django.db import connection, models, transaction
from django.db.models import QuerySet

from identity import audit
from identity.access import Caller
from identity.audit_signing import checkpoint, line_of_checkpoint
from identity.audit_verifier import FIRST_PREVIOUS_HASH, FORMAT
from identity.errors import NotFound
from identity.models import AuditCheckpoint, AuditEvent, AuditHead, AuditVerification, Backup, Person, Tenant
from identity.name_order import by_name
from identity.permissions import Permission

PAGE_SIZE = 50
PEOPLE_MAX = 500  # a list to choose from; a pseudonym in the address works for everybody
# Links that a page verifies while its reader waits, below a second (7,000 a second); a longer chain is the worker's.
VERIFIED_AT_ONCE = 5_000
_CHECKED = """
    select count(*) filter (where broken_sequence is not null) as broken,
        max(at) filter (where tenant_id is null) as platform_at,
        (select at from identity_auditcheckpoint order by id desc limit 1) as signed_at
    from identity_auditverification
"""
_CHECKED_AND_BACKUP = f"""
    select c.*, b.made_at, b.size_bytes from ({_CHECKED}) c
    left join lateral (select made_at, size_bytes from identity_backup order by made_at desc limit 1) b on true
"""  # noqa: S608  # constants of ours
_CHUNK = 500  # rows of an export held in memory

# SecNumCloud 12.6.c asks for 6 months at least. Nothing of ours removes links: only the operator's own archive could.
LEAST_RETENTION_MONTHS = 6


@dataclass(frozen=True, slots=True)
class Filters:
    """Which events. Empty: any.

    actor: a pseudonym, a key's look-up or a component; action: `noun.verb`, or `noun` for all of it
    target_kind, target: what it was done to; door: `audit_context.Door`; since, until: [since, until)
    """

    actor: str = ""
    action: str = ""
    target_kind: str = ""
    target: str = ""
    door: str = ""
    since: datetime | None = None
    until: datetime | None = None


class Page(NamedTuple):
    """Events, newest first, with `known_as` loaded; `next`: the sequence to continue before, None at the end."""

    events: list[AuditEvent]
    next: int | None


def events_page(caller: Caller, filters: Filters, *, before: int | None = None, size: int = PAGE_SIZE) -> Page:
    """The tenant's events. Raises `Forbidden`."""
    events = filtered(_events_of(caller), filters)
    if before is not None:
        events = events.filter(sequence__lt=before)
    rows = list(events.order_by("-sequence")[: size + 1])
    page = rows[:size]
    return Page(page, page[-1].sequence if len(rows) > size else None)


def people_of(caller: Caller) -> list[tuple[str, str]]:
    """The pseudonyms and names of the tenant's members, by name, in one query. Raises `Forbidden`."""
    caller.require(Permission.AUDIT_READ)
    people = Person.objects.filter(memberships__tenant=caller.tenant).order_by(by_name(), "email", "pk")
    return [(str(person.pseudonym), str(person)) for person in people[:PEOPLE_MAX]]


def event_for(caller: Caller, sequence: int) -> AuditEvent:
    """One event of the tenant. Raises `NotFound`, `Forbidden`."""
    event = _events_of(caller).filter(sequence=sequence).first()
    if event is None:
        raise NotFound("event")
    return event


def events_about(caller: Caller, target: models.Model, *, size: int = 10) -> list[AuditEvent]:
    """The newest events about a key, a project, a member (give the Person) or another row of the caller's tenant.

    Empty for who may not read the audit: show `console/audit/_events.html` with them, which then shows nothing. In a
    view: `{"audit_events": audit_lines(caller, events_about(caller, key))}` (`console/audit_lines.py`).
    """
    if not caller.may(Permission.AUDIT_READ):
        return []
    named = audit.target_of(target)
    filters = Filters(target_kind=named.kind, target=named.name)
    return events_page(caller, filters, size=size).events


def verification_of(tenant: Tenant) -> AuditVerification | None:
    """What the last verification of the tenant's chain found."""
    return AuditVerification.objects.filter(tenant=tenant).first()


class ChainsChecked(NamedTuple):
    """What verifications of the platform's and all tenants' chains found: how many were broken, and the last times."""

    broken: int
    platform_at: datetime | None
    signed_at: datetime | None


def chains_checked() -> ChainsChecked:
    """In one query; `signed_at` is the newest checkpoint of any chain."""
    with connection.cursor() as cursor:
        cursor.execute(_CHECKED)
        return ChainsChecked(*cursor.fetchone())


def chains_checked_and_backup() -> tuple[ChainsChecked, Backup | None]:
    """`chains_checked` and the newest backup that was told of, together in one query, for a page that shows both."""
    with connection.cursor() as cursor:
        cursor.execute(_CHECKED_AND_BACKUP)
        broken, platform_at, signed_at, made_at, size_bytes = cursor.fetchone()
    backup = Backup(made_at=made_at, size_bytes=size_bytes) if made_at else None
    return ChainsChecked(broken, platform_at, signed_at), backup


def verify_and_keep(tenant: Tenant | None) -> AuditVerification:
    """Verify a whole chain and keep what was found, for display."""
    verdict = audit.verify_chain(tenant)
    with connection.cursor() as cursor:
        cursor.execute("select clock_timestamp()")
        now = cursor.fetchone()[0]
    found = {
        "at": now,
        "links": verdict.links,
        "broken_sequence": verdict.broken.sequence if verdict.broken else None,
        "reason": verdict.broken.reason if verdict.broken else "",
    }
    row, _ = AuditVerification.objects.update_or_create(tenant=tenant, defaults=found)
    return row


def links_of(tenant: Tenant | None) -> int:
    """How many links a chain has."""
    return AuditHead.objects.filter(tenant=tenant).values_list("sequence", flat=True).first() or 0


def checkpoints_of(caller: Caller, *, before: int | None = None, size: int = PAGE_SIZE) -> list[AuditCheckpoint]:
    """The tenant's signed checkpoints, newest first. Raises `Forbidden`."""
    caller.require(Permission.AUDIT_READ)
    rows = AuditCheckpoint.objects.filter(tenant=caller.tenant).order_by("-sequence")
    return list((rows if before is None else rows.filter(sequence__lt=before))[:size])


def record_export(caller: Caller, kind: str) -> None:
    """Tell that somebody takes the chain away; an export made after it tells of itself. Raises `Forbidden`."""
    caller.require(Permission.AUDIT_EXPORT)
    with transaction.atomic():
        audit.record(
            actor=caller.actor,
            action="audit.exported",
            target=caller.tenant,
            tenant=caller.tenant,
            detail={"format": kind},
        )


def export_of(tenant: Tenant | None, *, since: datetime | None = None) -> Iterator[dict[str, object]]:
    """The lines of an export that can be verified (`identity/audit_verifier.py`), in bounded memory.

    It has every link from the first one at `since` on (None: the whole chain) to the present head, which is signed now.
    """
    end = checkpoint(tenant)
    tenant_id = tenant.pk if tenant else None
    events = AuditEvent.objects.filter(tenant=tenant).prefetch_related("known_as").order_by("sequence")
    late = events.filter(at__gte=since).first() if since else events.first()
    if end is None or late is None or late.sequence > end.sequence:
        yield _header(tenant_id, 1, FIRST_PREVIOUS_HASH)
        return
    yield _header(tenant_id, late.sequence, bytes(late.previous_hash))
    signed = AuditCheckpoint.objects.filter(tenant=tenant, sequence__gte=late.sequence, sequence__lt=end.sequence)
    marks = {row.sequence: row for row in signed}
    done = late.sequence - 1
    while done < end.sequence:
        chunk = list(events.filter(sequence__gt=done, sequence__lte=end.sequence)[:_CHUNK])
        if not chunk:
            break
        for event in chunk:
            yield audit.line_of(event)
            if event.sequence in marks:
                yield line_of_checkpoint(marks[event.sequence])
        done = chunk[-1].sequence
    yield line_of_checkpoint(end) | {"type": "end"}


def all_events(caller: Caller, filters: Filters) -> Iterator[AuditEvent]:
    """Every event that the filters name, oldest first, in bounded memory. Raises `Forbidden`."""
    events, done = filtered(_events_of(caller), filters).order_by("sequence"), 0
    while chunk := list(events.filter(sequence__gt=done)[:_CHUNK]):
        yield from chunk
        done = chunk[-1].sequence


def _header(tenant_id: int | None, first_sequence: int, previous_hash: bytes) -> dict[str, object]:
    return {
        "type": "header",
        "format": FORMAT,
        "tenant": tenant_id,
        "first_sequence": first_sequence,
        "previous_hash": previous_hash.hex(),
    }


def _events_of(caller: Caller) -> QuerySet[AuditEvent]:
    caller.require(Permission.AUDIT_READ)
    return AuditEvent.objects.filter(tenant=caller.tenant).prefetch_related("known_as")


def filtered(events: QuerySet[AuditEvent], filters: Filters) -> QuerySet[AuditEvent]:
    """Those of the events that the filters name."""
    exact = {
        "actor": filters.actor,
        "target_kind": filters.target_kind,
        "target": filters.target,
        "door": filters.door,
        "at__gte": filters.since,
        "at__lt": filters.until,
        "action" if "." in filters.action else "action__startswith": filters.action
        and (filters.action if "." in filters.action else f"{filters.action}."),
    }
    return events.filter(**{name: value for name, value in exact.items() if value})
