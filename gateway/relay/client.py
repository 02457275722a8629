"""A client's connection: requests go to the gateway one by one (pipelined ones queue), their answers go back.

A client that closes its sending side is taken to have left: over TCP the two look the same until a write fails, and an
engine must be freed at once.
"""

import asyncio
import logging
import socket
import struct
import time
from collections import deque
from typing import TYPE_CHECKING, Protocol, cast

from gateway.relay.authenticate import Verifier
from gateway.relay.errors import Refusal, bad_request, body_too_large, internal_error, overloaded, request_timeout
from gateway.relay.failures import log_failure
from gateway.relay.http_message import CONTINUE, Header, HttpRequest, head
from gateway.relay.proxy_protocol import BadPreface, read_preface
from gateway.relay.request_reader import RequestReader

if TYPE_CHECKING:
    from gateway.relay.gateway import Gateway

logger = logging.getLogger("beffroi.client")

# Why nothing is read for now.
PIPELINE, MEMORY, UPGRADE, TUNNEL = 1, 2, 4, 8
AT_ONCE = struct.pack("ii", 1, 0)
CLOSE: Header = (b"connection", b"close")


class Handling(Protocol):
    """A request under way."""

    def client_left(self) -> None:
        """The client is gone: stop, free what is held."""

    def client_is_slow(self, *, slow: bool) -> None:
        """The client does not read (or reads again): stop (or go on) reading upstream."""


class Tunnel(Handling, Protocol):
    """A connection that is no longer HTTP."""

    def send(self, data: bytes) -> None:
        """The client's bytes, as they come."""


class ClientConnection(asyncio.Protocol):
    """One client. `Gateway.examine` looks at each head, `Gateway.handle` takes each complete request, one at a time.

    Whoever handles a request calls `write` and then `finish`, or `answer` or `refuse`, which finish by themselves.
    """

    def __init__(self, gateway: "Gateway", connections: set["ClientConnection"]) -> None:
        self._gateway, self._server_connections, self._limits = gateway, connections, gateway.limits
        self.transport: asyncio.Transport | None = None
        self.peer = ""
        self.is_tls = self.is_passed_on = False
        self.verifier = Verifier()
        self.handling: Handling | None = None
        self._tunnel: Tunnel | None = None
        self._reader = RequestReader(self, gateway.limits)
        self._preface: bytes | None = None  # what came so far of the header in which a trusted proxy names its client
        self._unread = b""
        self._queue: deque[HttpRequest] = deque()
        self._current: HttpRequest | None = None
        self._holds = 0
        self._is_feeding = self._is_starting = self._is_slow = self._owes_continue = False
        self._is_deaf = self._is_closing = self._is_draining = self._has_answered = False
        self._unsent = 0
        self._heard_at = self._free_since = self._sent_at = self._closes_at = time.monotonic()

    # ---- asyncio
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass
        self.transport = transport
        transport.set_write_buffer_limits(high=self._limits.write_buffer_bytes)
        peer = transport.get_extra_info("peername")
        self.peer = peer[0] if isinstance(peer, tuple) else ""
        self.is_tls = transport.get_extra_info("sslcontext") is not None
        if self._gateway.is_trusted(self.peer):
            self._preface = b""
        self._server_connections.add(self)
        self._gateway.connections.add(self)
        if len(self._gateway.connections) > self._limits.connections:
            self._break(overloaded())

    def data_received(self, data: bytes) -> None:
        self._heard_at = time.monotonic()
        if self._is_deaf:
            return
        if self._tunnel is not None:
            self._tunnel.send(data)
            return
        self._unread = self._unread + data if self._unread else data
        if self._preface is None or self._take_preface():
            self._feed()

    def eof_received(self) -> None:
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._wait_no_more()
        self._server_connections.discard(self)
        self._gateway.connections.discard(self)
        for request in (*self._queue, self._current, self._reader.request):
            self._release(request)
        self._queue.clear()
        self._current = None
        handling, self.handling = self.handling, None
        if handling is not None:
            handling.client_left()

    def pause_writing(self) -> None:
        self._is_slow = True
        if self.handling is not None:
            self.handling.client_is_slow(slow=True)

    def resume_writing(self) -> None:
        self._is_slow = False
        if self.handling is not None:
            self.handling.client_is_slow(slow=False)
        else:
            self._next()

    # ---- reading
    def _take_preface(self) -> bool:
        """Whether HTTP may be read: a PROXY header is whole, or there is none."""
        try:
            preface = read_preface(self._unread)
        except BadPreface:
            self._break(bad_request("the PROXY header is not understood"))
            return False
        if preface is None:
            return False
        self._preface = None
        self._unread = self._unread[preface.size :]
        if preface.peer:
            self.peer, self.is_passed_on = preface.peer, True
        return True

    def _feed(self) -> None:
        if self._is_feeding:
            return
        rest: bytes | memoryview = self._unread
        self._unread, self._is_feeding = b"", True
        while rest and not self._holds and not self._is_deaf:
            try:
                rest = self._reader.feed_piece(rest)
            except Refusal as refusal:
                self._break(refusal)
            except Exception as error:  # noqa: BLE001  # a defect must not look like the client's
                log_failure(logger, "reading a request", error)
                self._break(internal_error())
        self._is_feeding = False
        if not self._is_deaf:
            self._unread = bytes(rest)

    def head_came(self, request: HttpRequest) -> None:
        """Refuse what needs no body to be refused; a client that waits to be asked for its body is asked."""
        self._gateway.examine(self, request)
        if request.refusal is not None and (request.has_body or request.expects_continue):
            raise request.refusal  # rather than keep a body for nothing
        if request.announced_size > request.body_limit:
            raise body_too_large(request.body_limit)
        self._owes_continue = request.has_body and request.expects_continue
        if self._owes_continue:
            self._continue()

    def body_came(self, request: HttpRequest, data: bytes) -> None:
        """Keep it, within the bounds."""
        self._owes_continue = False
        request.body_size += len(data)
        if request.body_size > request.body_limit:
            raise body_too_large(request.body_limit)
        request.parts.append(data)
        request.held += len(data)
        assert request.memory is not None
        if not request.memory.take(self, len(data)):
            self.hold(MEMORY)

    def request_came(self, request: HttpRequest) -> None:
        """Take its turn."""
        self._queue.append(request)
        if len(self._queue) > self._limits.pipelined:
            self.hold(PIPELINE)
        if request.is_upgrade:
            self.hold(UPGRADE)
        self._next()

    def memory_came(self) -> None:
        """There is room again: go on reading."""
        self.go_on(MEMORY)

    def refuse_memory(self) -> None:
        """It did not come in time."""
        self._break(overloaded())

    def hold(self, reason: int) -> None:
        """Take nothing more for now."""
        if not self._holds and self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()
        self._holds |= reason

    def go_on(self, reason: int) -> None:
        """That reason not to read is gone."""
        if not self._holds & reason:
            return
        self._holds &= ~reason
        if self._holds or self.transport is None:
            return
        if self._reader.request is not None:
            self._reader.request.began_at = time.monotonic()  # the wait was ours
        self._feed()
        if not self._holds and not self.transport.is_closing():
            self.transport.resume_reading()

    def _continue(self) -> None:
        """Ask for the body that a client holds back (RFC 9110, 10.1.1), in the order of the answers."""
        if self._owes_continue and self._current is None and not self._queue:
            self._owes_continue = False
            self.write(CONTINUE)

    def _break(self, refusal: Refusal) -> None:
        """Refuse what is being read. What follows cannot be trusted (request smuggling): it is not read as HTTP."""
        if self._is_deaf:
            return
        request = self._reader.request or HttpRequest()
        if request.refusal is None:
            request.refusal = refusal
            self._gateway.note_refusal(request, refusal)
        request.keeps_alive, request.parts = False, []
        self._release(request)
        self._listen_no_more()
        self._queue.append(request)
        self._next()

    def _listen_no_more(self) -> None:
        self._is_deaf, self._unread = True, b""
        self._wait_no_more()
        if self._holds and self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()
        self._holds = 0

    def _release(self, request: HttpRequest | None) -> None:
        if request is not None and request.memory is not None:
            held, request.held = request.held, 0
            request.memory.release(held)

    def _wait_no_more(self) -> None:
        for request in (self._reader.request, *self._queue):
            if request is not None and request.memory is not None:
                request.memory.forget(self)

    # ---- requests
    def _next(self) -> None:
        """Begin the request whose turn it is. Not while the client has yet to read its answers: they would pile up."""
        if self._is_starting:
            return
        self._is_starting = True
        while (
            self._queue
            and self._current is None
            and not (self._is_slow or self._is_closing)
            and self.transport is not None
        ):
            self._current = request = self._queue.popleft()
            request.keeps_alive = request.keeps_alive and not self._is_draining
            if len(self._queue) <= self._limits.pipelined:
                self.go_on(PIPELINE)
            self._begin(request)
        self._is_starting = False
        self._continue()

    def _begin(self, request: HttpRequest) -> None:
        self._has_answered = False
        try:
            handling = self._gateway.handle(self, request)
        except Exception as error:  # noqa: BLE001  # whatever it is, the client gets an answer
            log_failure(logger, "a request", error)
            self.refuse(internal_error(), self._gateway.headers_of_refusal(request))
        else:
            if self._current is request:
                self.handling = handling

    def finish(self, *, close: bool = False) -> None:
        """The answer is written: take the next request, or close."""
        request, self._current, self.handling = self._current, None, None
        self._release(request)
        self._free_since = time.monotonic()
        if self._reader.request is not None:
            self._reader.request.began_at = self._free_since
        if self.transport is None or request is None:
            return
        if close or not request.keeps_alive:
            self._close()
        else:
            self._next()

    def write(self, data: bytes) -> None:
        """Send bytes, if the client is still there."""
        self._has_answered = True
        if self.transport is not None:
            self.transport.write(data)

    def answer(self, status: int, headers: list[Header], body: bytes) -> None:
        """Send a whole answer and finish."""
        request = self._current
        framing = [] if status in (204, 304) else [(b"content-length", b"%d" % len(body))]
        if (request is None or not request.keeps_alive) and CLOSE not in headers:
            framing.append(CLOSE)
        is_head = request is not None and request.method == "HEAD"
        self.write(head(status, [*headers, *framing]) + (b"" if is_head else body))
        self.finish()

    def refuse(self, refusal: Refusal, headers: list[Header]) -> None:
        """Send a refusal and finish."""
        content_type = (b"content-type", b"application/json")
        self.answer(refusal.status, [content_type, *refusal.headers, *headers], refusal.body())

    def open_tunnel(self, tunnel: Tunnel) -> None:
        """The connection is no longer HTTP: what came and comes goes through the tunnel."""
        self.handling = self._tunnel = tunnel
        first, self._unread = self._reader.after_upgrade + self._unread, b""
        if first:
            tunnel.send(first)
        self.go_on(UPGRADE)

    # ---- the end
    def _close(self) -> None:
        """Close. Closed at once, a client that still sends would get a reset instead of the answer (RFC 9112, 9.6)."""
        assert self.transport is not None
        is_sending = self._is_deaf or self._queue or self._unread or self._holds or self._reader.request is not None
        self._is_closing = True
        self._closes_at = time.monotonic() + self._limits.linger_s
        self._listen_no_more()
        for request in (self._reader.request, *self._queue):
            self._release(request)
        self._queue.clear()
        if is_sending and self._tunnel is None:
            if self.transport.can_write_eof():
                self.transport.write_eof()
        else:
            self.transport.close()

    def check_time(self, now: float) -> None:
        """Once a second: end a connection that trickles a request, idles or does not read (`now`: monotonic)."""
        transport, limits = self.transport, self._limits
        if transport is None:
            return
        unsent = transport.get_write_buffer_size() if self._is_slow or self._is_closing else 0
        if unsent and self._is_stalled(unsent, now):
            transport.abort()
        elif self._is_closing:
            if not unsent and (now > self._closes_at or now - self._heard_at > limits.linger_silence_s):
                transport.abort()
        elif self._current is None and not (self._holds or self._is_slow):
            self._check_request(now)
        if not unsent:
            self._unsent = 0

    def _check_request(self, now: float) -> None:
        reading = self._reader.request
        if reading is None:
            if now - self._free_since > (self._limits.drain_idle_s if self._is_draining else self._limits.idle_s):
                self._close()
        elif now - reading.began_at > self._limits.head_wait_s + reading.body_size / self._limits.body_rate_bytes:
            self._break(request_timeout(round(now - reading.began_at)))

    def _is_stalled(self, unsent: int, now: float) -> bool:
        if not self._unsent or unsent <= self._unsent - self._limits.write_buffer_bytes // 2:
            self._unsent, self._sent_at = unsent, now
        return now - self._sent_at > self._limits.write_stall_s

    def cut(self, *, reset: bool = False) -> None:
        """End at once; what is under way is charged as if the client had left.

        An answer whose end is the end of the connection (HTTP/1.0) has to be `reset`: it would look whole otherwise.
        """
        if self.transport is not None:
            if reset:
                self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
            self.transport.abort()

    def shutdown(self) -> None:
        """The server drains. A client that was not told so may send one more request: it would get a reset instead."""
        self._is_draining = True
        if self.transport is None:
            return
        if self._current is not None and not self._has_answered:
            self._current.keeps_alive = False
        self._free_since = time.monotonic()
        if self._tunnel is not None:
            self._close()
