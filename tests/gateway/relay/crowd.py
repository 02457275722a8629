"""Thousands of clients at once on raw sockets, cheap enough to run beside what they race for.

Each client is a connection of its own. It sends its request but for the last byte, waits for all the others of its
wave, then sends that byte: so requests arrive as fast as one process can make system calls.
"""

import asyncio
import json
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import uvloop

PATIENCE_S = 15  # without a single answer
CONNECTING = 256  # connections being opened at once: fewer than a listening socket queues
SPARE_FILES = 1_000
MOST = 20_000  # ports that a machine lends to connections to one address, less than half of them


@dataclass(frozen=True)
class Ask:
    """One client's request: the gateway's port and the request's bytes."""

    port: int
    data: bytes


@dataclass(frozen=True)
class Told:
    """What a client got: head and body as they came; status 0 where the connection was cut."""

    received: bytes

    @property
    def status(self) -> int:
        return int(self.received[9:12] or b"0")

    @property
    def error(self) -> dict[str, Any]:
        """OpenAI's error object of a refusal."""
        return dict(json.loads(self.received.partition(b"\r\n\r\n")[2])["error"])

    def header(self, name: str) -> str | None:
        """One header of the answer."""
        for line in self.received.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]:
            found, _, value = line.partition(b": ")
            if found.lower() == name.encode():
                return value.decode()
        return None


@dataclass
class Rush:
    """What a crowd was told, in the order of its requests. `most_in_flight`: requests sent whole whose answer was not
    there yet, at the worst moment; `seconds` from the first whole request to the last answer, connecting left out.
    """

    told: list[Told]
    most_in_flight: int
    seconds: float

    def of(self, status: int) -> list[Told]:
        """Those with this status."""
        return [told for told in self.told if told.status == status]


class _Client(asyncio.Protocol):
    """One connection with one request."""

    def __init__(self, on_end: Callable[[], None]) -> None:
        self._on_end = on_end
        self._received = b""
        self._transport: asyncio.WriteTransport | None = None
        self.told: Told | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)

    def send(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._is_whole():
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        self._received = b""
        self._end()

    def _is_whole(self) -> bool:
        head, found, body = self._received.partition(b"\r\n\r\n")
        place = head.find(b"\r\ncontent-length: ")
        if place < 0:
            return bool(found) and body.endswith(b"0\r\n\r\n")
        return bool(found) and len(body) >= int(head[place + 18 :].partition(b"\r\n")[0])

    def _end(self) -> None:
        if self.told is None:
            self.told = Told(self._received)
            self._on_end()
            if self._transport is not None:
                self._transport.close()


class _Crowd:
    """All waves of it."""

    def __init__(self) -> None:
        self.clients: list[_Client] = []
        self.in_flight = self.most_in_flight = 0
        self.seconds = 0.0
        self._ended = asyncio.Event()

    async def wave(self, asks: Sequence[Ask], left: int) -> None:
        """Connect, send at once, and wait until no more than `left` clients of the crowd wait for an answer."""
        clients = [_Client(self._one_ended) for _ in asks]
        gate = asyncio.Semaphore(CONNECTING)
        await asyncio.gather(*(_join(gate, client, ask) for client, ask in zip(clients, asks, strict=True)))
        self.clients += clients
        began = time.monotonic()
        for client, ask in zip(clients, asks, strict=True):
            client.send(ask.data[-1:])
        self.in_flight += len(asks)
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        await self.settle_down(left)
        self.seconds += time.monotonic() - began

    async def settle_down(self, left: int) -> None:
        """Wait until no more than `left` wait, or nobody gets an answer any more: then something is wrong."""
        while self.in_flight > left:
            self._ended.clear()
            try:
                await asyncio.wait_for(self._ended.wait(), PATIENCE_S)
            except TimeoutError:
                return

    def _one_ended(self) -> None:
        self.in_flight -= 1
        self._ended.set()


async def _join(gate: asyncio.Semaphore, client: _Client, ask: Ask) -> None:
    async with gate:
        await asyncio.get_running_loop().create_connection(lambda: client, "127.0.0.1", ask.port)
        client.send(ask.data[:-1])


def rush(asks: Sequence[Ask], *, staying: int = 0, then: Callable[[], None] = lambda: None) -> Rush:
    """Send all requests at once (in waves, where files are scarce) and wait for all answers.

    A wave is over when no more than `staying` clients still wait; they stay in flight during the next ones. After the
    last wave `then` is called, once, and the answers of those that stayed are awaited.
    """

    async def run() -> _Crowd:
        crowd = _Crowd()
        size = wave_size(staying)
        for start in range(0, len(asks), size):
            await crowd.wave(asks[start : start + size], staying)
        then()
        await crowd.settle_down(0)
        return crowd

    with many_files():
        crowd = uvloop.run(run())
    told = [client.told or Told(b"") for client in crowd.clients]
    return Rush(told, crowd.most_in_flight, crowd.seconds)


def wave_size(staying: int) -> int:
    """How many clients this process has files for, beside those that stay."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return MOST if allowed == resource.RLIM_INFINITY else min(MOST, max(500, allowed - staying - SPARE_FILES))


@contextmanager
def many_files() -> Iterator[None]:
    """As many open files as the system lets us, meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
