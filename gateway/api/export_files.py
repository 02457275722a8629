"""The file of an export as an answer: streamed, one piece in memory at a time; a download that broke off goes on."""

import re
from collections.abc import AsyncIterator, Iterator

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse

from billing.exports.formats import WRITERS
from billing.models import Export

# From a byte on is what a client asks for that has what comes before; other ranges are answered with all of it
# (RFC 9110, 14.2).
_FROM = re.compile(r"bytes=([0-9]{1,15})-")


def export_file(request: HttpRequest, export: Export, pieces: Iterator[bytes]) -> StreamingHttpResponse:
    """The file that a verb opened, to be saved. Its `ETag` is its SHA-256."""
    start = _start(request, export)
    content = _from(pieces, start)
    headers = {
        "Content-Disposition": f'attachment; filename="{export.file_name}"',
        "Content-Length": str(export.size_bytes - start),
        "Accept-Ranges": "bytes",
        "Cache-Control": "no-store",
        "ETag": f'"{export.sha256}"',
    }
    if start:
        headers["Content-Range"] = f"bytes {start}-{export.size_bytes - 1}/{export.size_bytes}"
    return StreamingHttpResponse(
        _asynchronously(content) if isinstance(request, ASGIRequest) else content,
        status=206 if start else 200,
        content_type=WRITERS[export.format].MEDIA_TYPE,
        headers=headers,
    )


def _start(request: HttpRequest, export: Export) -> int:
    """The first byte that is asked for; 0 also where that makes no sense, or what the client has is another file's."""
    found = _FROM.fullmatch(request.headers.get("Range", ""))
    is_of_this = request.headers.get("If-Range", f'"{export.sha256}"') == f'"{export.sha256}"'
    start = int(found[1]) if found and is_of_this else 0
    return start if start < export.size_bytes else 0


def _from(pieces: Iterator[bytes], start: int) -> Iterator[bytes]:
    for piece in pieces:
        if len(piece) > start:
            yield piece[start:]
        start = max(0, start - len(piece))


async def _asynchronously(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Under ASGI Django would read a plain iterator to its end before it sends the first byte."""
    take = sync_to_async(lambda: next(pieces, None))
    while (piece := await take()) is not None:
        yield piece
