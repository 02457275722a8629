"""Writes a streamed answer to its client: a head, events in chunks, the end."""

import time
from typing import TYPE_CHECKING

from gateway.relay.answer_headers import STREAM_HEADERS
from gateway.relay.http_message import END_OF_CHUNKS, Header, HttpRequest, chunk, head

if TYPE_CHECKING:
    from gateway.relay.client import ClientConnection


class EventWriter:
    """`is_begun`: the head was sent."""

    __slots__ = ("_client", "_request", "_sent_at", "_was_sent", "is_begun")

    def __init__(self, client: "ClientConnection", request: HttpRequest) -> None:
        self._client, self._request = client, request
        self.is_begun = self._was_sent = False
        self._sent_at = time.monotonic()

    def begin(self, headers: list[Header]) -> None:
        """Send the head; `headers` besides those that say that it is a stream."""
        self.is_begun = True
        framing = [] if self._request.is_http_10 else [(b"transfer-encoding", b"chunked")]
        if not self._request.keeps_alive:
            framing.append((b"connection", b"close"))
        self._client.write(head(200, [*STREAM_HEADERS, *headers, *framing]))

    def send(self, events: bytes) -> None:
        """Send whole events."""
        self._was_sent = True
        self._client.write(events if self._request.is_http_10 else chunk(events))

    def silence_s(self, now: float) -> float:
        """Seconds since bytes were sent, as far as who asks now and then (`now`: monotonic) can tell."""
        if self._was_sent:
            self._sent_at, self._was_sent = now, False
        return now - self._sent_at

    def end(self, *, whole: bool) -> None:
        """End the answer; after one that is not whole the connection is closed too."""
        if not self._request.is_http_10:
            self._client.write(END_OF_CHUNKS)
        self._client.finish(close=not whole or self._request.is_http_10)
