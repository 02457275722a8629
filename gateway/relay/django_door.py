"""Every path that is not inference: relayed to Django's server on its Unix socket. Upgrades become a blind tunnel."""

import asyncio
from typing import TYPE_CHECKING, cast

from gateway.relay import errors
from gateway.relay.http_message import END_OF_CHUNKS, HOP_BY_HOP, Header, HttpRequest, chunk, head
from gateway.relay.ids import new_request_id
from gateway.relay.upstream import UpstreamConnection

if TYPE_CHECKING:
    from gateway.relay.client import ClientConnection
    from gateway.relay.gateway import Gateway

# Ours to say: a client's word for them is passed on only from a trusted proxy, and then once.
FORWARDED = frozenset(
    (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-request-id", b"forwarded", b"x-real-ip")
)
NO_BODY = (204, 304)


class DjangoExchange:
    """One request to Django. It is the client connection's `Handling` and its Django connection's `Sink`."""

    def __init__(self, gateway: "Gateway", client: "ClientConnection", request: HttpRequest) -> None:
        self._gateway, self._client, self._request = gateway, client, request
        self._django: UpstreamConnection | None = None
        self._is_head_sent = self._is_chunked = self._has_left = self._was_used = False
        self._request_id = new_request_id()
        self._parts = (self._head(), request.body)
        self.task = asyncio.get_running_loop().create_task(self._send(fresh=False))

    async def _send(self, *, fresh: bool) -> None:
        pool = self._gateway.django
        try:
            connection, self._was_used = (await pool.fresh(), False) if fresh else await pool.acquire()
        except OSError:
            return self._refuse(errors.starting())
        if self._has_left:
            return pool.give_back(connection)
        self._django = connection
        connection.send(self, self._parts, is_head=self._request.method == "HEAD")

    def _head(self) -> bytes:
        request, client = self._request, self._client
        believed = self._gateway.is_trusted(client.peer)
        forwarded = (
            [value.decode("latin-1") for name, value in request.headers if name == b"x-forwarded-for"]
            if believed
            else []
        )
        proto = request.header(b"x-forwarded-proto") if believed else None
        host = request.header(b"x-forwarded-host") if believed else None
        headers: list[Header] = [
            (name, value) for name, value in request.headers
            if name not in HOP_BY_HOP and name not in FORWARDED and name not in (b"content-length", b"expect")
        ]  # fmt: skip
        headers += [
            (b"x-forwarded-for", ", ".join([*forwarded, client.peer]).encode("latin-1")),
            (b"x-forwarded-proto", proto or (b"https" if client.is_tls else b"http")),
            (b"x-request-id", str(self._request_id).encode()),
            (b"content-length", b"%d" % request.body_size),
        ]
        if forwarded:
            headers.append((b"x-beffroi-forwarded", b"1"))
        if host is not None:
            headers.append((b"x-forwarded-host", host))
        lines = [request.method.encode() + b" " + request.target + b" HTTP/1.1\r\n"]
        lines += [name + b": " + value + b"\r\n" for name, value in headers]
        return b"".join(lines) + b"\r\n"

    # ---- Sink
    def answer_began(self, status: int, headers: list[Header]) -> None:
        request = self._request
        has_length = any(name == b"content-length" for name, _ in headers)
        has_body = status not in NO_BODY and request.method != "HEAD"
        self._is_chunked = has_body and not has_length and not request.is_http_10
        kept = [(name, value) for name, value in headers if name not in HOP_BY_HOP]
        if self._is_chunked:
            kept.append((b"transfer-encoding", b"chunked"))
        if not request.keeps_alive:
            kept.append((b"connection", b"close"))
        self._is_head_sent = True
        self._client.write(head(status, [*kept, (b"x-request-id", str(self._request_id).encode())]))

    def answer_data(self, data: bytes) -> None:
        self._client.write(chunk(data) if self._is_chunked else data)

    def answer_ended(self) -> None:
        self._django = None
        if self._is_chunked:
            self._client.write(END_OF_CHUNKS)
        self._client.finish(close=self._request.is_http_10)

    def answer_failed(self, reason: str) -> None:
        self._django = None
        if self._is_head_sent:
            self._client.finish(close=True)
        elif self._was_used and not self._has_left:
            self.task = asyncio.get_running_loop().create_task(self._send(fresh=True))
        else:
            self._refuse(errors.starting())

    # ---- Handling
    def client_left(self) -> None:
        self._has_left = True
        if self._django is not None:
            self._django.abort()

    def client_is_slow(self, slow: bool) -> None:
        if self._django is not None:
            if slow:
                self._django.pause()
            else:
                self._django.resume()

    def tick(self, now: float) -> None:
        """Django's own time-outs bound its answers."""

    def _refuse(self, refusal: errors.Refusal) -> None:
        if not self._has_left:
            self._client.refuse(refusal, [(b"x-request-id", str(self._request_id).encode())])


class Tunnel(asyncio.Protocol):
    """Bytes both ways, unread, between a client that asked for an upgrade and Django."""

    def __init__(self, client: "ClientConnection", first: bytes) -> None:
        self._client, self._first = client, first
        self._django: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass
        self._django = transport
        transport.write(self._first)
        self._client.tunnel = transport.write
        self._client.go_on_reading()

    def data_received(self, data: bytes) -> None:
        self._client.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._django = None
        self._client.finish(close=True)

    def pause_writing(self) -> None:
        self._client.pause_reading()

    def resume_writing(self) -> None:
        self._client.go_on_reading()

    # Handling
    def client_left(self) -> None:
        if self._django is not None:
            self._django.close()

    def client_is_slow(self, slow: bool) -> None:
        if self._django is not None:
            if slow:
                self._django.pause_reading()
            else:
                self._django.resume_reading()

    def tick(self, now: float) -> None:
        """A tunnel may be silent as long as its ends like."""


def upgrade_head(request: HttpRequest, peer: str, *, is_tls: bool) -> bytes:
    """The head of an upgrade request as Django gets it: as it came, with the client's address."""
    headers = [(name, value) for name, value in request.headers if name not in FORWARDED]
    headers += [(b"x-forwarded-for", peer.encode("latin-1")), (b"x-forwarded-proto", b"https" if is_tls else b"http")]
    lines = [request.method.encode() + b" " + request.target + b" HTTP/1.1\r\n"]
    return b"".join(lines + [name + b": " + value + b"\r\n" for name, value in headers]) + b"\r\n" + request.body
