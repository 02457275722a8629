"""One streamed answer on its way from the engine to the client: metered, and freed of what the client did not ask for.

Pure, and the hottest code of the product: each chunk of each stream passes here. Every decision comes from the parsed
event, never from a byte search, which content could fool. A chunk keeps its bytes, save the usage that is cut out.
"""

from typing import Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from gateway.relay.engine_json import MALFORMED, is_truthy, loads, members_of
from gateway.relay.sse import EventSplitter, EventTooLarge
from gateway.relay.usage import Usage, UsageTally, read_usage

DONE: Final = b"data: [DONE]\n\n"

_LF: Final = 10

_EMPTY = frozenset((b"null", b'""', b"{}", b"[]"))


class _Choice(Struct, gc=False):
    index: int = 0
    finish_reason: str | None = None


class _Event(Struct, gc=False):
    choices: list[_Choice] | UnsetType | None = UNSET
    usage: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


class _ContentChoice(Struct, gc=False):
    text: str | None = None
    delta: dict[str, Raw] | None = None


class _ContentEvent(Struct, gc=False):
    choices: list[_ContentChoice]


_decode_event = msgspec.json.Decoder(_Event).decode
_decode_content = msgspec.json.Decoder(_ContentEvent).decode
_encode = msgspec.json.Encoder().encode


class StreamMeter:
    """Takes the body of one streamed answer as it comes and gives what may go to the client now.

    `hide_usage`: the client did not ask for usage (which we always ask the engine for). `continuous`: it asked for the
    usage of each chunk itself. `sequences`: how many the request makes, n for each of its `prompts`.
    Content is never delayed. The final usage and [DONE] are held back for `ending`: the charge is made durable first.
    """

    __slots__ = (
        "_cut_frame",
        "_final_payload",
        "_hide_usage",
        "_last_had_usage",
        "_last_payload",
        "_leave_usage",
        "_sequences",
        "_splitter",
        "chunks",
        "error",
        "finish_reason",
        "finished",
        "first_content",
        "tally",
    )

    finished: bool
    """The engine sent [DONE]."""
    finish_reason: str
    """The last one that a choice reported, "" until then."""
    error: bytes | None
    """The data of the engine's own error event, which is for us and not for the client, or MALFORMED."""
    chunks: int
    """Events given to the client."""
    first_content: bool
    """Whether a token that a person could see was given to the client."""

    def __init__(self, *, hide_usage: bool, sequences: int, continuous: bool = False, prompts: int = 1) -> None:
        self.tally = UsageTally(sequences // prompts if prompts > 1 else 0)
        self.finished = False
        self.finish_reason = ""
        self.error = None
        self.chunks = 0
        self.first_content = False
        self._sequences = sequences
        self._hide_usage = hide_usage
        self._cut_frame = b"data: %b}\n\n" if hide_usage else b'data: %b,"usage":null}\n\n'
        self._leave_usage = continuous and not hide_usage
        self._splitter = EventSplitter()
        self._last_payload = b""
        self._last_had_usage = False
        self._final_payload: bytes | None = None

    def feed(self, data: bytes) -> bytes:
        """The events to send now for these bytes of the engine, perhaps none; none after [DONE] or an error."""
        if self.finished or self.error is not None:
            return b""
        try:
            events = self._splitter.feed(data)
        except EventTooLarge as too_large:
            sent = self._relay_all(too_large.events)
            if not self.finished and self.error is None:
                self.error = MALFORMED
            return sent
        if len(events) == 1:
            return self._relay(events[0])
        return self._relay_all(events)

    def ending(self, cost_nano_eur: int) -> bytes:
        """What to send once the charge is durable: usage and cost, if the client asked for usage, and [DONE]."""
        if self._hide_usage or not self.tally.seen:
            return DONE
        members = self._usage_event()
        usage = members_of(members["usage"]) or _wire_form(self.tally.total())
        usage["cost_nano_eur"] = Raw(b"%d" % cost_nano_eur)
        members["usage"] = Raw(_encode(usage))
        return b"data: " + _encode(members) + b"\n\n" + DONE

    @property
    def trouble(self) -> str:
        """What is wrong with a stream that is over; "" for a whole one."""
        if not (self.finished or self.tally.has_final):
            return "ended its stream early"
        return "" if self.chunks or self.tally.seen else "answered with an empty stream"

    def _relay_all(self, payloads: list[bytes]) -> bytes:
        sent = []
        for payload in payloads:
            sent.append(self._relay(payload))
            if self.finished or self.error is not None:
                break
        return b"".join(sent)

    def _relay(self, payload: bytes) -> bytes:
        """Account for one event; the bytes to send for it."""
        try:
            event = _decode_event(payload)
        except (msgspec.MsgspecError, RecursionError):
            odd = self._read_odd(payload)
            if odd is None:
                return b""
            event = odd
        if event.error is not UNSET and is_truthy(event.error):
            self.error = payload
            return b""
        choices, raw_usage = event.choices, event.usage
        if not choices:
            return self._relay_without_choices(payload, event)
        for choice in choices:
            if choice.finish_reason is not None:
                self.finish_reason = choice.finish_reason
        usage = None if raw_usage is UNSET else read_usage(raw_usage)
        if usage is None:
            self._last_had_usage = False
        else:
            self._last_had_usage = True
            index = choices[0].index
            # An engine that invents choices makes nothing grow.
            self.tally.see(usage, index if 0 <= index < self._sequences else 0)
        if not self.first_content:
            self.first_content = _has_content(payload)
        return self._send(payload, raw_usage)

    def _send(self, payload: bytes, usage: Raw | UnsetType) -> bytes:
        self.chunks += 1
        if _LF in payload:
            payload = _on_one_line(payload)
        self._last_payload = payload
        if self._leave_usage or (self._hide_usage and usage is UNSET):
            return b"data: %b\n\n" % payload
        if usage is UNSET:
            return b'data: %b,"usage":null}\n\n' % payload.rstrip()[:-1]
        tail = b',"usage":%b}' % usage
        kept = payload.removesuffix(tail)
        if len(kept) < len(payload):
            return self._cut_frame % kept
        return b"data: %b\n\n" % self._without_usage(payload)

    def _without_usage(self, payload: bytes) -> bytes:
        """The event made anew from its members, where the usage is not what it ends with."""
        members = members_of(payload) or {}
        members.pop("usage", None)
        if not self._hide_usage:
            members["usage"] = Raw(b"null")
        return _encode(members)

    def _relay_without_choices(self, payload: bytes, event: _Event) -> bytes:
        """The final usage, a chunk with no choice yet, or the error of an engine that words it in its own way."""
        usage = None if event.usage is UNSET else read_usage(event.usage)
        if usage is not None:
            self.tally.final(usage)
            self._final_payload = _on_one_line(payload)
            return b""
        if event.choices is UNSET:
            self.error = payload
            return b""
        return self._send(payload, event.usage)

    def _read_odd(self, payload: bytes) -> _Event | None:
        """What is no ordinary chunk: [DONE], nothing, a chunk with odd types, or no JSON object."""
        if payload.startswith(b"[DONE]"):
            self._finish()
            return None
        if not payload.strip():
            return None
        members = members_of(payload)
        choices: list[_Choice] | UnsetType | None = None
        if members is not None:
            choices = _read_odd_choices(members["choices"]) if "choices" in members else UNSET
        if members is None or choices is None:
            self.error = MALFORMED
            return None
        return _Event(choices, members.get("usage", UNSET), members.get("error", UNSET))

    def _finish(self) -> None:
        self.finished = True
        if self._last_had_usage and not self.tally.has_final:
            # No event of its own, but the last chunk had it: some engines put the whole usage there, and only there.
            self.tally.final(self.tally.total())

    def _usage_event(self) -> dict[str, Raw]:
        """The members of the usage event: the engine's, or one made of its last chunk where it sent none."""
        if self._final_payload is not None:
            return members_of(self._final_payload) or {"usage": Raw(b"null")}
        last = members_of(self._last_payload) or {}
        made = {name: last[name] for name in ("id", "object", "created", "model") if name in last}
        return made | {"choices": Raw(b"[]"), "usage": Raw(_encode(_wire_form(self.tally.total())))}


def _on_one_line(payload: bytes) -> bytes:
    """JSON that came in several data lines: now that it has parsed, its line ends are only white space."""
    return payload.replace(b"\n", b" ")


def _has_content(payload: bytes) -> bool:
    """Whether a chunk brings a token that a person could see: any delta but the role, or text."""
    try:
        choices = _decode_content(payload).choices
    except (msgspec.MsgspecError, RecursionError):
        return True
    for choice in choices:
        if choice.text:
            return True
        for name, value in (choice.delta or {}).items():
            if name != "role" and bytes(value) not in _EMPTY:
                return True
    return False


def _read_odd_choices(raw: Raw) -> list[_Choice] | None:
    choices = loads(raw)
    if not isinstance(choices, list):
        return None
    read = []
    for choice in choices:
        index, reason = (choice.get("index"), choice.get("finish_reason")) if isinstance(choice, dict) else (0, None)
        read.append(_Choice(index if isinstance(index, int) else 0, reason if isinstance(reason, str) else None))
    return read


def _wire_form(usage: Usage) -> dict[str, Raw]:
    counts = {
        "prompt_tokens": usage.prompt,
        "total_tokens": usage.prompt + usage.completion,
        "completion_tokens": usage.completion,
    }
    return {name: Raw(b"%d" % count) for name, count in counts.items()}
