"""A non-streamed answer: its usage and how it ended. Nothing is cut from such an answer.

Pure. Bodies may have many megabytes (embeddings): what is not needed is skipped by the parser, not built.
"""

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from gateway.relay.engine_json import MALFORMED, is_truthy, loads, members_of
from gateway.relay.usage import Usage, read_usage


class Answer(Struct, frozen=True):
    """`usage` None: the engine omitted it. `finish_reason`: the last choice's, "" where none is (embeddings, rerank).

    `error`: an error that the engine sent with a success status, which is for us and not for the client, or MALFORMED.
    """

    usage: Usage | None
    finish_reason: str = ""
    error: bytes | None = None


class _Choice(Struct, gc=False):
    finish_reason: str | None = None


class _Body(Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET
    object: Raw | UnsetType = UNSET


_decode_body = msgspec.json.Decoder(_Body).decode


def read_answer(body: bytes) -> Answer:
    """Usage, finish reason and error of the answer of chat, completions, embeddings or rerank. Raises nothing."""
    try:
        read = _decode_body(body)
    except (msgspec.MsgspecError, RecursionError):
        members = members_of(body)
        if members is None:
            # Some engines answer a rerank with the bare list of its results.
            return Answer(None, error=None if isinstance(loads(body), list) else MALFORMED)
        read = _Body([], *(members.get(name, UNSET) for name in ("usage", "error", "object")))
    if _is_error(read):
        return Answer(None, error=body)
    finish_reason = ""
    for choice in read.choices or ():
        finish_reason = choice.finish_reason or finish_reason
    return Answer(None if read.usage is UNSET else read_usage(read.usage), finish_reason)


def _is_error(read: _Body) -> bool:
    if read.error is not UNSET and is_truthy(read.error):
        return True
    return read.object is not UNSET and bytes(read.object) == b'"error"'
