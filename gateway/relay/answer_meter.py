"""A non-streamed answer: its usage and how it ended. Nothing is cut from such an answer.

Pure. Bodies may have many megabytes (embeddings): what is not needed is skipped by the parser, not built.
"""

from typing import Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from gateway.relay.usage import Usage, read_usage

MALFORMED: Final = b"malformed answer"
"""`Answer.error` where the engine's body is no JSON."""

_FALSY = frozenset((b"null", b"false", b"0", b'""', b"{}", b"[]"))


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


class _LooseBody(Struct, gc=False):
    usage: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET
    object: Raw | UnsetType = UNSET


_decode_body = msgspec.json.Decoder(_Body).decode
_decode_loosely = msgspec.json.Decoder(_LooseBody | list[Raw]).decode


def read_answer(body: bytes) -> Answer:
    """Usage, finish reason and error of the answer of chat, completions, embeddings or rerank. Raises nothing."""
    finish_reason = ""
    read: _Body | _LooseBody
    try:
        read = _decode_body(body)
        for choice in read.choices or ():
            finish_reason = choice.finish_reason or finish_reason
    except (msgspec.MsgspecError, RecursionError):
        try:
            loose = _decode_loosely(body)
        except (msgspec.MsgspecError, RecursionError):
            return Answer(None, error=MALFORMED)
        if isinstance(loose, list):  # some engines answer a rerank with the bare list of results
            return Answer(None)
        read = loose
    if _is_error(read):
        return Answer(None, error=body)
    return Answer(None if read.usage is UNSET else read_usage(read.usage), finish_reason)


def _is_error(read: _Body | _LooseBody) -> bool:
    if read.error is not UNSET and bytes(read.error) not in _FALSY:
        return True
    return read.object is not UNSET and bytes(read.object) == b'"error"'
