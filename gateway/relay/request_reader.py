"""A client's bytes, in whatever pieces, to requests. No I/O."""

import time
from itertools import chain
from typing import Protocol

import httptools

from gateway.relay.errors import bad_request, headers_too_large, uri_too_long
from gateway.relay.http_message import Header, HttpRequest
from gateway.relay.limits import Limits
from gateway.relay.request_head import check_head, is_websocket, without_upgrade

PIECE = 16 * 1024  # it may hold many requests, and what comes behind them waits only between two pieces


class Listener(Protocol):
    """Who takes the requests. What it raises comes out of `RequestReader.feed`."""

    def head_came(self, request: HttpRequest) -> None:
        """A head is complete and proper; its body, if any, follows."""

    def body_came(self, request: HttpRequest, data: bytes) -> None:
        """A part of the body, without its coding."""

    def request_came(self, request: HttpRequest) -> None:
        """The request is complete."""


class RequestReader:
    """Reads requests with llhttp. `request` is the one that is being read, None between two."""

    def __init__(self, listener: Listener, limits: Limits) -> None:
        self._listener, self._limits = listener, limits
        self._parser = httptools.HttpRequestParser(self)
        self.request: HttpRequest | None = None
        self.after_upgrade = b""  # what came behind a request that asks for another protocol
        self._headers: list[Header] = []
        self._idle_bytes = 0
        self._is_over = self._ignores_upgrade = False

    def feed_piece(self, data: bytes | memoryview) -> bytes | memoryview:
        """Read a piece, which is as long as the body it belongs to or PIECE; answers what is left. Raises Refusal."""
        request = self.request
        most = PIECE if request is None else max(PIECE, request.announced_size - request.body_size)
        if len(data) <= most:
            self.feed(data)
            return b""
        view = memoryview(data)
        self.feed(view[:most])
        return view[most:]

    def feed(self, data: bytes | memoryview) -> None:
        """Read on. Raises Refusal; after that, and after a connection's last request, nothing more can be read."""
        self._idle_bytes += len(data)
        while data and not self._is_over:
            data = self._parse(data)
        # llhttp keeps a field that never ends, and reads a chunk's extension for ever.
        if self._idle_bytes > self._limits.header_bytes + self._limits.uri_bytes and not self._is_over:
            raise headers_too_large(self._limits.header_bytes)

    def _parse(self, data: bytes | memoryview) -> bytes | memoryview:
        """Read the data; answers what is left of it behind an ignored offer to change the protocol."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
            if self._ignores_upgrade:
                self._read_again()  # llhttp cannot ignore it, and would take a body for the other protocol
                return rest
            self._is_over, self.after_upgrade = True, bytes(rest)
        except httptools.HttpParserError as error:
            cause = error.__context__
            if isinstance(cause, Exception) and not isinstance(cause, httptools.HttpParserError):
                raise cause from None  # it was raised in a callback
            if not self._is_over:
                raise bad_request("the message is not HTTP/1.1") from None
        return data[:0]

    def _read_again(self) -> None:
        assert self.request is not None
        head = without_upgrade(self.request)
        self._ignores_upgrade = False
        self._parser = httptools.HttpRequestParser(self)
        self._parse(head)

    # ---- httptools' callbacks
    def on_message_begin(self) -> None:
        self.request = HttpRequest(began_at=time.monotonic())
        self._headers = []

    def on_url(self, url: bytes) -> None:
        assert self.request is not None
        self.request.target += url
        if len(self.request.target) > self._limits.uri_bytes:
            raise uri_too_long(self._limits.uri_bytes)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))
        if len(self._headers) > self._limits.headers:
            raise headers_too_large(self._limits.header_bytes)

    def on_headers_complete(self) -> None:
        request = self.request
        assert request is not None
        self._idle_bytes = 0
        request.headers, self._headers = self._headers, []  # a trailer may not say who asks, or from where
        if sum(map(len, chain.from_iterable(request.headers))) > self._limits.header_bytes:
            raise headers_too_large(self._limits.header_bytes)
        request.fields = dict(reversed(request.headers))
        request.method = self._parser.get_method().decode("latin-1")
        version = self._parser.get_http_version()
        request.is_http_10 = version == "1.0"
        request.keeps_alive = self._parser.should_keep_alive() and not request.is_http_10
        check_head(request, version)
        if self._parser.should_upgrade():
            request.is_upgrade = is_websocket(request)
            self._ignores_upgrade = not request.is_upgrade
            if self._ignores_upgrade:
                return
        self._listener.head_came(request)

    def on_body(self, body: bytes) -> None:
        assert self.request is not None
        self._idle_bytes = 0
        self._listener.body_came(self.request, body)

    def on_message_complete(self) -> None:
        self._idle_bytes = 0
        if self._ignores_upgrade:
            return
        request, self.request = self.request, None
        assert request is not None
        self._is_over = not request.keeps_alive
        self._listener.request_came(request)
