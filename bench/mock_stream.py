"""The mock engine's streams: their bytes, made once, and the clock that paces thousands of them."""

import asyncio
from collections.abc import Callable
from functools import cache
from typing import Protocol

import msgspec

from bench import script

CREATED = 1_763_689_911
ANSWER_ID = "chatcmpl-6f0c3a5e9b7d4c1f8a2e0d4b6c8f1a3e"
SLOT_S = 0.001
"""One turn of a paced stream takes a slot for each millisecond of its pause."""
END = b"data: [DONE]\n\n"
LAST_CHUNK = b"0\r\n\r\n"


class Writer(Protocol):
    """The connection that a stream writes to."""

    def write(self, data: bytes) -> None: ...
    def stream_ended(self) -> None: ...
    @property
    def is_paused(self) -> bool: ...
    @property
    def is_gone(self) -> bool: ...


def usage(completion_tokens: int) -> dict[str, object]:
    """vLLM's usage object."""
    return {
        "prompt_tokens": script.PROMPT_TOKENS,
        "total_tokens": script.PROMPT_TOKENS + completion_tokens,
        "completion_tokens": completion_tokens,
        "prompt_tokens_details": None,
    }


@cache
def writes(variant: int, tokens: int, options: tuple[bool, bool]) -> tuple[bytes, ...]:
    """What a stream writes, event by event, framed as HTTP chunks; `options`: (include_usage, continuous_usage_stats).

    As vLLM does it: with both, every event carries the usage so far and an event without choices the whole of it.
    """
    with_usage, continuous = options
    found = []
    for number, text in enumerate(script.pieces(variant, tokens)):
        delta = {"content": text} if number else {"role": "assistant", "content": ""}
        finish = "length" if number == tokens else None
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish, "token_ids": None}
        found.append(_event([choice], number if with_usage and continuous else None))
    if with_usage:
        found.append(_event([], tokens))
    return (*found, _framed(END) + LAST_CHUNK)


def _event(choices: list[dict[str, object]], completion_tokens: int | None) -> bytes:
    event: dict[str, object] = {
        "id": ANSWER_ID,
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": script.MODEL,
        "choices": choices,
    }
    if completion_tokens is not None:
        event["usage"] = usage(completion_tokens)
    return _framed(b"data: " + msgspec.json.encode(event) + b"\n\n")


def _framed(payload: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(payload), payload)


class Stream:
    """One stream under way. Every event is a write of its own in a turn of the loop of its own: its own TCP segment."""

    __slots__ = ("_at", "_to", "_writes", "slot")

    def __init__(self, to: Writer, writes: tuple[bytes, ...]) -> None:
        self._to, self._writes, self._at = to, writes, 0
        self.slot = 0

    @property
    def sent(self) -> int:
        """Events written so far."""
        return self._at

    def step(self) -> bool:
        """Write the next event unless the reader is slow; False when there is nothing left to do."""
        to = self._to
        if to.is_gone:
            return False
        if to.is_paused:
            return True
        to.write(self._writes[self._at])
        self._at += 1
        if self._at < len(self._writes):
            return True
        to.stream_ended()
        return False


class Wheel:
    """One timer for every stream of one pace. A stream keeps the slot it began in, so they do not all fire at once."""

    def __init__(self, loop: asyncio.AbstractEventLoop, pause_ms: int) -> None:
        self._loop = loop
        self._slots: list[set[Stream]] = [set() for _ in range(pause_ms)]
        self._now, self._due, self._streams = 0, 0.0, 0

    def add(self, stream: Stream) -> None:
        """Let a stream begin: its first event comes a turn from now."""
        self._slots[self._now].add(stream)
        stream.slot = self._now
        self._streams += 1
        if self._streams == 1:
            self._due = self._loop.time() + SLOT_S
            self._loop.call_at(self._due, self._tick)

    def remove(self, stream: Stream) -> None:
        """Forget a stream whose reader left."""
        if stream in self._slots[stream.slot]:
            self._slots[stream.slot].discard(stream)
            self._streams -= 1

    def _tick(self) -> None:
        now = self._loop.time()
        while self._due <= now:  # a late loop catches up, so that the average pace holds
            self._now = (self._now + 1) % len(self._slots)
            for stream in list(self._slots[self._now]):
                if not stream.step():
                    self.remove(stream)
            self._due += SLOT_S
        if self._streams:
            self._loop.call_at(self._due, self._tick)


class Wheels:
    """The wheels, one for each pace that was asked for."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._wheels: dict[int, Wheel] = {}

    def of(self, pause_ms: int) -> Wheel:
        """The wheel of a pace."""
        if pause_ms not in self._wheels:
            self._wheels[pause_ms] = Wheel(self._loop, pause_ms)
        return self._wheels[pause_ms]


def spin(stream: Stream, writer: Writer, call_soon: Callable[..., object]) -> None:
    """Unpaced: an event a turn of the loop, until the reader is slow; then the connection starts it again."""
    if stream.step() and not writer.is_paused:
        call_soon(spin, stream, writer, call_soon)
