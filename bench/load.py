"""The client of the measurements, one process: `python -m bench.load` reads its Work as JSON and prints an Outcome.

Each connection sends a request, reads its whole answer, checks every byte of it and sends the next one. Requests count
when they end inside the measured window, chunks when they arrive in it. What is under way then is read to its end.
"""

import asyncio
import re
import sys
from time import perf_counter
from typing import Self, cast

import msgspec
import uvloop

from bench import script
from bench.answers import Wrong, check_stream, check_whole, dechunk
from bench.machine import Taken, taken_by

HEAD_END = b"\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
CONNECTED_AT_ONCE = 50
SAMPLE_S = 0.5
GOLDEN = 0.618033988749895


class Work(msgspec.Struct, kw_only=True, frozen=True):
    """What to ask of whom, and how long."""

    port: int = 0
    key: str = ""
    keys: list[str] = []  # one a variant of the request, instead of `key`
    connections: int
    is_stream: bool = False
    tokens: int = 99  # data events of a stream: one more
    pause_ms: int = 0
    prompt_bytes: int = 0
    warm_s: float = 0.7
    window_s: float = 3
    each: int = 0  # requests a connection; then it ends. 0: as many as the window holds
    spread_s: float = 0  # connections begin over this time, at phases that do not repeat
    patience_s: float = 60  # for what is under way after the window, or for `each`
    watch: dict[str, list[int]] = {}  # name -> processes whose CPU time and memory are taken, with their descendants


class Fault(msgspec.Struct):
    """Something that must not be: how often, and one of it."""

    count: int
    sample: str


class Spread(msgspec.Struct):
    """Percentiles, in ms."""

    p50: float = 0
    p99: float = 0
    most: float = 0

    @classmethod
    def of(cls, seconds: list[float]) -> Self:
        """Those of these times."""
        if not seconds:
            return cls()
        ordered = sorted(seconds)
        at = (len(ordered) // 2, len(ordered) * 99 // 100, -1)
        return cls(*(1000 * ordered[i] for i in at))


class Outcome(msgspec.Struct):
    """What was measured."""

    seconds: float = 0
    requests: int = 0
    chunks: int = 0
    latency: Spread = msgspec.field(default_factory=Spread)
    gap: Spread = msgspec.field(default_factory=Spread)  # of the longest pause inside each stream
    cpu_s: dict[str, float] = {}
    rss_bytes: dict[str, int] = {}  # the most that was seen
    faults: dict[str, Fault] = {}


def request(work: Work, connection: int) -> bytes:
    """The bytes of a request."""
    text = "Explain in two sentences what an inference gateway does."
    if work.prompt_bytes:
        line = "The quick brown fox jumps over the lazy dog, number %07d. "
        text = "".join(line % number for number in range(work.prompt_bytes // 59 + 1))[: work.prompt_bytes]
    body = {
        "model": script.MODEL,
        "messages": [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": text},
        ],
        "temperature": 0.7,
        "seed": script.seed(work.pause_ms, connection),
        "max_tokens": work.tokens,
    }
    if work.is_stream:
        body["stream"] = True
    content = msgspec.json.encode(body)
    key = work.keys[connection % len(work.keys)] if work.keys else work.key
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{work.port}\r\nContent-Type: application/json\r\n"
        f"Accept: */*\r\nUser-Agent: bench/1\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


class Run:
    """What the connections of a run share."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.outcome = Outcome()
        self.is_measuring = bool(work.each)
        self.is_ending = False
        self.open = self.right = 0
        self.all_closed = asyncio.Event()
        self.latencies: list[float] = []  # seconds
        self.gaps: list[float] = []
        self._requests = [request(work, variant) for variant in range(script.VARIANTS)]

    def request(self, connection: int) -> bytes:
        """What this connection sends."""
        return self._requests[connection % script.VARIANTS]

    def fault(self, what: str, sample: bytes = b"") -> None:
        """Note what must not be."""
        known = self.outcome.faults.setdefault(what, Fault(0, sample[:300].decode("latin-1")))
        known.count += 1

    def closed(self) -> None:
        """A connection is no more."""
        self.open -= 1
        if self.open == 0:
            self.all_closed.set()


class Connection(asyncio.Protocol):
    """One connection: a request at a time."""

    def __init__(self, run: Run, number: int) -> None:
        self._run, self._number = run, number
        self._is_stream = run.work.is_stream
        self._left = run.work.each
        self._is_waiting = False  # for an answer or the rest of it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.WriteTransport", transport)  # uvloop gives a TCP one
        self._transport = transport
        self._run.open += 1
        self._send()

    def _send(self) -> None:
        self._parts: list[bytes] = []
        self._head = b""
        self._missing = -1  # bytes until the answer is complete; -1: it is chunked, or its head is not there
        self._longest_gap = 0.0
        self._is_waiting = True
        self._transport.write(self._run.request(self._number))
        self._began = perf_counter()
        self._last = 0.0  # when the last piece of a stream came

    def data_received(self, data: bytes) -> None:
        if not self._is_waiting:
            self._run.fault("bytes after the end of an answer", data)
            self._transport.abort()
            return
        if not self._head:
            data = self._read_head(data)
            if not data:
                return
        self._parts.append(data)
        if self._is_stream:
            self._note_arrival(data)
        if self._missing >= 0:
            self._missing -= len(data)
            if self._missing <= 0:
                self._answered(b"".join(self._parts))
        elif data.endswith(LAST_CHUNK) or len(data) < len(LAST_CHUNK):
            self._try_chunked()

    def _read_head(self, data: bytes) -> bytes:
        """Take the head off; answers what follows it, nothing while it is not complete."""
        joined = b"".join([*self._parts, data])
        head, found, rest = joined.partition(HEAD_END)
        if not found:
            self._parts = [joined]
            return b""
        self._head, self._parts = head, []
        length = CONTENT_LENGTH.search(head)
        if length is not None:
            self._missing = int(length[1])
            if self._missing == 0:
                self._answered(b"")
        return rest

    def _note_arrival(self, data: bytes) -> None:
        now = perf_counter()
        if self._run.is_measuring:
            self._run.outcome.chunks += data.count(b"data: {")
        if self._last and now - self._last > self._longest_gap:
            self._longest_gap = now - self._last
        self._last = now

    def _try_chunked(self) -> None:
        try:
            body = dechunk(b"".join(self._parts))
        except Wrong as error:
            self._run.fault(str(error), self._parts[-1])
            self._transport.abort()
            return
        if body is not None:
            self._answered(body)

    def _answered(self, body: bytes) -> None:
        """A whole answer is here: check it, count it, go on."""
        run, now = self._run, perf_counter()
        self._is_waiting = False
        try:
            self._check(body)
        except Wrong as error:
            run.fault(str(error), body[-300:])
        else:
            run.right += 1
            if run.is_measuring:
                run.outcome.requests += 1
                run.latencies.append(now - self._began)
                run.gaps.append(self._longest_gap)
        self._left -= 1
        if run.is_ending or self._left == 0 or run.outcome.faults:
            self._transport.close()
        else:
            self._send()

    def _check(self, body: bytes) -> None:
        """Raises: Wrong."""
        if not self._head.startswith(b"HTTP/1.1 200 "):
            raise Wrong(self._head.split(b"\r\n")[0].decode("latin-1"))
        variant, tokens = self._number % script.VARIANTS, self._run.work.tokens
        if self._is_stream:
            check_stream(body, variant, tokens)
        else:
            check_whole(body, variant, min(tokens, script.WHOLE_TOKENS))

    def connection_lost(self, error: Exception | None) -> None:
        if self._is_waiting:
            self._run.fault("the connection was lost inside an answer", repr(error).encode())
        elif self._left != 0 and not self._run.is_ending and not self._run.outcome.faults:
            self._run.fault("the connection was closed between two requests")
        self._run.closed()


async def connect(run: Run) -> None:
    """Open all connections, as fast as it goes or spread over time."""
    loop, work = asyncio.get_running_loop(), run.work

    async def one(number: int) -> None:
        await asyncio.sleep(number * GOLDEN % 1 * work.spread_s)
        try:
            await loop.create_connection(lambda: Connection(run, number), "127.0.0.1", work.port)
        except OSError as error:
            run.fault("no connection", repr(error).encode())

    at_once = work.connections if work.spread_s else CONNECTED_AT_ONCE
    for first in range(0, work.connections, at_once):
        await asyncio.gather(*(one(number) for number in range(first, min(first + at_once, work.connections))))


async def measure(work: Work) -> Outcome:
    """Do the work."""
    run = Run(work)
    before, began = taken_by(work.watch), perf_counter()
    sampling = asyncio.create_task(_sample_memory(run))
    await connect(run)
    if not work.each:
        await asyncio.sleep(work.warm_s)
        run.is_measuring = True
        before, began = taken_by(work.watch), perf_counter()
        await asyncio.sleep(work.window_s)
        _close_window(run, before, began)
        run.is_ending = True
    try:
        if run.open:
            await asyncio.wait_for(run.all_closed.wait(), work.patience_s)
    except TimeoutError:
        run.fault(f"{run.open} connections without the end of an answer after {work.patience_s:g} s")
    if work.each:
        _close_window(run, before, began)
    sampling.cancel()
    run.outcome.latency, run.outcome.gap = Spread.of(run.latencies), Spread.of(run.gaps)
    if not run.right:
        run.fault("not one answer")
    return run.outcome


def _close_window(run: Run, before: dict[str, Taken], began: float) -> None:
    after = taken_by(run.work.watch)
    run.outcome.seconds = perf_counter() - began
    run.outcome.cpu_s = {name: after[name].cpu_s - before[name].cpu_s for name in before}
    run.is_measuring = False


async def _sample_memory(run: Run) -> None:
    most = run.outcome.rss_bytes
    while True:
        for name, now in taken_by(run.work.watch).items():
            most[name] = max(most.get(name, 0), now.rss_bytes)
        await asyncio.sleep(SAMPLE_S)


if __name__ == "__main__":
    outcome = uvloop.run(measure(msgspec.json.decode(sys.stdin.buffer.read(), type=Work)))
    sys.stdout.buffer.write(msgspec.json.encode(outcome))
