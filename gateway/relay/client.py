"""A client's connection: requests read one by one (pipelined ones queue), each handed to the gateway, its answer written back.

A client that closes its sending side is taken to have left: over TCP the two look the same until a write fails, and an engine must
be freed at once.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, cast

import httptools

from gateway.relay.errors import Refusal, bad_request, body_too_large, headers_too_large, uri_too_long
from gateway.relay.http_message import CONTINUE, Header, HttpRequest, head

if TYPE_CHECKING:
    from gateway.relay.gateway import Gateway

LINGER_S = 2  # for a client to read why it was refused


class Handling(Protocol):
    """A request under way."""

    def client_left(self) -> None:
        """The client is gone: stop, free what is held."""

    def client_is_slow(self, slow: bool) -> None:
        """The client does not read (or reads again): stop (or go on) reading upstream."""


class ClientConnection(asyncio.Protocol):
    """One client. `Gateway.begin(connection, request)` takes a request whose head is complete and says what to do with its body."""

    def __init__(self, gateway: "Gateway", connections: set["ClientConnection"]) -> None:
        self._gateway, self._server_connections, self._limits = gateway, connections, gateway.limits
        self.transport: asyncio.Transport | None = None
        self.peer = ""
        self.is_tls = False
        self.handling: Handling | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._request = HttpRequest()
        self._queue: deque[HttpRequest] = deque()
        self._current: HttpRequest | None = None
        self._head_size = 0
        self._held = 0
        self._is_reading_paused = self._is_held_back = self._is_lingering = False
        self.heard_at = self.read_at = time.monotonic()
        self._closes = False
        self.tunnel: Callable[[bytes], None] | None = None

    # ---- asyncio
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass
        self.transport = transport
        transport.set_write_buffer_limits(high=self._limits.write_buffer_bytes)
        peer = transport.get_extra_info("peername")
        self.peer = peer[0] if isinstance(peer, tuple) else ""
        self.is_tls = transport.get_extra_info("sslcontext") is not None
        self._server_connections.add(self)
        self._gateway.connections.add(self)

    def data_received(self, data: bytes) -> None:
        if self._is_lingering:
            return
        self.heard_at = time.monotonic()
        if self.tunnel is not None:
            self.tunnel(data)
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgraded(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError as error:
            refusal = error.__context__
            self.refuse_and_close(
                refusal if isinstance(refusal, Refusal) else bad_request("the message is not HTTP/1.1")
            )
        except httptools.HttpParserError:
            self.refuse_and_close(bad_request("the message is not HTTP/1.1"))

    def eof_received(self) -> None:
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._server_connections.discard(self)
        self._gateway.connections.discard(self)
        self._gateway.release_memory(self._held)
        self._held = 0
        self._queue.clear()
        handling, self.handling = self.handling, None
        if handling is not None:
            handling.client_left()

    def pause_writing(self) -> None:
        self.read_at = time.monotonic()
        self._is_held_back = True
        if self.handling is not None:
            self.handling.client_is_slow(True)

    def resume_writing(self) -> None:
        self._is_held_back = False
        if self.handling is not None:
            self.handling.client_is_slow(False)

    # ---- httptools' callbacks
    def on_message_begin(self) -> None:
        self._request = HttpRequest()
        self._head_size = 0

    def on_url(self, url: bytes) -> None:
        self._request.target += url
        if len(self._request.target) > self._limits.uri_bytes:
            raise uri_too_long(self._limits.uri_bytes)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_size += len(name) + len(value)
        if self._head_size > self._limits.header_bytes or len(self._request.headers) >= self._limits.headers:
            raise headers_too_large(self._limits.header_bytes)
        self._request.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        request = self._request
        request.method = self._parser.get_method().decode("latin-1")
        request.is_http_10 = self._parser.get_http_version() == "1.0"
        request.keeps_alive = self._parser.should_keep_alive()
        request.is_upgrade = bool(self._parser.should_upgrade())
        lengths = request.all_of(b"content-length")
        if lengths and int(lengths[0]) > self._limits.body_bytes:
            raise body_too_large(self._limits.body_bytes)
        expects = request.header(b"expect")
        self._gateway.examine(self, request)
        if request.refusal is not None and (expects is not None or lengths or request.header(b"transfer-encoding")):
            raise request.refusal  # rather than keep a body for nothing
        if (
            expects is not None
            and expects.lower() == b"100-continue"
            and self.transport is not None
            and not self._queue
        ):
            self.transport.write(CONTINUE)

    def on_body(self, body: bytes) -> None:
        request = self._request
        request.body_size += len(body)
        if request.body_size > self._limits.body_bytes:
            raise body_too_large(self._limits.body_bytes)
        request.parts.append(body)
        self._held += len(body)
        if not self._gateway.take_memory(self, len(body)):
            self.pause_reading()

    def on_message_complete(self) -> None:
        self._request.is_complete = True
        self._queue.append(self._request)
        if len(self._queue) > self._limits.pipelined:
            self.pause_reading()
        self._next()

    # ---- requests
    def _next(self) -> None:
        if self._current is None and self._queue and self.transport is not None:
            self._current = self._queue.popleft()
            if self._is_reading_paused and len(self._queue) <= self._limits.pipelined:
                self.go_on_reading()
            self.handling = self._gateway.handle(self, self._current)

    def finish(self, *, close: bool = False) -> None:
        """The answer is written: take the next request, or close."""
        request, self._current, self.handling = self._current, None, None
        if request is not None:
            self._held -= request.body_size
            self._gateway.release_memory(request.body_size)
        self.heard_at = time.monotonic()
        if self.transport is None:
            return
        if close or self._closes or request is None or not request.keeps_alive:
            self.transport.close()
        else:
            self._next()

    def write(self, data: bytes) -> None:
        """Send bytes, if the client is still there."""
        if self.transport is not None:
            self.transport.write(data)

    def answer(self, status: int, headers: list[Header], body: bytes) -> None:
        """Send a whole answer and finish."""
        request = self._current
        closes = self._closes or request is None or not request.keeps_alive
        framing = [(b"content-length", b"%d" % len(body)), *([(b"connection", b"close")] if closes else [])]
        self.write(
            head(status, [*headers, *framing]) + (b"" if request is not None and request.method == "HEAD" else body)
        )
        self.finish()

    def refuse(self, refusal: Refusal, headers: list[Header]) -> None:
        """Send a refusal and finish."""
        content_type = (b"content-type", b"application/json")
        self.answer(refusal.status, [content_type, *refusal.headers, *headers], refusal.body())

    def refuse_and_close(self, refusal: Refusal) -> None:
        """Answer what is not a proper request; what follows on this connection cannot be trusted (request smuggling)."""
        if self.transport is None:
            return
        self._closes = True
        if self._current is not None:  # an answer under way goes first; then the connection ends
            self.pause_reading()
            return
        headers = [
            *self._gateway.headers_of_refusal(self._request),
            (b"content-type", b"application/json"),
            (b"connection", b"close"),
        ]
        body = refusal.body()
        self.transport.write(
            head(refusal.status, [*refusal.headers, *headers, (b"content-length", b"%d" % len(body))]) + body
        )
        self._is_lingering = True  # closed at once, a client still sending would get a reset instead of the answer

    def _upgraded(self, rest: bytes) -> None:
        """The request asks for another protocol: only Django may say yes; until then what follows is kept."""
        self.pause_reading()
        if rest:
            self._request.parts.append(rest)

    # ---- reading and time
    def pause_reading(self) -> None:
        """Take nothing more for now."""
        if self.transport is not None and not self._is_reading_paused:
            self._is_reading_paused = True
            self.transport.pause_reading()

    def go_on_reading(self) -> None:
        """Read again after a pause."""
        if self.transport is not None and self._is_reading_paused:
            self._is_reading_paused = False
            self.transport.resume_reading()

    def check_time(self, now: float) -> None:
        """Close a connection that trickles a request, idles too long or does not read its answer (`now`: monotonic seconds)."""
        if self.transport is None or self.tunnel is not None:
            return
        if self._is_lingering and now - self.heard_at > LINGER_S:
            self.transport.close()
            return
        if self._is_held_back and now - self.read_at > self._limits.write_stall_s:
            self.transport.abort()
        elif self._current is None and not self._is_reading_paused:
            is_reading = not self._request.is_complete and bool(self._request.target)
            if now - self.heard_at > (self._limits.head_wait_s if is_reading else self._limits.idle_s):
                self.transport.close()

    def cut(self) -> None:
        """The time to drain is over: what is still under way is charged as if the client had left."""
        if self.transport is not None:
            self.transport.abort()

    def shutdown(self) -> None:
        """The server drains: finish what is under way, take nothing more."""
        self._closes = True
        if self._current is None and self.transport is not None:
            self.transport.close()
