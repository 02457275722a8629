"""Exports: what was used and charged as a file. Asked for, looked at, cancelled and downloaded by verbs; written in the
background, part by part (`billing/exports/run.py`).

A file stays for `KEPT` and goes then. Who may read the figures on pages may have them as a file.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID
from zlib import decompress
from zoneinfo import ZoneInfo

from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from billing.clock import database_now
from billing.models import Export, ExportPart
from identity import audit
from identity.access import Caller
from identity.errors import Conflict, Invalid, NotFound
from identity.models import ApiKey, Project, Tenant
from identity.permissions import Permission

State = Export.State
OPEN_MAX = 5  # exports of a tenant that wait or run
KEPT = timedelta(days=7)  # a file
LISTED = timedelta(days=90)  # that there was one
LONGEST_DAYS = 400
SHOWN_MAX = 100
MODEL_LENGTH_MAX = 200
LAST_ZONE = timedelta(hours=12)  # a day ends so long after that of UTC in the last time zone
# What is settled is visible within moments: the transaction that says when it was has no more to do than to commit.
_JUST_SETTLED = timedelta(seconds=5)
# What a tenant's export may have, and what it takes to read that, beside USAGE_READ_TENANT.
_NEEDS = {
    Export.Kind.REQUESTS: Permission.USAGE_READ_TENANT,
    Export.Kind.DAYS: Permission.USAGE_READ_TENANT,
    Export.Kind.LEDGER: Permission.BILLING_READ,
    Export.Kind.FOCUS: Permission.BILLING_READ,
}
CONTENTS = [kind.value for kind in _NEEDS]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the file is to have: both days belong to it. The rest narrows; a project or key is its id and look-up."""

    kind: Export.Kind
    format: Export.Format
    first_day: date
    last_day: date
    project_id: int | None = None
    key: str = ""
    model: str = ""


def ask_export(*, by: Caller, wanted: Wanted) -> Export:
    """Have a file made.

    Raises `Forbidden`, `NotFound` (project, key), `Invalid` (the period, the kind), `Conflict` (too many).
    """
    by.require(Permission.USAGE_READ_TENANT)
    by.require(_NEEDS[wanted.kind])
    project_id = _project_of(by, wanted.project_id) if wanted.project_id is not None else None
    key_id = _key_of(by, wanted.key) if wanted.key else None
    if wanted.kind == Export.Kind.LEDGER and (project_id or key_id or wanted.model):
        raise Invalid("kind", _("ledger entries are of the whole organisation: choose no project, key or model"))
    with transaction.atomic():
        # Two at once count one after the other.
        tenant = Tenant.objects.select_for_update(no_key=True).get(pk=by.tenant.pk)
        require_room(tenant)
        export = add_export(
            tenant,
            wanted,
            actor=by.actor,
            project_id=project_id,
            key_id=key_id,
            person_id=by.person.pk if by.person else None,
        )
        audit.record(
            tenant=tenant,
            actor=by.actor,
            action="export.asked",
            target=target_of(export),
            detail=told_of_export(export),
        )
    return export


def add_export(
    tenant: Tenant | None,
    wanted: Wanted,
    *,
    actor: audit.Actor,
    project_id: int | None = None,
    key_id: int | None = None,
    person_id: int | None = None,
    is_scheduled: bool = False,
) -> Export:
    """The row of an export that may be made, inside the caller's transaction: of the tenant, or of all.

    Raises `Invalid` (the period).
    """
    now, time_zone = database_now(), tenant.time_zone if tenant else "UTC"
    since, until = _period(time_zone, wanted, now)
    with connection.cursor() as cursor:
        cursor.execute("select pg_current_xact_id()::text::bigint")
        [after_xid] = cursor.fetchone()
    return Export.objects.create(
        tenant=tenant,
        kind=wanted.kind,
        format=wanted.format,
        first_day=wanted.first_day,
        last_day=wanted.last_day,
        time_zone=time_zone,
        since=since,
        until=until,
        project_id=project_id,
        key_id=key_id,
        model=wanted.model[:MODEL_LENGTH_MAX],
        actor_kind=actor.kind.value,
        actor=actor.name,
        person_id=person_id,
        is_scheduled=is_scheduled,
        cut_at=now - _JUST_SETTLED,
        after_xid=after_xid,
        created_at=now,
    )


def exports_of(caller: Caller) -> QuerySet[Export]:
    """The tenant's exports, newest first: those of figures that the caller may read. Raises `Forbidden`."""
    caller.require(Permission.USAGE_READ_TENANT)
    kinds = [kind for kind, needed in _NEEDS.items() if caller.may(needed)]
    return (
        Export.objects.filter(tenant=caller.tenant, kind__in=kinds).select_related("tenant", "person").order_by("-id")
    )


def export_for(caller: Caller, public_id: UUID) -> Export:
    """One of them. Raises `NotFound`, `Forbidden`."""
    export = Export.objects.filter(tenant=caller.tenant, public_id=public_id).select_related("tenant", "person").first()
    if export is None:
        raise NotFound("export")
    caller.require(Permission.USAGE_READ_TENANT)
    caller.require(_NEEDS[Export.Kind(export.kind)])
    return export


def cancel_export(*, by: Caller, public_id: UUID) -> Export:
    """Stop making the file, or throw away one that was made: what is there of it goes at once.

    Raises `NotFound`, `Forbidden`, `Conflict` (there is nothing any more).
    """
    return remove_export(export_for(by, public_id), actor=by.actor)


def remove_export(export: Export, *, actor: audit.Actor) -> Export:
    """What there is of it goes at once. Raises `Conflict` (there is nothing any more). The caller saw to who may."""
    gone = State.CANCELLED if export.is_open else State.EXPIRED
    with transaction.atomic():
        alive = Export.objects.filter(pk=export.pk, state__in=[State.WAITING, State.RUNNING, State.DONE])
        if not alive.update(state=gone, lease=None, lease_until=None, stored_bytes=0, ended_at=database_now()):
            raise Conflict(_("this export has ended already"))
        ExportPart.objects.filter(export=export).delete()
        audit.record(tenant=export.tenant, actor=actor, action="export.removed", target=target_of(export))
    export.refresh_from_db()
    return export


def download(*, by: Caller, public_id: UUID) -> tuple[Export, Iterator[bytes]]:
    """The file of a finished export, piece by piece, and a line about it in the audit chain.

    Raises `NotFound` (also for what has expired), `Forbidden`.
    """
    export = export_for(by, public_id)
    return export, open_file(export, actor=by.actor)


def open_file(export: Export, *, actor: audit.Actor) -> Iterator[bytes]:
    """The file's pieces, and a line about it in the audit chain. Raises `NotFound`. The caller saw to who may."""
    now = database_now()
    if export.state != State.DONE or export.expires_at is None or export.expires_at <= now:
        raise NotFound("export")
    with transaction.atomic():
        audit.record(
            tenant=export.tenant,
            actor=actor,
            action="export.downloaded",
            target=target_of(export),
            detail=told_of_export(export) | {"sha256": export.sha256},
        )
    return content_of(export)


def content_of(export: Export) -> Iterator[bytes]:
    """The file's pieces in order, one at a time in memory. Ends early where the file is removed meanwhile."""
    for number in range(export.parts_count):
        part = ExportPart.objects.filter(export=export, number=number).values_list("content", flat=True).first()
        if part is None:
            return
        yield decompress(bytes(part))


def require_room(tenant: Tenant | None) -> None:
    """Raises `Conflict` where so many exports of the tenant, or of all, are under way. The caller counts alone."""
    if Export.objects.filter(tenant=tenant, state__in=[State.WAITING, State.RUNNING]).count() >= OPEN_MAX:
        raise Conflict(_("at most %(count)s exports are made at once: wait, or cancel one") % {"count": OPEN_MAX})


def permission_for(kind: Export.Kind) -> Permission:
    """What reading such figures takes, beside `USAGE_READ_TENANT`."""
    return _NEEDS[kind]


def target_of(export: Export) -> audit.Target:
    """How the audit chain names an export."""
    return audit.Target("export", str(export.public_id))


def told_of_export(export: Export) -> dict[str, str]:
    """What of it the audit says."""
    return {
        "kind": export.kind,
        "format": export.format,
        "first_day": str(export.first_day),
        "last_day": str(export.last_day),
    }


def _project_of(by: Caller, project_id: int) -> int:
    """Who reads the usage of the whole tenant may name any project and key of it, whatever else they may do."""
    if not Project.objects.filter(tenant=by.tenant, pk=project_id).exists():
        raise NotFound("project")
    return project_id


def _key_of(by: Caller, lookup: str) -> int:
    found = ApiKey.objects.filter(tenant=by.tenant, lookup=lookup).values_list("pk", flat=True).first()
    if found is None:
        raise NotFound("key")
    return found


def _period(time_zone: str, wanted: Wanted, now: datetime) -> tuple[datetime, datetime]:
    zone = ZoneInfo(time_zone)
    if wanted.last_day < wanted.first_day:
        raise Invalid("last_day", _("must not be before the first day"))
    if (wanted.last_day - wanted.first_day).days >= LONGEST_DAYS:
        raise Invalid("last_day", _("must be within %(count)s days of the first day") % {"count": LONGEST_DAYS})
    after = wanted.last_day + timedelta(days=1)
    since, until = (datetime(day.year, day.month, day.day, tzinfo=zone) for day in (wanted.first_day, after))
    if since >= now:
        raise Invalid("first_day", _("must not be in the future"))
    return since, until
