"""What the processes log on its way to the operator's collectors: this machine's spool, in its order (`shipping.py`).

Each collector has a cursor a spool. Where it was away for longer than the spool has room, the next batch begins with a
line that says how many are gone.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import F
from django.utils import timezone

from identity.audit_signing import utc_text
from identity.log_spool import Position, Reading, bytes_behind, identity_of, read
from identity.models import LogExport, SpoolCursor

BATCH_LINES_MAX = 500
BATCH_BYTES_MAX = 256 * 1024
_SKIPS_MAX = 200  # parts of a spool, older than what is wanted, that one look passes over

# Never backwards, as of the audit's cursors; nothing for a collector that was removed.
_MOVE = """
    insert into identity_spoolcursor as cursor (export_id, spool, segment, "offset", lines)
    select id, %s, %s, %s, %s from identity_logexport where id = %s for key share
    on conflict (export_id, spool)
    do update set segment = excluded.segment, "offset" = excluded."offset", lines = excluded.lines
    where (cursor.segment, cursor."offset") < (excluded.segment, excluded."offset") or %s
"""


@dataclass(frozen=True, slots=True)
class Part:
    """The next lines of a spool. `begun_at`: where the cursor stood; `dropped`: how many are gone before them."""

    spool: UUID
    lines: list[dict[str, Any]]
    begun_at: Position
    position: Position
    dropped: int


def next_lines(export: LogExport) -> Part | None:
    """What a collector lacks of this machine's spool, as much as a batch takes; None where it has everything."""
    folder = spool_folder()
    spool = identity_of(folder) if folder else None
    if folder is None or spool is None:
        return None
    begun_at = _position(export, spool)
    reading = _wanted(folder, begun_at, export.logs_from)
    told = [_told_of_dropped(reading.dropped)] if reading.dropped else []
    part = Part(spool, [*told, *reading.lines], begun_at, reading.position, reading.dropped)
    if not part.lines:
        if part.position != begun_at:
            _move(export, part)
        return None
    return part


def note_taken(export: LogExport, part: Part) -> None:
    """The collector has these: go on after them."""
    _move(export, part)
    count = len(part.lines) - (1 if part.dropped else 0)  # that some are gone is a line of ours
    LogExport.objects.filter(pk=export.pk).update(
        lines_sent=F("lines_sent") + count, lines_dropped=F("lines_dropped") + part.dropped
    )


def how_far_behind() -> dict[int, int]:
    """How many bytes of this machine's spool each collector has yet to get, by its id; none without a spool."""
    folder = spool_folder()
    spool = identity_of(folder) if folder else None
    if folder is None or spool is None:
        return {}
    known = {cursor.export_id: _position_of(cursor) for cursor in SpoolCursor.objects.filter(spool=spool)}
    return {pk: bytes_behind(folder, position) for pk, position in known.items()}


def spool_folder() -> Path | None:
    """Where the processes of this machine append what they log; None: nowhere."""
    folder = Path(settings.LOG_SPOOL) if settings.LOG_SPOOL else None
    return folder if folder is not None and folder.is_dir() else None


def _wanted(folder: Path, position: Position, since: datetime | None) -> Reading:
    """The next lines that were logged since; what is older is passed over."""
    dropped = 0
    for _ in range(_SKIPS_MAX):
        reading = read(folder, position, lines_max=BATCH_LINES_MAX, bytes_max=BATCH_BYTES_MAX)
        dropped += reading.dropped
        lines = [line for line in reading.lines if since is None or line["at"] >= utc_text(since)]
        if lines or not reading.lines:
            return Reading(lines, reading.position, dropped)
        position = reading.position
    return Reading([], position, dropped)


def _told_of_dropped(count: int) -> dict[str, Any]:
    return {
        "type": "log",
        "at": utc_text(timezone.now()),
        "level": "WARNING",
        "process": settings.PROCESS,
        "logger": "beffroi.logs",
        "text": f"{count} lines are missing here: they were gone before they could be sent",
        "dropped": count,
    }


def _position(export: LogExport, spool: UUID) -> Position:
    cursor = SpoolCursor.objects.filter(export=export, spool=spool).first()
    return _position_of(cursor) if cursor else Position()


def _position_of(cursor: SpoolCursor) -> Position:
    return Position(cursor.segment, cursor.offset, cursor.lines)


def _move(export: LogExport, part: Part) -> None:
    """A spool whose numbers began anew (its folder was emptied) takes the cursor back, and nothing else does."""
    to = part.position
    is_anew = to.segment < part.begun_at.segment
    with connection.cursor() as cursor:
        cursor.execute(_MOVE, [part.spool, to.segment, to.offset, to.lines, export.pk, is_anew])
