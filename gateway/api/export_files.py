"""The file of an export as an answer: streamed, one piece in memory at a time."""

from collections.abc import AsyncIterator, Iterator
from uuid import UUID

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse

from billing.export_formats import WRITERS
from billing.exports import download
from identity.access import Caller


def export_file(request: HttpRequest, caller: Caller, public_id: UUID) -> StreamingHttpResponse:
    """The file, to be saved. Its `ETag` is its SHA-256. Raises `NotFound`, `Forbidden`."""
    export, pieces = download(by=caller, public_id=public_id)
    content = _asynchronously(pieces) if isinstance(request, ASGIRequest) else pieces
    headers = {
        "Content-Disposition": f'attachment; filename="{export.file_name}"',
        "Content-Length": str(export.size_bytes),
        "Cache-Control": "no-store",
        "ETag": f'"{export.sha256}"',
    }
    return StreamingHttpResponse(content, content_type=WRITERS[export.format].MEDIA_TYPE, headers=headers)


async def _asynchronously(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Under ASGI Django would read a plain iterator to its end before it sends the first byte."""
    take = sync_to_async(lambda: next(pieces, None))
    while (piece := await take()) is not None:
        yield piece
