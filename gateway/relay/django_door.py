"""Every path that is not inference: relayed to Django's server on its Unix socket.

An upgrade becomes a blind tunnel once Django agreed to it, and no byte sooner: until then what a client sends could be
read as a request that was never checked.
"""

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from gateway.relay.failures import log_failure
from gateway.relay.http_message import END_OF_CHUNKS, HOP_BY_HOP, Header, HttpRequest, chunk, head
from gateway.relay.ids import new_request_id
from gateway.relay.tunnel import DjangoTunnel
from gateway.relay.upstream import SWITCHING_PROTOCOLS, UpstreamConnection, logger

if TYPE_CHECKING:
    from gateway.relay.client import ClientConnection
    from gateway.relay.gateway import Gateway

# Ours to say: a client's word for them is passed on only from a trusted proxy, and then once.
FORWARDED = frozenset((b"forwarded", b"x-real-ip", b"x-request-id", b"x-beffroi-forwarded"))
TELLS_OF_A_PROXY = (b"forwarded", b"x-real-ip", b"x-forwarded-for", b"x-forwarded-host")
NO_BODY = (204, 304)
# Only these may be sent again where it is not known whether they were carried out (RFC 9110, 9.2.1).
SAFE = ("GET", "HEAD", "OPTIONS")
UPGRADE: list[Header] = [(b"connection", b"upgrade"), (b"upgrade", b"websocket")]


class Trouble(NamedTuple):
    """Why there is no answer of Django's."""

    status: HTTPStatus
    title: str


AWAY = Trouble(HTTPStatus.SERVICE_UNAVAILABLE, "This page is not available for a moment. Try again shortly.")
BROKE_OFF = Trouble(
    HTTPStatus.BAD_GATEWAY, "The request was broken off. Look whether it took effect before trying again."
)
SILENT = Trouble(HTTPStatus.GATEWAY_TIMEOUT, "No answer came in time. Look whether it took effect before trying again.")


class DjangoExchange:
    """One request to Django. It is the client connection's `Handling` and its Django connection's `Sink`."""

    def __init__(self, gateway: "Gateway", client: "ClientConnection", request: HttpRequest) -> None:
        self._gateway, self._client, self._request = gateway, client, request
        self._django: UpstreamConnection | None = None
        self._is_head_sent = self._is_chunked = self._has_left = self._was_used = self._is_slow = False
        self._request_id = request.request_id or new_request_id()
        self._may_repeat = request.method in SAFE
        request.keeps_alive = (
            request.keeps_alive and not request.is_upgrade
        )  # what comes behind it was not meant for us
        believed = gateway.is_trusted(client.peer)
        self._parts = (request_head(request, client, str(self._request_id).encode(), believed=believed), request.body)
        loop = asyncio.get_running_loop()
        self._heard_at = loop.time()
        self._timer = loop.call_later(gateway.limits.page_wait_s, self._check_silence)
        self.task = loop.create_task(self._send())

    async def _send(self) -> None:
        """Send it, on a kept connection only where it may be sent again: Django may just be closing that one."""
        pool = self._gateway.django
        try:
            kept = pool.kept() if self._may_repeat else None
            self._was_used = kept is not None
            connection = kept or await pool.fresh()
        except OSError:
            self._refuse(AWAY)
            return
        except Exception as error:  # noqa: BLE001  # whatever it is, the client gets an answer
            log_failure(logger, f"request {self._request_id}", error)
            self._refuse(AWAY)
            return
        if self._has_left:
            pool.give_back(connection)
            return
        self._django = connection
        upgraded = self._hand_over if self._request.is_upgrade else None
        connection.send(self, self._parts, is_head=self._request.method == "HEAD", upgraded=upgraded)

    # ---- Sink
    def answer_began(self, status: int, headers: list[Header]) -> None:
        request = self._request
        self._heard_at = asyncio.get_running_loop().time()
        has_length = any(name == b"content-length" for name, _ in headers)
        has_body = status not in NO_BODY and request.method != "HEAD"
        self._is_chunked = has_body and not has_length and not request.is_http_10
        if has_body and not has_length and request.is_http_10:
            request.keeps_alive = False
        framing: list[Header] = [(b"transfer-encoding", b"chunked")] if self._is_chunked else []
        if not request.keeps_alive:
            framing.append((b"connection", b"close"))
        self._is_head_sent = True
        kept = [(name, value) for name, value in self._passed_on(headers) if status != 204 or name != b"content-length"]
        self._client.write(head(status, kept + framing))

    def answer_data(self, data: bytes) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        self._client.write(chunk(data) if self._is_chunked else data)

    def answer_ended(self) -> None:
        self._forget_django()
        if self._is_chunked:
            self._client.write(END_OF_CHUNKS)
        self._client.finish()

    def answer_failed(self, reason: str) -> None:
        self._forget_django()
        if self._is_head_sent:
            self._client.cut(reset=self._request.is_http_10)
        elif self._was_used and not self._has_left:
            self._may_repeat = self._was_used = False  # only once, and on a fresh connection
            self._timer = asyncio.get_running_loop().call_later(self._gateway.limits.page_wait_s, self._check_silence)
            self.task = asyncio.get_running_loop().create_task(self._send())
        else:
            self._refuse(BROKE_OFF)

    # ---- Handling
    def client_left(self) -> None:
        self._has_left = True
        if self._django is not None:
            self._django.leave(self)
        self._forget_django()

    def client_is_slow(self, *, slow: bool) -> None:
        self._is_slow, self._heard_at = slow, asyncio.get_running_loop().time()
        if self._django is None:
            return
        if slow:
            self._django.pause(self)
        else:
            self._django.resume(self)

    # ---- inside
    def _hand_over(self, headers: list[Header], django: asyncio.Transport, rest: bytes) -> None:
        self._forget_django()
        tunnel = DjangoTunnel(self._client, django, self._gateway.limits.write_buffer_bytes)
        self._client.write(head(SWITCHING_PROTOCOLS, [*self._passed_on(headers), *UPGRADE]) + rest)
        self._client.open_tunnel(tunnel)

    def _passed_on(self, headers: list[Header]) -> list[Header]:
        kept = [(name, value) for name, value in headers if name not in HOP_BY_HOP and name != b"x-request-id"]
        return [*kept, (b"x-request-id", str(self._request_id).encode())]

    def _check_silence(self) -> None:
        loop, wait = asyncio.get_running_loop(), self._gateway.limits.page_wait_s
        left = self._heard_at + wait - loop.time()
        if self._is_slow or left > 0:  # a client that does not read has a time-out of its own
            self._timer = loop.call_later(wait if self._is_slow else left, self._check_silence)
            return
        if self._django is not None:
            self._django.leave(self)
        self._forget_django()
        if self._is_head_sent:
            self._client.cut(reset=self._request.is_http_10)
        else:
            self._refuse(SILENT)

    def _forget_django(self) -> None:
        self._django = None
        self._timer.cancel()

    def _refuse(self, trouble: Trouble) -> None:
        self._timer.cancel()
        if self._has_left:
            return
        content_type, body = _told(trouble, self._request)
        headers: list[Header] = self._passed_on([(b"content-type", content_type), (b"cache-control", b"no-store")])
        if trouble is AWAY:
            headers.append((b"retry-after", b"2"))
        self._client.answer(trouble.status, headers, body)


def request_head(request: HttpRequest, client: "ClientConnection", request_id: bytes, *, believed: bool) -> bytes:
    """The head as Django gets it: made anew, with what we know of the client and what a `believed` proxy told us.

    Nothing else that claims to know is left, nor a name with an underscore, which Django cannot tell from a hyphen.
    """
    named = {
        name.strip().lower() for value in request.all_of(b"connection") for name in value.encode("latin-1").split(b",")
    }
    headers = [(name, value) for name, value in request.headers if _is_passed_on(name) and name not in named]
    forwarded = request.all_of(b"x-forwarded-for") if believed else []
    headers += [
        (b"x-forwarded-for", ", ".join([*forwarded, client.peer]).encode("latin-1")),
        (
            b"x-forwarded-proto",
            (believed and request.header(b"x-forwarded-proto")) or (b"https" if client.is_tls else b"http"),
        ),
        (b"x-request-id", request_id),
    ]
    if client.is_passed_on or any(name in TELLS_OF_A_PROXY for name, _ in request.headers):
        headers.append((b"x-beffroi-forwarded", b"1"))
    host = request.header(b"x-forwarded-host") if believed else None
    if host is not None:
        headers.append((b"x-forwarded-host", host))
    headers += UPGRADE if request.is_upgrade else [(b"content-length", b"%d" % request.body_size)]
    lines = [request.method.encode() + b" " + request.target + b" HTTP/1.1\r\n"]
    lines += [name + b": " + value + b"\r\n" for name, value in headers]
    return b"".join(lines) + b"\r\n"


def _is_passed_on(name: bytes) -> bool:
    return not (
        name in HOP_BY_HOP
        or name in FORWARDED
        or name in (b"content-length", b"expect")
        or name.startswith(b"x-forwarded-")
        or b"_" in name
    )


def _told(trouble: Trouble, request: HttpRequest) -> tuple[bytes, bytes]:
    """Content type and body: a page for a browser, problem details (RFC 9457) for a program."""
    if b"text/html" in (request.header(b"accept") or b""):
        page = f'<!doctype html><html lang="en"><title>{trouble.status.phrase}</title><p>{trouble.title}</p></html>\n'
        return b"text/html; charset=utf-8", page.encode()
    problem = {"type": "about:blank", "title": trouble.title, "status": trouble.status.value}
    return b"application/problem+json", msgspec.json.encode(problem)
