"""Whether an answer is right: complete, every data event there, the text exact, nothing that was not asked for."""

import msgspec

from bench import script


class Wrong(Exception):
    """An answer that is not what the engine said; the message says in which way."""


class _Message(msgspec.Struct):
    content: str


class _Choice(msgspec.Struct):
    message: _Message


class _Usage(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int


class _Completion(msgspec.Struct):
    choices: list[_Choice]
    usage: _Usage


class _Delta(msgspec.Struct):
    content: str = ""


class _StreamChoice(msgspec.Struct):
    delta: _Delta


class _Event(msgspec.Struct):
    choices: list[_StreamChoice]


_completion = msgspec.json.Decoder(_Completion)
_event = msgspec.json.Decoder(_Event)
_right: dict[tuple[int, int], bytes] = {}
"""The last body of each script that was taken apart and found right: the same bytes again need no second look."""
DONE = b"data: [DONE]"
PREFIX = b"data: "


def check_whole(body: bytes, variant: int, tokens: int) -> None:
    """Raises Wrong unless the body is the whole answer of this variant with its usage."""
    try:
        found = _completion.decode(body)
    except msgspec.DecodeError as error:
        raise Wrong(f"not a completion: {error}") from error
    if found.choices[0].message.content != script.whole(variant):
        raise Wrong("another text than the engine's")
    if (found.usage.prompt_tokens, found.usage.completion_tokens) != (script.PROMPT_TOKENS, tokens):
        raise Wrong("another usage than the engine's")


def check_stream(body: bytes, variant: int, tokens: int) -> None:
    """Raises Wrong unless the events of the body are exactly those of the engine, with no usage in them.

    The client asked for no usage, so an event of it, or a member, would be one that the gateway failed to hide.
    """
    if _right.get((variant, tokens)) == body:
        return
    *lines, done, rest = body.split(b"\n\n")
    if done != DONE or rest:
        raise Wrong("no [DONE] at its end")
    if len(lines) != tokens + 1:
        raise Wrong(f"{len(lines)} data events instead of {tokens + 1}")
    if b'"usage"' in body:
        raise Wrong("a usage that the client did not ask for")
    if not all(line.startswith(PREFIX) for line in lines):
        raise Wrong("lines that are no data events")
    try:
        found = tuple(_event.decode(line[len(PREFIX) :]).choices[0].delta.content for line in lines)
    except (msgspec.DecodeError, IndexError) as error:
        raise Wrong(f"an event that is no chunk: {error}") from error
    if found != script.pieces(variant, tokens):
        raise Wrong("another text than the engine's")
    _right[variant, tokens] = body


def dechunk(raw: bytes) -> bytes | None:
    """The content of a chunked body that ends with `raw`; None while its last chunk is not there.

    Raises: Wrong when the framing is broken.
    """
    parts: list[bytes] = []
    at = 0
    while True:
        line_end = raw.find(b"\r\n", at)
        if line_end < 0:
            return None
        try:
            size = int(raw[at:line_end], 16)
        except ValueError as error:
            raise Wrong("a broken chunk size") from error
        end = line_end + 2 + size
        if len(raw) < end + 2:
            return None
        if raw[end : end + 2] != b"\r\n":
            raise Wrong("a chunk of another length than it says")
        if size == 0:
            if len(raw) != end + 2:
                raise Wrong("bytes after the last chunk")
            return b"".join(parts)
        parts.append(raw[line_end + 2 : end])
        at = end + 2
