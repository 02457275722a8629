"""Clients that write down what they saw: no text, only how much of it, how it ended and what they were told."""

import asyncio
import json
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

CHAT, COMPLETIONS, EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
PATIENCE_S = 40
_BROKEN = (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError)


class Saw(StrEnum):
    """How an answer looked to its client."""

    NOTHING = "nothing"
    REFUSED = "refused"
    PART = "part"
    ERROR = "in-band error"
    WHOLE = "whole"


@dataclass(frozen=True)
class Wish:
    """What a client asks for. `leaves_after`: events of a stream, or seconds of a whole answer, then it leaves."""

    endpoint: str
    members: dict[str, Any]
    stream: bool = False
    leaves_after: float | None = None
    fault: str = ""

    @property
    def wants_usage(self) -> bool:
        """Whether usage and cost are to be told in the stream."""
        return bool(self.members.get("stream_options", {}).get("include_usage"))


@dataclass
class Transcript:
    """What one client saw. `tokens`: events with a token, by choice; times are Unix seconds."""

    label: str
    door: str
    wish: Wish
    begun_at: float = field(default_factory=time.time)
    first_byte_at: float | None = None
    ended_at: float | None = None
    request_id: str | None = None
    status: int | None = None
    tokens: dict[int, int] = field(default_factory=dict)
    has_done: bool = False
    is_whole: bool = False
    left: bool = False
    error: str = ""
    trouble: str = ""
    usage: dict[str, Any] | None = None
    cost: int | None = None

    @property
    def saw(self) -> Saw:
        """In one word."""
        if self.status is None:
            return Saw.NOTHING
        if self.status != 200:
            return Saw.REFUSED
        if self.error:
            return Saw.ERROR
        return Saw.WHOLE if self.is_whole else Saw.PART

    @property
    def all_tokens(self) -> int:
        """Of all choices."""
        return sum(self.tokens.values())

    def told(self) -> dict[str, object]:
        """For a person who looks for what went wrong."""
        wish = {"endpoint": self.wish.endpoint, "stream": self.wish.stream, "fault": self.wish.fault}
        seen = {name: value for name, value in vars(self).items() if name != "wish"}
        return {**wish, **seen, "saw": self.saw.value}


@dataclass(frozen=True)
class Door:
    """Where clients knock."""

    name: str
    port: int


async def ask(door: Door, key: str, model: str, told: Transcript) -> None:
    """One request, from its first byte to its end, whatever that is."""
    wish, writer = told.wish, None
    try:
        async with asyncio.timeout(PATIENCE_S if not wish.members.get("patient") else None):
            reader, writer = await asyncio.open_connection("127.0.0.1", door.port, limit=2**22)
            writer.write(_request(key, told.label, model, wish))
            if wish.leaves_after is not None and not wish.stream:
                await _read_or_leave(reader, told, wish.leaves_after)
            else:
                await _read(reader, told)
    except TimeoutError:
        told.trouble = "the client's patience ended"
    except _BROKEN as error:
        told.trouble = type(error).__name__
    finally:
        told.ended_at = time.time()
        if writer is not None:
            writer.close()


def _request(key: str, label: str, model: str, wish: Wish) -> bytes:
    members = {name: value for name, value in wish.members.items() if name != "patient"}
    body = json.dumps({"model": model, **({"stream": True} if wish.stream else {}), **members}).encode()
    head = (
        f"POST {wish.endpoint} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {key}\r\nx-beffroi-label: {label}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _read_or_leave(reader: asyncio.StreamReader, told: Transcript, after_s: float) -> None:
    try:
        async with asyncio.timeout(after_s):
            await _read(reader, told)
    except TimeoutError:
        told.left = True


async def _read(reader: asyncio.StreamReader, told: Transcript) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    told.first_byte_at = time.time()
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    headers = dict(line.lower().split(": ", 1) for line in lines)
    told.status, told.request_id = int(first.split(" ")[1]), headers.get("x-request-id")
    if headers.get("transfer-encoding") == "chunked":
        await _read_stream(reader, told)
        return
    body = await reader.readexactly(int(headers["content-length"]))
    told.is_whole = True
    answer = json.loads(body)
    if told.status == 200:
        told.cost, told.usage = int(headers["x-beffroi-cost-nano-eur"]), answer.get("usage")
    else:
        told.error = str(answer["error"]["code"])


async def _read_stream(reader: asyncio.StreamReader, told: Transcript) -> None:
    events = 0
    while size := int(await reader.readline(), 16):
        chunk = await reader.readexactly(size + 2)
        for line in chunk.splitlines():
            if line.startswith(b"data: "):
                _take_event(line[6:], told)
                events += 1
        if told.wish.leaves_after is not None and events >= told.wish.leaves_after:
            told.left = True
            return
    told.is_whole = told.has_done


def _take_event(data: bytes, told: Transcript) -> None:
    if data == b"[DONE]":
        told.has_done = True
        return
    event = json.loads(data)
    if event.get("error"):
        told.error = str(event["error"]["code"])
    if event.get("usage"):
        told.usage, told.cost = event["usage"], event["usage"].get("cost_nano_eur")
    for choice in event.get("choices", ()):
        if "role" not in choice.get("delta", {}):
            told.tokens[choice["index"]] = told.tokens.get(choice["index"], 0) + 1


def _pace(output: int, rate: float, **more: object) -> dict[str, object]:
    return {"max_tokens": output, "simulate": {"output_tokens": output, "tokens_per_second": rate, **more}}


def _chat(**members: object) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": "Hello"}], **members}


def bait(dice: random.Random, *, stream: bool | None = None) -> Wish:
    """A request that passes every point within a second or two; `stream` None: streamed or not."""
    if stream or (stream is None and dice.random() < 0.6):
        usage = {"stream_options": {"include_usage": True}} if dice.random() < 0.5 else {}
        return Wish(CHAT, _chat(**_pace(dice.randint(8, 30), 30), **usage), stream=True)
    return Wish(CHAT, _chat(**_pace(dice.randint(2, 20), 30)))


def lingering(seconds: float = 5) -> Wish:
    """A stream of so many seconds."""
    return Wish(CHAT, _chat(**_pace(round(20 * seconds), 20)), stream=True)


def long_stream(seconds: float, rate: float = 10) -> Wish:
    """A stream of that length, which asks for its usage."""
    usage = {"stream_options": {"include_usage": True}}
    return Wish(CHAT, _chat(**_pace(round(seconds * rate), rate), **usage, patient=True), stream=True)


def any_wish(dice: random.Random) -> Wish:
    """What clients ask for: short and long, streamed and not, several choices, several prompts, and some who leave."""
    usage = {"stream_options": {"include_usage": True}} if dice.random() < 0.5 else {}
    stream = dice.random() < 0.6
    leaves: float | None = None
    if dice.random() < 0.2:
        leaves = dice.randint(1, 15) if stream else dice.uniform(0.02, 0.4)
    extra = usage if stream else {}
    match dice.choices(["chat", "long", "choices", "prompts", "embeddings", "fault"], [5, 3, 2, 2, 2, 2])[0]:
        case "chat":
            pace = _pace(dice.randint(1, 40), 40, cached_tokens=dice.choice((0, 3)))
            return Wish(CHAT, _chat(**pace, **extra), stream, leaves)
        case "long":
            return Wish(CHAT, _chat(**_pace(dice.randint(40, 120), 20), **usage), stream=True)
        case "choices":
            return Wish(CHAT, _chat(**_pace(dice.randint(3, 25), 30), n=3, **extra), stream, leaves)
        case "prompts":
            prompts = {"prompt": ["One", "Two", "Three"][: dice.randint(2, 3)], "n": dice.randint(1, 2)}
            return Wish(COMPLETIONS, {**prompts, **_pace(dice.randint(3, 25), 30), **extra}, stream, leaves)
        case "embeddings":
            return Wish(EMBEDDINGS, {"input": ["One", "Two words"][: dice.randint(1, 2)]})
        case _:
            return _faulty(dice, stream, extra)


def _faulty(dice: random.Random, stream: bool, extra: Mapping[str, object]) -> Wish:
    """An engine that fails as it is asked to."""
    fault, value = dice.choice(
        [
            ("zero_usage", True), ("no_usage", True), ("nonsense_usage", "huge"), ("close_after", 5), ("status", 500),
            ("status", 400),
        ]
    )  # fmt: skip
    pace = _pace(dice.randint(6, 20), 40, **{fault: value})
    return Wish(CHAT, _chat(**pace, **extra), stream, fault=fault)
