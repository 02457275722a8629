"""A client of the management API: `python -m bench.pages` reads its Work as JSON and prints what it saw.

It asks for the usage records so many times a second, whether or not the last answer is there; past a number of waiting
questions it leaves some out, which shows as a lower rate.
"""

import asyncio
import sys
from time import perf_counter

import msgspec
import uvloop

CONNECTIONS = 64
PATH = "/api/usage/records"


class Work(msgspec.Struct, frozen=True):
    """Whom to ask, how often a second, for how long."""

    port: int
    key: str
    per_second: int
    seconds: float


class Saw(msgspec.Struct):
    """Answers a second that were right, records in the last one, and what was wrong."""

    per_second: float = 0
    records: int = 0
    faults: dict[str, int] = {}


class _Page(msgspec.Struct):
    results: list[msgspec.Raw]


async def ask(work: Work) -> Saw:
    """Do the work."""
    saw = Saw()
    due: asyncio.Queue[None] = asyncio.Queue(CONNECTIONS)
    answered = [0]
    asking = [asyncio.create_task(_connection(work, due, saw, answered)) for _ in range(CONNECTIONS)]
    began = perf_counter()
    for number in range(int(work.per_second * work.seconds)):
        await asyncio.sleep(began + number / work.per_second - perf_counter())
        if not due.full():
            due.put_nowait(None)
    saw.per_second = answered[0] / (perf_counter() - began)
    for task in asking:
        task.cancel()
    return saw


async def _connection(work: Work, due: "asyncio.Queue[None]", saw: Saw, answered: list[int]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", work.port)
    head = f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{work.port}\r\nAuthorization: Bearer {work.key}\r\n\r\n".encode()
    while True:
        await due.get()
        writer.write(head)
        try:
            saw.records = await _page(reader)
            answered[0] += 1
        except (OSError, EOFError, ValueError, msgspec.DecodeError) as error:
            saw.faults[repr(error)[:200]] = saw.faults.get(repr(error)[:200], 0) + 1
            writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", work.port)


async def _page(reader: asyncio.StreamReader) -> int:
    """Read an answer; how many records it has. Raises ValueError and others when it is not what was asked for."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    status, _, fields = head.partition(b"\r\n")
    _, found, rest = fields.partition(b"content-length:")
    if b" 200 " not in status or not found:
        raise ValueError(head.decode("latin-1"))
    body = await reader.readexactly(int(rest.split(b"\r\n")[0]))
    return len(msgspec.json.decode(body, type=_Page).results)


if __name__ == "__main__":
    seen = uvloop.run(ask(msgspec.json.decode(sys.stdin.buffer.read(), type=Work)))
    sys.stdout.buffer.write(msgspec.json.encode(seen))
