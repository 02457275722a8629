"""The engine of the measurements: it answers like vLLM, as fast as a Python process can.

    python -m bench.mock PORT [PORT ...]

One process; each port counts what was asked and said on it, so that what a gateway billed can be compared with it:

    POST /v1/chat/completions   an answer, or a stream of `max_tokens` tokens (see script.py)
    POST /tokenize              always 27 tokens
    GET  /v1/models, /health, /metrics   as vLLM
    GET  /stats                 the counts of the port
"""

import asyncio
import re
import sys
from functools import cache, partial
from typing import cast

import msgspec
import uvloop

from bench import script
from bench.mock_stream import ANSWER_ID, CREATED, Stream, Wheels, spin, usage, writes

HEAD_END = b"\r\n\r\n"
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ndate: Fri, 21 Nov 2025 01:51:51 GMT\r\nserver: uvicorn\r\n"
    b"content-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
)
_asked = msgspec.json.Decoder(script.Asked)


class Counts(msgspec.Struct):
    """What the client was answered on a port; tokens are those of complete answers.

    Requests without a seed are not the client's: they are probes, of engines and of published models, which no
    organisation is billed for.
    """

    requests: int = 0
    answers: int = 0
    cut: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


def _http(content: bytes, status: str = "200 OK", kind: str = "application/json") -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\ndate: Fri, 21 Nov 2025 01:51:51 GMT\r\nserver: uvicorn\r\n"
        f"content-length: {len(content)}\r\ncontent-type: {kind}\r\n\r\n"
    )
    return head.encode() + content


@cache
def completion(variant: int, tokens: int) -> bytes:
    """The answer that is not streamed, with every member that vLLM's has."""
    message: dict[str, object] = {"role": "assistant", "content": script.whole(variant), "tool_calls": []}
    message |= dict.fromkeys(("refusal", "annotations", "audio", "function_call", "reasoning_content"))
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop", "stop_reason": None}
    answer = {
        "id": ANSWER_ID,
        "object": "chat.completion",
        "created": CREATED,
        "model": script.MODEL,
        "choices": [choice | {"token_ids": None}],
        "service_tier": None,
        "system_fingerprint": None,
        "usage": usage(tokens),
        "prompt_logprobs": None,
        "prompt_token_ids": None,
        "kv_transfer_params": None,
    }
    return _http(msgspec.json.encode(answer))


MODELS = _http(
    msgspec.json.encode(
        {
            "object": "list",
            "data": [
                {"id": script.MODEL, "object": "model", "created": CREATED, "owned_by": "vllm", "root": script.MODEL}
                | {"parent": None, "max_model_len": 262_144, "permission": []}
            ],
        }
    )
)
TOKENIZED = _http(
    msgspec.json.encode(
        {
            "count": script.PROMPT_TOKENS,
            "max_model_len": 262_144,
            "tokens": list(range(script.PROMPT_TOKENS)),
            "token_strs": None,
        }
    )
)
HEALTH = _http(b"")
NOT_FOUND = _http(b'{"detail":"Not Found"}', "404 Not Found")
LENGTH_REQUIRED = _http(b'{"detail":"Length Required"}', "411 Length Required")


def metrics(counts: Counts) -> bytes:
    """The Prometheus rows that routers and reconciliations read."""
    label = f'{{engine="0",model_name="{script.MODEL}"}}'
    rows = {
        "num_requests_running": counts.requests - counts.answers - counts.cut,
        "num_requests_waiting": 0,
        "kv_cache_usage_perc": 0,
        "prompt_tokens_total": counts.prompt_tokens,
        "generation_tokens_total": counts.completion_tokens,
    }
    text = "".join(f"vllm:{name}{label} {value}\n" for name, value in rows.items())
    return _http(text.encode(), kind="text/plain")


class Engine(asyncio.Protocol):
    """One connection."""

    def __init__(self, loop: asyncio.AbstractEventLoop, wheels: Wheels, counts: Counts) -> None:
        self._loop, self._wheels, self._of_port = loop, wheels, counts
        self._counts = counts  # where the request at hand is counted
        self._buffer = bytearray()
        self._needs = 0  # bytes that complete the request, once known
        self._stream: Stream | None = None
        self._asked = script.Asked()
        self.is_paused = self.is_gone = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.WriteTransport", transport)  # uvloop gives a TCP one
        self._transport = transport
        self.write = transport.write

    def connection_lost(self, _: Exception | None) -> None:
        self.is_gone = True
        if self._stream is not None:
            self._counts.cut += 1
            pause = script.pause_ms(self._asked)
            if pause:
                self._wheels.of(pause).remove(self._stream)

    def pause_writing(self) -> None:
        self.is_paused = True

    def resume_writing(self) -> None:
        self.is_paused = False
        if self._stream is not None and not script.pause_ms(self._asked):
            self._loop.call_soon(spin, self._stream, self, self._loop.call_soon)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) >= self._needs:
            self._read_requests()

    def _read_requests(self) -> None:
        while self._buffer and self._stream is None:
            head_end = self._buffer.find(HEAD_END)
            if head_end < 0:
                return
            head = bytes(self._buffer[:head_end])
            length = CONTENT_LENGTH.search(head)
            self._needs = head_end + len(HEAD_END) + (int(length[1]) if length else 0)
            if len(self._buffer) < self._needs:
                return
            body = bytes(self._buffer[head_end + len(HEAD_END) : self._needs])
            del self._buffer[: self._needs]
            self._needs = 0
            method, path, _ = head.split(b"\r\n", 1)[0].split(b" ")
            if method == b"POST" and length is None:
                self.write(LENGTH_REQUIRED)
            elif method == b"POST" and path.endswith(b"/chat/completions"):
                self._complete(body)
            else:
                self.write(self._page(path))

    def _page(self, path: bytes) -> bytes:
        if path == b"/stats":
            return _http(msgspec.json.encode(self._of_port))
        if path == b"/metrics":
            return metrics(self._of_port)
        fixed = {b"/tokenize": TOKENIZED, b"/v1/models": MODELS, b"/health": HEALTH}
        return fixed.get(path, NOT_FOUND)

    def _complete(self, body: bytes) -> None:
        self._asked = asked = _asked.decode(body)
        self._counts = Counts() if asked.seed is None else self._of_port
        self._counts.requests += 1
        if asked.stream:
            self._start_stream(asked)
        else:
            tokens = min(script.WHOLE_TOKENS, asked.limit)
            self.write(completion(script.variant(asked), tokens))
            self._count(tokens)

    def _start_stream(self, asked: script.Asked) -> None:
        options = (asked.stream_options.include_usage, asked.stream_options.continuous_usage_stats)
        self._stream = Stream(self, writes(script.variant(asked), asked.limit, options))
        self.write(STREAM_HEAD)
        pause = script.pause_ms(asked)
        if pause:
            self._wheels.of(pause).add(self._stream)
        else:
            self._loop.call_soon(spin, self._stream, self, self._loop.call_soon)

    def stream_ended(self) -> None:
        """All of the stream is written: the next request may come."""
        self._stream = None
        self._count(self._asked.limit)
        if self._buffer:
            self._loop.call_soon(self._read_requests)

    def _count(self, completion_tokens: int) -> None:
        self._counts.answers += 1
        self._counts.prompt_tokens += script.PROMPT_TOKENS
        self._counts.completion_tokens += completion_tokens


async def serve(ports: list[int]) -> None:
    """Answer on these loopback ports for ever."""
    loop = asyncio.get_running_loop()
    wheels = Wheels(loop)
    for port in ports:
        counts = Counts()
        await loop.create_server(partial(Engine, loop, wheels, counts), "127.0.0.1", port, backlog=4096)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve([int(port) for port in sys.argv[1:]]))
