"""A connection to an engine serves one request after the other: whoever is done with it has no say in it any more."""

import asyncio
from collections.abc import Callable, Iterator

import pytest

from gateway.relay.engine_call import count_tokens
from gateway.relay.http_message import Header
from gateway.relay.limits import Limits
from gateway.relay.routing import Replica
from gateway.relay.upstream import Pool, UpstreamConnection
from tests.gateway.simulated_engine.process import eventually
from tests.support.wire import RecordingServer, Wire, read_request

ASK = (b"GET / HTTP/1.1\r\nhost: engine\r\ncontent-length: 0\r\n\r\n",)


class Answer:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.body = b""
        self.over: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def answer_began(self, status: int, headers: list[Header]) -> None:
        assert status == 200

    def answer_data(self, data: bytes) -> None:
        self.body += data

    def answer_ended(self) -> None:
        self.over.set_result("")

    def answer_failed(self, reason: str) -> None:
        self.over.set_result(reason)


def serve(wire: Wire, seen: bytearray) -> None:
    """Answer each request with its number on the connection; never say how many tokens there are."""
    number = 0
    while True:
        first, _, _ = read_request(wire, seen)
        number += 1
        if b"/tokenize" not in first:
            wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n%d" % number)
        elif wire.has_ended():
            seen += b"left"
            return


@pytest.fixture
def engine() -> Iterator[RecordingServer]:
    with RecordingServer.on_port(serve) as server:
        yield server


def pool_of(engine: RecordingServer) -> Pool:
    async def connect(protocol: Callable[[], UpstreamConnection]) -> object:
        place = ("127.0.0.1", int(engine.url.rpartition(":")[2]))
        return await asyncio.get_running_loop().create_connection(protocol, *place)

    return Pool(connect, Limits())


@pytest.mark.parametrize("meddle", [UpstreamConnection.leave, UpstreamConnection.pause], ids=["leaves", "pauses"])
def test_who_has_its_answer_cannot_touch_the_next_one(
    engine: RecordingServer, meddle: Callable[[UpstreamConnection, Answer], None]
) -> None:
    async def scene() -> bytes:
        pool, first, second = pool_of(engine), Answer(), Answer()
        connection = await pool.acquire()
        connection.send(first, ASK)
        assert await first.over == ""
        again = pool.kept()
        assert again is connection
        again.send(second, ASK)
        meddle(connection, first)
        assert await asyncio.wait_for(second.over, 5) == ""
        pool.close()
        return second.body

    assert asyncio.run(scene()) == b"2"


def test_who_stops_asking_for_a_count_leaves_no_connection_behind(engine: RecordingServer) -> None:
    replica = Replica(
        replica_id=1, name="r", url=engine.url, api_key="", served_name="m", pool="p", node="", site=""
    )  # fmt: skip

    async def scene() -> None:
        asking = asyncio.create_task(count_tokens(pool_of(engine), replica, b"{}", 60))
        assert await asyncio.to_thread(eventually, lambda: b"/tokenize" in engine.seen, 5)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert await asyncio.to_thread(eventually, lambda: engine.seen.endswith(b"left"), 5)

    asyncio.run(scene())
