"""Calling our own gateway from Django's process, as any client does, and reading its answer while it comes.

For a person's conversation on a page: the answer passes through piece by piece, and whoever stops reading closes the
connection, so that the engine is free at once (I2). The address is the installation's, never a request's. It is the
relay's own client; what goes elsewhere goes through `identity/egress.py`.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from gateway.relay.http_message import Header
from gateway.relay.limits import Limits
from gateway.relay.upstream import Pool, UpstreamConnection

UNREAD_BYTES_MAX = 256 * 1024  # of an answer whose reader is slow; past it the gateway is not read


class GatewayAway(Exception):
    """Our gateway cannot be reached, or broke off in the middle."""


class Answer:
    """An answer that is being read. It is the connection's `Sink`."""

    def __init__(self, connection: UpstreamConnection) -> None:
        self._connection = connection
        self._began: asyncio.Future[tuple[int, list[Header]]] = asyncio.get_running_loop().create_future()
        self._parts: deque[bytes] = deque()
        self._unread = 0
        self._is_over, self._trouble = False, ""
        self._news = asyncio.Event()

    async def head(self) -> tuple[int, dict[str, str]]:
        """Its status and headers (names in lower case). Raises GatewayAway."""
        status, headers = await self._began
        return status, {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}

    async def pieces(self) -> AsyncIterator[bytes]:
        """Its body as it comes. Raises GatewayAway where it breaks off."""
        while True:
            while self._parts:
                piece = self._parts.popleft()
                self._unread -= len(piece)
                yield piece
            self._connection.resume(self)
            if self._trouble:
                raise GatewayAway(self._trouble)
            if self._is_over:
                return
            self._news.clear()
            await self._news.wait()

    def close(self) -> None:
        """Nobody reads on: where it is not over, the gateway sees us leave."""
        self._connection.leave(self)

    # ---- Sink
    def answer_began(self, status: int, headers: list[Header]) -> None:
        if not self._began.done():
            self._began.set_result((status, headers))

    def answer_data(self, data: bytes) -> None:
        self._parts.append(data)
        self._unread += len(data)
        if self._unread > UNREAD_BYTES_MAX:
            self._connection.pause(self)
        self._news.set()

    def answer_ended(self) -> None:
        self._is_over = True
        self._news.set()

    def answer_failed(self, reason: str) -> None:
        self._trouble = reason
        if not self._began.done():
            self._began.set_exception(GatewayAway(reason))
            self._began.exception()  # whoever has left does not ask for it
        self._news.set()


@asynccontextmanager
async def posting(base_url: str, path: str, body: bytes, key: str) -> AsyncIterator[Answer]:
    """POST a JSON body with an API key; leaving the block closes what is not read. Raises GatewayAway.

    base_url: scheme, host and port of the gateway. The gateway's own limits end what takes too long.
    """
    try:
        connection = await _pool(base_url).fresh()
    except OSError as error:
        raise GatewayAway(type(error).__name__) from error
    answer = Answer(connection)
    head = (
        f"POST {path} HTTP/1.1\r\nhost: {urlsplit(base_url).netloc}\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    connection.send(answer, (head.encode("ascii"), body))
    try:
        yield answer
    finally:
        answer.close()


def _pool(base_url: str) -> Pool:
    parts = urlsplit(base_url)
    is_tls = parts.scheme == "https"
    host, port = parts.hostname or "", parts.port or (443 if is_tls else 80)

    async def connect(protocol: Callable[[], UpstreamConnection]) -> object:
        return await asyncio.get_running_loop().create_connection(protocol, host, port, ssl=is_tls or None)

    return Pool(connect, Limits())
