"""Connections from the relay to engines (and to Django): one request at a time each, kept alive in a pool a target."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, cast

import httptools

from gateway.relay.http_message import Header
from gateway.relay.limits import Limits


class Sink(Protocol):
    """Who takes an upstream answer. Called from the event loop, in order; after `ended` or `failed` nothing more is called."""

    def answer_began(self, status: int, headers: list[Header]) -> None:
        """The head is there."""

    def answer_data(self, data: bytes) -> None:
        """Body bytes, without transfer coding."""

    def answer_ended(self) -> None:
        """The answer is complete."""

    def answer_failed(self, reason: str) -> None:
        """The connection broke, or what came is no HTTP."""


class UpstreamConnection(asyncio.Protocol):
    """One connection to a target."""

    def __init__(self, pool: "Pool") -> None:
        self._pool = pool
        self._sink: Sink | None = None
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._headers: list[Header] = []
        self._began = self._complete = self._keeps_alive = self._is_head = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass
        self._transport = transport

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def send(self, sink: Sink, parts: tuple[bytes, ...], *, is_head: bool = False) -> None:
        """Send a request, head and body; its answer goes to `sink`."""
        assert self._transport is not None
        self._sink = sink
        self._parser = httptools.HttpResponseParser(self)
        self._headers = []
        self._began = self._complete = self._keeps_alive = False
        self._is_head = is_head
        self._transport.writelines(parts)

    def abort(self) -> None:
        """Leave: the engine sees the connection closed and stops generating. The sink hears nothing more."""
        self._sink = None
        if self._transport is not None:
            self._transport.abort()

    def pause(self) -> None:
        """Stop reading: the client is slow."""
        if self.is_open:
            self._transport.pause_reading()  # type: ignore[union-attr]

    def resume(self) -> None:
        """Read on."""
        if self.is_open:
            self._transport.resume_reading()  # type: ignore[union-attr]

    def data_received(self, data: bytes) -> None:
        if self._sink is None or self._parser is None:
            self.abort()  # bytes that nobody asked for: this connection's state is unknown
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._fail("sent what is not HTTP")
            return
        if self._complete:
            self._end()

    def eof_received(self) -> None:
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._pool.forget(self)
        if self._sink is None:
            return
        if self._began and self._is_delimited_by_close():
            self._end()
        else:
            self._fail("closed the connection")

    # httptools' callbacks
    def on_status(self, status: bytes) -> None:
        """httptools asks for it."""

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        assert self._sink is not None
        status = self._parser.get_status_code()
        if status < 200:
            self._headers = []
            return
        self._began = True
        self._complete = self._is_head  # its answer has a length, but no body
        self._sink.answer_began(status, self._headers)

    def on_body(self, body: bytes) -> None:
        if self._sink is not None:
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

    async def acquire(self) -> tuple[UpstreamConnection, bool]:
        """An open connection, and whether it was used before (it may have just been closed by the other side). Raises OSError."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection, True
        return await self.fresh(), False

    async def fresh(self) -> UpstreamConnection:
        """A new connection. Raises OSError, also when the target does not answer in time."""
        connection = UpstreamConnection(self)
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
