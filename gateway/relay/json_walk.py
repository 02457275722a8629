"""Taking JSON apart without building it, and proof that nothing in it was lost.

A decoder that keeps the last of two members of one name hides the first, and the engine's parser may do otherwise. So
each object that we decide on is walked once over the members found: any duplicate, escaped name or remainder breaks
the walk. Values stay the bytes that they were.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

MAX_DEPTH = 128
"""Levels of nesting inside a value: no schema comes near it, and no parser breaks before it."""
MAX_ITEMS = 1_000_000
"""Commas outside strings in a body: what the largest context window needs as token ids. More would be memory, not a
prompt.
"""
MAX_MEMBERS = 256
"""Members of one object that we decide on."""

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_OBJECTS = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])

_OPENING = re.compile(rb"[ \t\n\r]*[\[,][ \t\n\r]*")
_MEMBER = re.compile(rb'[ \t\n\r]*[{,][ \t\n\r]*"[^"\\]*"[ \t\n\r]*:[ \t\n\r]*')
_END = re.compile(rb"[ \t\n\r]*\}[ \t\n\r]*")
_EMPTY = re.compile(rb"[ \t\n\r]*\{[ \t\n\r]*\}[ \t\n\r]*")
# An open string reaches to the end: to fail there would mean to try again at each of its quotes.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_NO_BRACKET = bytes(set(range(256)) - set(b"[]{}"))
_DUPLICATE = "a member is there twice, or its name is written with escapes"


class BadJson(ValueError):
    """What is wrong, as words that end a sentence."""


def check_text(body: bytes) -> None:
    """Raises BadJson where a body is not UTF-8, or holds more than a request can."""
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError:
            raise BadJson("it is not UTF-8") from None
    if body[:3] == b"\xef\xbb\xbf" or b"\x00" in body[:4]:
        raise BadJson("it starts with a byte order mark, or is UTF-16 or UTF-32")
    if len(body) > 2 * MAX_ITEMS and body.count(b",") > MAX_ITEMS and _STRING.sub(b"", body).count(b",") > MAX_ITEMS:
        raise BadJson(f"it has more than {MAX_ITEMS} items")


def members_of(raw: bytes) -> dict[str, bytes]:
    """The members of one JSON object, values untouched. Raises BadJson, also for a duplicate member."""
    members = _members(_decode(_OBJECT, raw, "it is not an object"))
    if _least_size(members) != len(raw) and _walk(raw, 0, members) != len(raw):
        raise BadJson(_DUPLICATE)
    return members


def objects_of(raw: bytes, most: int) -> list[dict[str, bytes]]:
    """The members of each object in a JSON array of at most that many. Raises BadJson, also for a duplicate member."""
    found = _decode(_OBJECTS, raw, "it is not an array of objects")
    if len(found) > most:
        raise BadJson(f"it has more than {most} items")
    objects = [_members(item) for item in found]
    if sum(map(_least_size, objects)) + len(objects) + 1 != len(raw):
        _walk_list(raw, objects)
    return objects


def items_of(raw: bytes, most: int) -> list[bytes]:
    """The items of a JSON array of at most that many, untouched. Raises BadJson."""
    found = _decode(_ITEMS, raw, "it is not an array")
    if len(found) > most:
        raise BadJson(f"it has more than {most} items")
    return [bytes(item) for item in found]


def is_too_deep(raw: bytes, most: int = MAX_DEPTH) -> bool:
    """Whether brackets nest deeper than that in a valid JSON value."""
    if raw.count(b"[") + raw.count(b"{") <= most:
        return False
    depth = 0
    for bracket in _STRING.sub(b"", raw).translate(None, _NO_BRACKET):
        depth += 1 if bracket in b"[{" else -1
        if depth > most:
            return True
    return False


def _decode(decoder: msgspec.json.Decoder[Any], raw: bytes, wrong_type: str) -> Any:
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError:
        raise BadJson(wrong_type) from None
    except msgspec.DecodeError as error:
        raise BadJson(str(error).removeprefix("JSON is malformed: ")) from None
    except UnicodeDecodeError:
        raise BadJson("it is not UTF-8") from None
    except RecursionError:
        raise BadJson("it is nested too deeply") from None


def _members(found: Mapping[str, msgspec.Raw]) -> dict[str, bytes]:
    if len(found) > MAX_MEMBERS:
        raise BadJson(f"an object has more than {MAX_MEMBERS} members")
    return {name: bytes(value) for name, value in found.items()}


def _least_size(members: Mapping[str, bytes]) -> int:
    """The bytes of an object with these members and no blank: a larger one has blanks, escapes or duplicates."""
    return sum(map(len, members)) + sum(map(len, members.values())) + 4 * len(members) + (1 if members else 2)


def _walk_list(raw: bytes, objects: list[dict[str, bytes]]) -> None:
    at = 0
    for members in objects:
        opening = _OPENING.match(raw, at)
        if opening is None:
            raise BadJson(_DUPLICATE)
        at = _walk(raw, opening.end(), members)


def _walk(raw: bytes, at: int, members: Mapping[str, bytes]) -> int:
    """Where the object that begins at `at` ends, provided that its values are these, in this order; else BadJson.

    The JSON is known to be valid. A hidden member is one more than were found, so that its end is not where theirs is.
    A value that is only the beginning of the one that stands there (1 of 12) is followed by what follows no value.
    """
    if not members:
        empty = _EMPTY.match(raw, at)
        if empty is None:
            raise BadJson(_DUPLICATE)
        return empty.end()
    for value in members.values():
        match = _MEMBER.match(raw, at)
        if match is None or not raw.startswith(value, match.end()):
            raise BadJson(_DUPLICATE)
        at = match.end() + len(value)
    end = _END.match(raw, at)
    if end is None:
        raise BadJson(_DUPLICATE)
    return end.end()
