"""Bytes both ways, unread, between a client and Django once Django agreed to another protocol (WebSocket)."""

import asyncio
from typing import TYPE_CHECKING

from gateway.relay.client import TUNNEL

if TYPE_CHECKING:
    from gateway.relay.client import ClientConnection


class DjangoTunnel(asyncio.Protocol):
    """Django's side, and the client's `Handling`. Each side is read only as fast as the other one takes.

    It may be silent as long as its ends like: Django's server asks every 20 s whether its client is still there.
    """

    def __init__(self, client: "ClientConnection", django: asyncio.Transport, write_buffer_bytes: int) -> None:
        self._client, self._django = client, django
        django.set_protocol(self)
        django.set_write_buffer_limits(high=write_buffer_bytes)

    # ---- Django's side
    def data_received(self, data: bytes) -> None:
        self._client.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._client.finish(close=True)

    def pause_writing(self) -> None:
        self._client.hold(TUNNEL)

    def resume_writing(self) -> None:
        self._client.go_on(TUNNEL)

    # ---- the client's
    def send(self, data: bytes) -> None:
        """The client's bytes, as they come."""
        self._django.write(data)

    def client_left(self) -> None:
        self._django.close()

    def client_is_slow(self, *, slow: bool) -> None:
        if self._django.is_closing():
            return
        if slow:
            self._django.pause_reading()
        else:
            self._django.resume_reading()
