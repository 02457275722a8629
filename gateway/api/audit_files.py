"""The audit chain as a file: JSONL to verify, CSV to read. Streamed, in bounded memory."""

import csv
import json
from collections.abc import AsyncIterator, Iterable, Iterator
from io import StringIO

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse

from identity.access import Caller
from identity.audit import told
from identity.audit_signing import utc_text
from identity.audit_trail import Filters, all_events, export_of, record_export
from identity.models import AuditEvent

HEAD = (
    "sequence", "at", "door", "address", "actor_kind", "actor", "actor_name", "actor_email", "action", "target_kind",
    "target", "target_name", "detail", "hash",
)  # fmt: skip
FORMATS = {"jsonl": "application/jsonl", "csv": "text/csv; charset=utf-8"}
# A spreadsheet takes a cell that begins so for a formula (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_LINES_A_PIECE = 200


def export(request: HttpRequest, caller: Caller, kind: str, filters: Filters) -> StreamingHttpResponse:
    """The answer with the file. JSONL has every link since `filters.since`, whatever else is filtered: one that lacks
    links could not be verified. Tells the chain. Raises `Forbidden`.
    """
    record_export(caller, kind)
    lines = _jsonl(caller, filters) if kind == "jsonl" else _csv(caller, filters)
    pieces = _pieces(lines)
    content = _asynchronously(pieces) if isinstance(request, ASGIRequest) else pieces
    name = f"audit-{caller.tenant.slug}.{kind}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return StreamingHttpResponse(content, content_type=FORMATS[kind], headers=headers)


def _jsonl(caller: Caller, filters: Filters) -> Iterator[str]:
    for line in export_of(caller.tenant, since=filters.since):
        yield json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n"


def _csv(caller: Caller, filters: Filters) -> Iterator[str]:
    yield _row(HEAD)
    for event in all_events(caller, filters):
        yield _row(_cells(event))


def _cells(event: AuditEvent) -> tuple[str, ...]:
    names = {row.part: row.content for row in event.known_as.all()}
    actor, target = names.get("actor", {}), names.get("target", {})
    return (
        str(event.sequence),
        utc_text(event.at),
        event.door,
        actor.get("address", ""),
        event.actor_kind,
        event.actor,
        actor.get("name", ""),
        actor.get("email", ""),
        event.action,
        event.target_kind,
        event.target,
        target.get("name", ""),
        json.dumps(told(event), ensure_ascii=False, sort_keys=True),
        bytes(event.hash).hex(),
    )


def _row(cells: Iterable[str]) -> str:
    text = StringIO()
    csv.writer(text).writerow([f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in cells])
    return text.getvalue()


def _pieces(lines: Iterator[str]) -> Iterator[bytes]:
    piece: list[str] = []
    for line in lines:
        piece.append(line)
        if len(piece) == _LINES_A_PIECE:
            yield "".join(piece).encode()
            piece.clear()
    yield "".join(piece).encode()


async def _asynchronously(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Under ASGI Django would read a plain iterator to its end before it sends the first byte."""
    take = sync_to_async(lambda: next(pieces, None))
    while (piece := await take()) is not None:
        yield piece
