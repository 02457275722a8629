"""HTTP/1.1 of the simulated engine: an `asyncio.Protocol` on httptools, keep-alive and pipelining included.

Bytes are handed to the kernel by `os.write` at once when nothing is queued, instead of at the end of the event loop's
turn: so the journal, written just before, is at most one event ahead of what was sent (see `journal`).
"""

import asyncio
import os
import socket
import struct
from collections import deque
from typing import TYPE_CHECKING, cast

import httptools

from gateway.simulated_engine.answers import Answer
from gateway.simulated_engine.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_BODY = 256 * 1024 * 1024
"""Bytes of a request's body; more is a 413.  Far above what the gateway lets through."""
MAX_PIPELINED = 16
"""Requests read ahead on one connection; then reading pauses."""
HEAD_PIECES = 8
"""Pieces that the fault `slow_headers` cuts the head into."""
KEPT = (b"authorization", b"x-request-id", b"x-simulate", b"content-type")
"""The request headers that anything looks at."""
UNREADABLE = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 30\r\nconnection: close\r\n\r\n"
    b"Invalid HTTP request received."
)


class Request:
    """One request that was read completely."""

    __slots__ = ("body", "headers", "keep_alive", "method", "path", "too_large")

    def __init__(self) -> None:
        self.method, self.path = b"", b""
        self.headers: dict[bytes, str] = {}
        self.body: bytes = b""
        self.keep_alive = True
        self.too_large = False


class Connection(asyncio.Protocol):
    """One client's connection; requests are answered in their order, one at a time."""

    def __init__(self, engine: Engine, handle: "Callable[[Engine, Connection, Request], None]") -> None:
        self.engine, self._handle = engine, handle
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._file = -1
        self._reading = Request()
        self._body: list[bytes] = []
        self._size = 0
        self._waiting: deque[Request] = deque()
        self._busy = False
        self._keep_alive = True
        self._dribble: Dribble | None = None
        self.answer: Answer | None = None

    # The event loop calls these.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's has its methods but not its class
        self._transport.set_write_buffer_limits(high=0)
        self._file = transport.get_extra_info("socket").fileno()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._waiting.clear()
        answer, self.answer = self.answer, None
        if answer is not None and answer in self.engine.running:
            answer.abort()

    def resume_writing(self) -> None:
        if self.answer is not None:
            self.answer.resume()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse_bytes(UNREADABLE)
        except httptools.HttpParserCallbackError as error:
            self.engine.loop.call_exception_handler({"message": "a defect", "exception": error.__context__})
            self._close(reset=False)
        except httptools.HttpParserError:
            self._refuse_bytes(UNREADABLE)

    # The parser calls these.

    def on_message_begin(self) -> None:
        self._reading, self._body, self._size = Request(), [], 0

    def on_url(self, url: bytes) -> None:
        self._reading.path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        lowered = name.lower()
        if lowered in KEPT:
            self._reading.headers[lowered] = value.decode("latin-1")
        elif lowered == b"expect" and value.lower() == b"100-continue":
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > MAX_BODY:
            self._reading.too_large = True
            self._body.clear()
        else:
            self._body.append(data)

    def on_message_complete(self) -> None:
        request = self._reading
        request.body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        request.method = self._parser.get_method()
        request.path = request.path.partition(b"?")[0]
        request.keep_alive = self._parser.should_keep_alive()
        if self._busy:
            self._waiting.append(request)
            if len(self._waiting) >= MAX_PIPELINED and self._transport:
                self._transport.pause_reading()
        else:
            self._take(request)

    # Answers call these.

    def send(self, data: bytes) -> None:
        """Hand bytes to the kernel now, or queue what it does not take."""
        if self._dribble is not None:
            self._dribble.put(data)
        else:
            self.send_now(data)

    def send_now(self, data: bytes) -> None:
        """`send` without the faults that cut a response into pieces."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        sent = 0
        if not transport.get_write_buffer_size():
            try:
                sent = os.write(self._file, data)
            except BlockingIOError:
                sent = 0
            except OSError:
                transport.abort()
                return
        if sent < len(data):
            transport.write(data[sent:])

    def pending(self) -> bool:
        """Whether nothing should be sent now: bytes wait because the client does not read, or it has just left."""
        transport = self._transport
        return transport is None or transport.is_closing() or transport.get_write_buffer_size() > 0

    @property
    def closing_field(self) -> bytes:
        """`connection: close` as a header line where the connection will not be kept."""
        return b"" if self._keep_alive else b"connection: close\r\n"

    def finish(self) -> None:
        """The response is complete: close, or take the next request."""
        if self._dribble is not None:
            self._dribble.then(self._finished)
        else:
            self._finished()

    def hang_up(self, *, reset: bool) -> None:
        """End the connection in the middle of a response, after what was sent."""
        self.answer = None
        if self._dribble is not None:
            self._dribble.then(lambda: self._close(reset=reset))
        else:
            self._close(reset=reset)

    def dribble(self, size: int | None, pause: float | None) -> None:
        """Cut this response: into pieces of `size` bytes, its head into pieces with a pause (seconds) between them."""
        self._dribble = Dribble(self, size, pause)

    def _take(self, request: Request) -> None:
        self._busy, self._keep_alive, self._dribble = True, request.keep_alive, None
        self._handle(self.engine, self, request)

    def _finished(self) -> None:
        self.answer, self._dribble, self._busy = None, None, False
        if not self._keep_alive:
            self._close(reset=False)
        elif self._waiting and self._transport:
            request = self._waiting.popleft()
            self._transport.resume_reading()
            self._busy = True
            self.engine.loop.call_soon(self._take_later, request)

    def _take_later(self, request: Request) -> None:
        if self._transport is not None:
            self._take(request)

    def _close(self, *, reset: bool) -> None:
        if self._transport is None:
            return
        if reset:
            linger = struct.pack("ii", 1, 0)
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self._transport.abort()
        else:
            self._transport.close()

    def _refuse_bytes(self, response: bytes) -> None:
        if self._transport is not None:
            if not self._busy:
                self.send(response)
            self._transport.close()


class Dribble:
    """A response that leaves in pieces, one a turn of the event loop or with a pause between the pieces of its head."""

    def __init__(self, connection: Connection, size: int | None, pause: float | None) -> None:
        self._connection, self._size, self._pause = connection, size, pause
        self._pieces: deque[tuple[bytes, float]] = deque()
        self._pumping = False
        self._then: Callable[[], None] | None = None

    def put(self, data: bytes) -> None:
        """Queue bytes of the response; the first ones are its head."""
        if self._pause:
            end = data.find(b"\r\n\r\n") + 4
            step = max(1, -(-end // HEAD_PIECES))
            self._pieces += [(data[at : min(at + step, end)], self._pause) for at in range(0, end, step)]
            data, self._pause = data[end:], None
        size = self._size or len(data) or 1
        self._pieces += [(data[at : at + size], 0.0) for at in range(0, len(data), size)]
        if not self._pumping:
            self._pumping = True
            self._connection.engine.loop.call_soon(self._pump)

    def then(self, action: "Callable[[], None]") -> None:
        """Do this when everything was sent."""
        self._then = action
        if not self._pumping:
            action()

    def _pump(self) -> None:
        if not self._pieces:
            self._pumping = False
            if self._then:
                self._then()
            return
        piece, pause = self._pieces.popleft()
        self._connection.send_now(piece)
        self._connection.engine.loop.call_later(pause, self._pump)
