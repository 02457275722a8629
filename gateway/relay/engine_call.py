"""Short questions to an engine whose whole answer is wanted: /tokenize, /health."""

import asyncio
from typing import Annotated

import msgspec

from gateway.relay.http_message import Header
from gateway.relay.routing import Replica
from gateway.relay.upstream import Pool

ANSWER_BYTES = 64 * 1024 * 1024  # /tokenize answers with every token of a long prompt


class _Collected:
    """A sink that keeps the answer."""

    def __init__(self) -> None:
        self.done: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        self.status = 0
        self._parts: list[bytes] = []
        self._size = 0

    def answer_began(self, status: int, headers: list[Header]) -> None:
        self.status = status

    def answer_data(self, data: bytes) -> None:
        self._size += len(data)
        if self._size <= ANSWER_BYTES:
            self._parts.append(data)

    def answer_ended(self) -> None:
        if not self.done.done():
            self.done.set_result(b"".join(self._parts) if self.status == 200 and self._size <= ANSWER_BYTES else None)

    def answer_failed(self, reason: str) -> None:
        if not self.done.done():
            self.done.set_result(None)


class _Count(msgspec.Struct):
    count: Annotated[int, msgspec.Meta(ge=0, le=2**31)]


def engine_head(replica: Replica, path: str, length: int, request_id: bytes = b"") -> bytes:
    """The head of a request to an engine."""
    return b"POST %b HTTP/1.1\r\n%bx-request-id: %b\r\ncontent-length: %d\r\n\r\n" % (
        path.encode(), replica.head, request_id, length,
    )  # fmt: skip


async def count_tokens(pool: Pool, replica: Replica, body: bytes, time_s: float) -> int | None:
    """How many tokens the engine makes of a prompt (vLLM's /tokenize); None where it cannot say in time."""
    try:
        connection = await pool.acquire()
    except OSError:
        return None
    sink = _Collected()
    connection.send(sink, (engine_head(replica, "/tokenize", len(body)), body))
    try:
        async with asyncio.timeout(time_s):
            answer = await sink.done
        return msgspec.json.decode(answer, type=_Count).count if answer is not None else None
    except (TimeoutError, msgspec.MsgspecError):
        return None
    finally:
        connection.leave(sink)  # also where whoever asked has left meanwhile


async def is_answering(pool: Pool, replica: Replica, time_s: float) -> bool:
    """Whether the engine answers on a new connection, whatever it says (vLLM's /health); `time_s` for the answer."""
    try:
        connection = await pool.fresh()
    except OSError:
        return False
    sink = _Collected()
    connection.send(sink, (b"GET /health HTTP/1.1\r\n%b\r\n" % replica.head,))
    try:
        async with asyncio.timeout(time_s):
            await sink.done
        return bool(sink.status)
    except TimeoutError:
        return False
    finally:
        connection.leave(sink)
