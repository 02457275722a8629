"""Writing exports: a part a transaction, by whichever worker holds the export's lease.

A part is written together with where the next one begins, and only while the lease is the writer's: so a worker that is
killed costs the part that it was at, whoever goes on writes the same bytes, and two never both write. Long exports give
way: a slice of each in turn. Memory is that of one part, however many there are.
"""

import hashlib
import time
import zlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from django.db import connection, transaction
from django.db.models import F, Q, QuerySet, Sum
from django.utils import timezone

from billing.clock import database_now
from billing.exports.exports import KEPT, LAST_ZONE, LISTED, content_of
from billing.exports.formats import WRITERS
from billing.exports.formats.table import FileTooLarge, Piece
from billing.exports.rows import SOURCES
from billing.exports.rows.source import NotKept, Scope
from billing.models import Export, ExportPart
from identity.notices import notify
from identity.operators import operators_who
from identity.permissions import OperatorPermission

State, Fault = Export.State, Export.Fault
ROWS_A_PART = 10_000  # some 30 MB while they are read and written
STORED_BYTES_MAX = 4 * 2**30  # of a tenant's exports, compressed: some 60 million requests as CSV
WRITTEN_WITHIN = timedelta(days=1)
AT_ONCE_MAX = 2  # exports that are written at once: the worker has other things to do
SLICE_SECONDS = 6.0
_LEASE = timedelta(minutes=5)  # much longer than a part takes; a killed worker's export waits for so long
_ATTEMPTS_MAX, _PAUSE = 5, timedelta(minutes=1)
_LOCK = 5_103_001  # an advisory lock: who takes an export counts those that are taken
_HAS_HOLDS = """
    select exists (
        select from billing_hold
        where (%(tenant)s::bigint is null or tenant_id = %(tenant)s) and admitted_at < %(until)s
    )
"""
_OVER_SINCE = timedelta(minutes=1)  # an admission that is behind by so much was never one

# What is told of an export of all tenants instead, and whom of one that is made every month.
_OF_ALL = {"export.ready": "export.ready_of_all", "export.failed": "export.failed_of_all"}
_BILL = OperatorPermission.USAGE_EXPORT


class LeaseLost(Exception):
    """Somebody else writes the export now, or it was cancelled."""


class NoRoom(Exception):
    """The tenant's exports have as much as they may."""


def write_exports(*, seconds: float, rows_a_part: int = ROWS_A_PART) -> int:
    """Write exports that are due, in turn, for about so long. Returns how many parts were written."""
    deadline, parts = time.monotonic() + seconds, 0
    while time.monotonic() < deadline and (export := take_export()):
        parts += write_slice(export, min(deadline, time.monotonic() + SLICE_SECONDS), rows_a_part)
    return parts


def take_export(public_id: UUID | None = None) -> Export | None:
    """Take the lease of the export that was left alone for longest, or of that one; None where nothing is due."""
    now = database_now()
    free = Q(lease=None) | Q(lease_until__lte=now)
    unpaused = Q(served_at=None) | Q(served_at__lte=now)
    due = Export.objects.filter(free, unpaused, state__in=[State.WAITING, State.RUNNING]).select_related(
        "tenant", "person"
    )
    if public_id is not None:
        due = due.filter(public_id=public_id)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("select pg_advisory_xact_lock(%s)", [_LOCK])
            cursor.execute("select pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
            [oldest_xid] = cursor.fetchone()
        if public_id is None and Export.objects.filter(state=State.RUNNING, lease_until__gt=now).count() >= AT_ONCE_MAX:
            return None
        export = due.filter(after_xid__lte=oldest_xid).order_by(F("served_at").asc(nulls_first=True), "pk").first()
        if export is None:
            return None
        export.lease, export.lease_until = uuid4(), now + _LEASE
        export.began_at = export.began_at or now
        if export.state == State.WAITING:
            export.state = State.RUNNING
            if _is_final(export, now):
                # Whatever was under way when it was asked for has been settled meanwhile.
                export.is_final, export.cut_at = True, now
        export.save(update_fields=["lease", "lease_until", "began_at", "state", "is_final", "cut_at"])
    return export


def forget_exports() -> None:
    """Remove the files that were kept long enough, and what nobody writes any more."""
    now = database_now()
    for export in Export.objects.filter(state=State.DONE, expires_at__lte=now):
        _end(export, State.EXPIRED, but_not=State.EXPIRED)
    for export in Export.objects.filter(
        state__in=[State.WAITING, State.RUNNING], created_at__lte=now - WRITTEN_WITHIN
    ).select_related("tenant", "person"):
        _fail(export, Fault.TOO_SLOW)
    Export.objects.filter(created_at__lte=now - LISTED).exclude(state__in=[State.WAITING, State.RUNNING]).delete()


def write_slice(export: Export, deadline: float, rows_a_part: int = ROWS_A_PART) -> int:
    """Write parts of an export that was taken until the deadline or the end. Returns how many."""
    parts = 0
    try:
        while not export.is_written and (not parts or time.monotonic() < deadline):
            _write_part(export, rows_a_part)
            parts += 1
        if export.is_written:
            _finish(export)
        else:
            _held(export).update(lease=None, lease_until=None, served_at=timezone.now())
    except LeaseLost:
        pass
    except FileTooLarge:
        _fail(export, Fault.TOO_MANY_ROWS)
    except NoRoom:
        _fail(export, Fault.NO_ROOM)
    except NotKept:
        _fail(export, Fault.NOT_KEPT)
    except Exception:
        _try_again(export)
        raise
    return parts


def _write_part(export: Export, rows_a_part: int) -> None:
    writer, source = WRITERS[export.format], SOURCES[export.kind]
    scope = _scope_of(export)
    batch = source.read(scope, export.cursor, rows_a_part)
    rows = export.rows + len(batch.rows)
    if rows > writer.ROWS_MAX:
        raise FileTooLarge
    pieces = [] if export.parts_count else [writer.opening(source.COLUMNS)]
    state = pieces[0].state if pieces else export.format_state
    pieces.append(writer.rows(source.COLUMNS, batch.rows, state))
    if batch.cursor is None:
        pieces.append(writer.closing(source.COLUMNS, pieces[-1].state, _notes(export, pieces)))
    content = zlib.compress(b"".join(piece.data for piece in pieces), 1)
    note = pieces[-2].note if batch.cursor is None else pieces[-1].note
    changes = {
        "cursor": batch.cursor or [],
        "format_state": {} if batch.cursor is None else pieces[-1].state,
        "is_written": batch.cursor is None,
        "parts_count": export.parts_count + 1,
        "percent": 100 if batch.cursor is None else _percent(scope, batch.reached),
        "rows": rows,
        "total_nano_eur": int(export.total_nano_eur) + batch.total_nano_eur,
        "size_bytes": export.size_bytes + sum(len(piece.data) for piece in pieces),
        "stored_bytes": export.stored_bytes + len(content),
        "lease_until": timezone.now() + _LEASE,
        "attempts": 0,
    }
    with transaction.atomic():
        # Compared and swapped: nothing is written for a lease that was lost or a part that somebody wrote.
        if not _held(export).filter(parts_count=export.parts_count).update(**changes):
            raise LeaseLost
        ExportPart.objects.create(export=export, number=export.parts_count, content=content, note=note)
        if _stored_by(export) > STORED_BYTES_MAX:
            raise NoRoom
    for name, value in changes.items():
        setattr(export, name, value)


def _finish(export: Export) -> None:
    """Add up what the file is and tell who asked for it."""
    digest = hashlib.sha256()
    for piece in content_of(export):
        digest.update(piece)
    now = database_now()
    with transaction.atomic():
        changes = {"state": State.DONE, "sha256": digest.hexdigest(), "ended_at": now, "expires_at": now + KEPT}
        if _held(export).update(**changes, lease=None, lease_until=None):
            _tell(export, "export.ready")


def _fail(export: Export, fault: Export.Fault) -> None:
    with transaction.atomic():
        if _end(export, State.FAILED, but_not=State.FAILED, fault=fault):
            _tell(export, "export.failed")


def _try_again(export: Export) -> None:
    """After a pause; not for ever."""
    with transaction.atomic():
        again_at = timezone.now() + _PAUSE
        if not _held(export).update(attempts=F("attempts") + 1, lease=None, lease_until=None, served_at=again_at):
            return
        export.refresh_from_db()
    if export.attempts >= _ATTEMPTS_MAX:
        _fail(export, Fault.BROKEN)


def _end(export: Export, state: Export.State, *, but_not: Export.State, fault: Export.Fault = Fault.NONE) -> bool:
    """The end of an export, with whatever there is of its file."""
    changes = {"state": state, "fault": fault, "lease": None, "lease_until": None, "stored_bytes": 0}
    with transaction.atomic():
        alive = Export.objects.filter(pk=export.pk, state__in=[State.WAITING, State.RUNNING, State.DONE])
        if not alive.exclude(state=but_not).update(**changes):
            return False
        ExportPart.objects.filter(export=export).delete()
    return True


def _tell(export: Export, kind: str) -> None:
    """Who asked for it; of one that is made every month, those who pay, or those who bill them all. Programs that asked
    look for themselves.
    """
    if export.person is None and not export.is_scheduled:
        return
    context = {
        "kind": export.content,
        "format": export.format.upper(),
        "first_on": export.first_day.isoformat(),
        "last_on": export.last_day.isoformat(),
        "export": str(export.public_id),
    }
    people = [export.person] if export.person else [] if export.tenant else operators_who(_BILL)
    kind = kind if export.tenant else _OF_ALL[kind]
    notify(export.tenant, kind, context=context, people=people, once_key=f"{kind}:{export.public_id}")


def _held(export: Export) -> QuerySet[Export]:
    return Export.objects.filter(pk=export.pk, state=State.RUNNING, lease=export.lease)


def _stored_by(export: Export) -> int:
    return Export.objects.filter(tenant=export.tenant_id).aggregate(total=Sum("stored_bytes"))["total"] or 0


def _notes(export: Export, pieces: list[Piece]) -> Iterator[object]:
    written = ExportPart.objects.filter(export=export, note__isnull=False).order_by("number")
    yield from written.values_list("note", flat=True).iterator(chunk_size=100)
    yield from (piece.note for piece in pieces if piece.note is not None)


def _scope_of(export: Export) -> Scope:
    return Scope(
        tenant_id=export.tenant_id or 0,
        time_zone=export.time_zone,
        since=export.since,
        until=export.until,
        cut_at=export.cut_at,
        is_final=export.is_final,
        project_id=export.project_id,
        key_id=export.key_id,
        model=export.model,
    )


def _percent(scope: Scope, reached: datetime) -> int:
    whole = min(scope.until, scope.cut_at) - scope.since
    return max(0, min(99, int(100 * (reached - scope.since) / whole))) if whole > timedelta() else 0


def _is_final(export: Export, now: datetime) -> bool:
    """Whether nothing of the period can change any more: it is over, and no request of it is under way."""
    until = export.until if export.tenant_id else export.until + LAST_ZONE
    if now < until + _OVER_SINCE:
        return False
    with connection.cursor() as cursor:
        cursor.execute(_HAS_HOLDS, {"tenant": export.tenant_id, "until": until})
        return not cursor.fetchone()[0]
