"""Connections from the relay to engines (and to Django): one request at a time each, kept alive in a pool a target."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, cast

import httptools

from gateway.relay.failures import log_failure
from gateway.relay.http_message import Header
from gateway.relay.limits import Limits
from gateway.relay.liveness import expect_life

logger = logging.getLogger("beffroi.upstream")
SWITCHING_PROTOCOLS = 101


class _UnaskedAnswer(Exception):
    """A second answer to one request."""


class Sink(Protocol):
    """Who takes an answer. Called from the event loop, in order; after `ended` or `failed` nothing more is called."""

    def answer_began(self, status: int, headers: list[Header]) -> None:
        """The head is there."""

    def answer_data(self, data: bytes) -> None:
        """Body bytes, without transfer coding."""

    def answer_ended(self) -> None:
        """The answer is complete."""

    def answer_failed(self, reason: str) -> None:
        """The connection broke, or what came is no HTTP."""


# The other side granted the protocol that was asked for: its headers, the connection, and what came behind the head.
Upgraded = Callable[[list[Header], asyncio.Transport, bytes], None]


class UpstreamConnection(asyncio.Protocol):
    """One connection to a target."""

    def __init__(self, pool: "Pool", limits: Limits) -> None:
        self._pool, self._limits = pool, limits
        self._sink: Sink | None = None
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._headers: list[Header] = []
        self._head_size = 0
        self._upgraded: Upgraded | None = None
        self._began = self._complete = self._keeps_alive = self._is_head = self._is_paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass
        self._transport = transport
        connection = transport.get_extra_info("socket")
        if connection.family != socket.AF_UNIX:
            expect_life(connection, self._limits.gone_s)

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def send(
        self, sink: Sink, parts: Sequence[bytes], *, is_head: bool = False, upgraded: Upgraded | None = None
    ) -> None:
        """Send a request, head and body; its answer goes to `sink`. `is_head`: it has the method HEAD.

        With `upgraded` it asks for another protocol: where that is granted the connection is handed over, and the sink
        hears nothing.
        """
        self._sink = sink
        if self._transport is None or self._transport.is_closing():
            asyncio.get_running_loop().call_soon(self._fail, "closed the connection")
            return
        self._parser = httptools.HttpResponseParser(self)
        self._headers, self._head_size = [], 0
        self._began = self._complete = self._keeps_alive = False
        self._is_head, self._upgraded = is_head, upgraded
        self._transport.writelines(parts)

    # Of the three below nothing happens once the sink's answer is over: the connection may be another's by then.
    def leave(self, sink: Sink) -> None:
        """Close: the engine sees it and stops generating. The sink hears nothing more."""
        if self._sink is sink:
            self.abort()

    def pause(self, sink: Sink) -> None:
        """Stop reading: the client is slow."""
        if self._sink is sink and self._transport is not None and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()

    def resume(self, sink: Sink) -> None:
        """Read on."""
        if self._sink is sink:
            self._read_on()

    def abort(self) -> None:
        """Close, whoever waits for what."""
        self._sink = None
        if self._transport is not None:
            self._transport.abort()

    def _read_on(self) -> None:
        if self._is_paused and self._transport is not None:
            self._is_paused = False
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self._sink is None or self._parser is None:
            self.abort()  # bytes that nobody asked for: this connection's state is unknown
            return
        if not self._began:
            self._head_size += len(data)
            if self._head_size > self._limits.answer_head_bytes:
                self._fail("sent too large a head")
                return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._hand_over(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError as error:
            if isinstance(error, httptools.HttpParserCallbackError):
                log_failure(logger, "taking an answer", error.__context__ or error)
            if not self._complete:
                self._fail("sent what is not HTTP")
                return
            self._keeps_alive = False
        if self._complete:
            self._end()

    def _hand_over(self, rest: bytes) -> None:
        transport, upgraded = self._transport, self._upgraded
        if upgraded is None or transport is None or self._complete:
            self._fail("changed the protocol unasked")
            return
        self._sink = self._transport = None
        upgraded(self._headers, transport, rest)

    def eof_received(self) -> None:
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._pool.forget(self)
        if self._sink is None:
            return
        if self._began and exc is None and self._is_delimited_by_close():
            self._end()
        else:
            self._fail("closed the connection")

    # httptools' callbacks
    def on_message_begin(self) -> None:
        if self._complete:  # more than was asked for: whoever the next request belongs to must not get it
            raise _UnaskedAnswer

    def on_status(self, status: bytes) -> None:
        """httptools asks for it."""

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._began:  # a trailer says nothing
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        assert self._sink is not None
        status = self._parser.get_status_code()
        if status < 200:
            self._headers = self._headers if status == SWITCHING_PROTOCOLS else []
            return
        self._began = True
        self._complete = self._is_head  # its answer has a length, but no body
        self._sink.answer_began(status, self._headers)

    def on_body(self, body: bytes) -> None:
        if self._sink is not None and not self._complete:
            self._sink.answer_data(body)

    def on_message_complete(self) -> None:
        # Only inside this callback does llhttp still know whether the connection lives on.
        assert self._parser is not None
        if self._began:
            self._complete, self._keeps_alive = True, self._parser.should_keep_alive()

    def _is_delimited_by_close(self) -> bool:
        return not any(name in (b"content-length", b"transfer-encoding") for name, _ in self._headers)

    def _end(self) -> None:
        sink, self._sink = self._sink, None
        if self._keeps_alive and self.is_open:
            self._read_on()  # its last bytes may have been more than the client took
            self._pool.give_back(self)
        elif self._transport is not None:
            self._transport.close()
        if sink is not None:
            sink.answer_ended()

    def _fail(self, reason: str) -> None:
        sink, self._sink = self._sink, None
        if self._transport is not None:
            self._transport.abort()
        if sink is not None:
            sink.answer_failed(reason)


class Pool:
    """The idle connections to one target. `connect` makes a connection with a protocol factory; raises OSError."""

    def __init__(
        self, connect: Callable[[Callable[[], UpstreamConnection]], Awaitable[object]], limits: Limits
    ) -> None:
        self._connect, self._limits = connect, limits
        self._idle: list[UpstreamConnection] = []

    def kept(self) -> UpstreamConnection | None:
        """An open connection that was used before, if there is one: the other side may be closing it."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
        return None

    async def acquire(self) -> UpstreamConnection:
        """An open connection. Raises OSError."""
        return self.kept() or await self.fresh()

    async def fresh(self) -> UpstreamConnection:
        """A new connection. Raises OSError, also when the target does not answer in time."""
        connection = UpstreamConnection(self, self._limits)
        try:
            async with asyncio.timeout(self._limits.connect_s):
                await self._connect(lambda: connection)
        except TimeoutError:
            raise OSError("no connection in time") from None
        return connection

    def give_back(self, connection: UpstreamConnection) -> None:
        """Keep a connection for the next request."""
        if len(self._idle) < self._limits.idle_connections:
            self._idle.append(connection)
        else:
            connection.abort()

    def forget(self, connection: UpstreamConnection) -> None:
        """It was closed while idle."""
        if connection in self._idle:
            self._idle.remove(connection)

    def close(self) -> None:
        """Close what is idle."""
        for connection in list(self._idle):
            connection.abort()
