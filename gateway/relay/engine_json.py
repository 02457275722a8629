"""JSON that an engine wrote: taken as tolerantly as clients take it, and never trusted."""

import json
from typing import Any, Final

import msgspec
from msgspec import Raw

MALFORMED: Final = b"malformed"
"""The error of a stream or an answer where the engine sent no JSON, no object, or an event that is too large."""

_FALSY = frozenset((b"null", b"false", b"0", b'""', b"{}", b"[]"))

_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode


def is_truthy(raw: Raw) -> bool:
    """Whether a value says anything: the official client takes a member `error` for one only where it does."""
    return bytes(raw) not in _FALSY


def members_of(payload: bytes | Raw) -> dict[str, Raw] | None:
    """The members of a JSON object, each as its bytes; None where it is none.

    What Python's parser takes and msgspec does not (NaN, lone surrogates) is taken too: the official client takes it.
    """
    try:
        return _decode_members(payload)
    except (msgspec.MsgspecError, RecursionError):
        members = loads(payload)
    if not isinstance(members, dict):
        return None
    return {
        name.encode(errors="replace").decode(): Raw(json.dumps(value, separators=(",", ":")).encode())
        for name, value in members.items()
    }


def loads(payload: bytes | Raw) -> Any:
    """The value as Python's own parser reads it; None where even that cannot."""
    try:
        return json.loads(bytes(payload))
    except (ValueError, RecursionError):
        return None
