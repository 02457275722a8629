"""What a request asks a model to read: one `Prompt` for each sequence of input tokens, checked part by part.

A part of a message counts as text only if its type says so and nothing in it could be taken for media: engines look
at the members of a part, not only at its type. What would be fetched, loaded or shared by the engine is refused here;
whether a remote URL may pass is asked later (input_bound.check_media), by who knows the allowed hosts.
"""

import re
from collections.abc import Mapping
from typing import Annotated, NamedTuple, NoReturn

import msgspec

from gateway.relay.errors import invalid_field
from gateway.relay.json_walk import MAX_DEPTH, BadJson, is_too_deep, items_of, members_of, objects_of
from gateway.relay.text_bound import token_bound

MAX_MESSAGES = 10_000
"""Messages of one conversation, and parts of one message: they are walked one by one."""
MAX_PROMPTS = 1024
"""Prompts of one completion request, as vLLM has it."""
MAX_INPUTS = 2048
"""Inputs of one embedding request, as OpenAI has it."""
MAX_DOCUMENTS = 10_000
"""Documents of one rerank request, as Cohere has it."""
SPECIAL_TOKENS = 8
"""Tokens that a tokenizer adds to a text outside any template: begin, end, class, separator, a prefix."""

_TEXT_TYPES = frozenset({"text", "input_text", "output_text", "refusal", "thinking"})
# Type of a part: its kind in the catalog, and the member that holds it.
_MEDIA_TYPES = {
    "image_url": ("image", "image_url"),
    "input_image": ("image", "image_url"),
    "image": ("image", "image"),
    "input_audio": ("audio", "input_audio"),
    "audio_url": ("audio", "audio_url"),
    "audio": ("audio", "audio"),
    "video_url": ("video", "video_url"),
    "video": ("video", "video"),
}
_MEDIA_MEMBERS = frozenset(member for _, member in _MEDIA_TYPES.values())
_UNSAFE = "is refused: its tokens cannot be counted, and engines load it unsafely"
_REFUSED_MEMBERS = {
    "uuid": "is refused: engines share media by it, between organisations too",
    "image_embeds": _UNSAFE,
    "audio_embeds": _UNSAFE,
    "video_embeds": _UNSAFE,
    "prompt_embeds": _UNSAFE,
    "image_pil": _UNSAFE,
}
# What other servers fetch or open beside the members above.
_ALSO_MEDIA = _MEDIA_MEMBERS | {"url", "path", "base64", "file", "file_url", "source"}

_FIRST_ITEM = re.compile(rb"\[[ \t\n\r]*(.)", re.DOTALL)
_TokenId = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
_TOKENS = msgspec.json.Decoder(list[_TokenId])
_TOKEN_LISTS = msgspec.json.Decoder(list[list[_TokenId]])
_STRING = msgspec.json.Decoder(str)


class Media(NamedTuple):
    """A part that is not text: its kind in the catalog, where it stands, and its URL unless it brings its own data."""

    kind: str
    param: str
    url: str | None


class Prompt(NamedTuple):
    """One sequence of input: JSON text, tokens beside it, messages for the template (0: none is applied), media.

    `is_unbounded`: it holds what a template writes out as it likes, so that only the window bounds it.
    """

    text: bytes = b""
    tokens: int = 0
    messages: int = 0
    media: tuple[Media, ...] = ()
    is_unbounded: bool = False


# How JSON libraries write a message of a role and a text: before the role, between the two, behind, before the next.
_COMPACT = (b'{"role":"', b'"content":"', b"}", b",")
_SPACED = (b'{"role": "', b' "content": "', b"}", b", ")
_MOST_QUOTES = 32  # in a text whose end is searched; past it a decoder is faster


def conversation(raw: bytes) -> Prompt:
    """The prompt of `messages`. Raises Refusal."""
    texts = _texts(raw)
    if texts:
        return Prompt(raw, 0, texts)
    messages = _objects(raw, "messages")
    if not messages:
        raise invalid_field("messages", "must hold at least one message.")
    gathered = _Gathered()
    for position, message in enumerate(messages):
        if message.get("role", b"")[:1] != b'"':
            raise invalid_field(f"messages[{position}].role", "must be a string.")
        gathered.add_members(message, f"messages[{position}]")
    # Without media the raw JSON says as much, and costs nothing to put together.
    text = gathered.text() if gathered.media else raw
    return Prompt(text, 0, len(messages), tuple(gathered.media), gathered.is_unbounded)


def _texts(raw: bytes) -> int:
    """How many messages there are, where each is but a role and a text, written as libraries do; else 0.

    `raw` is valid JSON. It is walked from its first byte to its last, so that nothing hides in it.
    """
    start, middle, end, comma = _SPACED if raw.startswith(_SPACED[0], 1) else _COMPACT
    at, found = 1, 0
    while raw.startswith(start, at):
        at = _end_of_text(raw, at + len(start))
        if raw[at : at + 1] != b"," or not raw.startswith(middle, at + 1):
            return 0
        at = _end_of_text(raw, at + 1 + len(middle))
        if not raw.startswith(end, at):
            return 0
        found += 1
        at += 1
        if not raw.startswith(comma, at):
            return found if raw[at:] == b"]" and found <= MAX_MESSAGES else 0
        at += len(comma)
    return 0


def _end_of_text(raw: bytes, at: int) -> int:
    """Where what follows a JSON string begins, whose text begins at `at`; the end of `raw` where it has many quotes."""
    for _ in range(_MOST_QUOTES):
        at = raw.find(b'"', at) + 1
        if raw[at - 2] != _BACKSLASH or not _is_escaped(raw, at - 1):
            return at
    return len(raw)


def _is_escaped(raw: bytes, at: int) -> bool:
    """Whether an odd number of backslashes stands before `at`."""
    before = at
    while raw[before - 1] == _BACKSLASH:
        before -= 1
    return (at - before) % 2 == 1


def text_prompts(raw: bytes, param: str, most: int) -> list[Prompt]:
    """The prompts of `prompt` or `input`: a string, a list of strings, token ids, or a list of lists of them. Raises
    Refusal.
    """
    if raw[0] == _QUOTE:
        return [Prompt(raw, SPECIAL_TOKENS)]
    first = _FIRST_ITEM.match(raw)
    try:
        if first is None:
            _not_text(param)
        if first[1] == b'"':
            items = items_of(raw, most)
            if any(item[0] != _QUOTE for item in items):
                _not_text(param)
            return [Prompt(item, SPECIAL_TOKENS) for item in items]
        token_lists = _TOKEN_LISTS.decode(raw) if first[1] == b"[" else [_TOKENS.decode(raw)]
    except BadJson as error:
        raise invalid_field(param, f"cannot be read: {error}.") from None
    except msgspec.DecodeError:
        _not_text(param)
    if len(token_lists) > most:
        raise invalid_field(param, f"has more than {most} items.")
    if not all(token_lists):
        raise invalid_field(param, "must not be empty.")
    return [Prompt(tokens=len(tokens)) for tokens in token_lists]


def pairs(query: bytes, documents: bytes) -> list[Prompt]:
    """The prompts of a rerank request: query and document, once a document. Raises Refusal."""
    asked = _document(query, "query")
    items = [documents]
    if documents[:1] == b"[":
        try:
            items = items_of(documents, MAX_DOCUMENTS)
        except BadJson as error:
            raise invalid_field("documents", f"cannot be read: {error}.") from None
    if not items:
        raise invalid_field("documents", "must not be empty.")
    found = [_document(item, f"documents[{position}]") for position, item in enumerate(items)]
    # The query is weighed once: it may be long, and the documents many.
    tokens = token_bound(asked.text)
    return [
        Prompt(each.text, tokens, 2, asked.media + each.media, asked.is_unbounded or each.is_unbounded)
        for each in found
    ]


_QUOTE, _BACKSLASH = ord('"'), ord("\\")


class _Gathered:
    """What the members of messages (or of a document) hold, one after the other."""

    def __init__(self) -> None:
        self.texts: list[bytes] = []
        self.media: list[Media] = []
        self.is_unbounded = False

    def text(self) -> bytes:
        """All that is text, with more bytes between its pieces than a template puts there."""
        return b'"",""'.join(self.texts)

    def add_members(self, members: Mapping[str, bytes], param: str) -> None:
        """A message's members: content part by part, the others as text."""
        for name, value in members.items():
            if name != "content":
                self.add_value(value, f"{param}.{name}")
            elif value[0] == _QUOTE:
                self.texts.append(value)
            elif value[:1] == b"[":
                for position, part in enumerate(_objects(value, f"{param}.content")):
                    self.add_part(part, f"{param}.content[{position}]")
            elif value != b"null":
                raise invalid_field(f"{param}.content", "must be a string, null or a list of parts.")

    def add_value(self, value: bytes, param: str) -> None:
        """Tool calls and the like; templates write out what is not a string as they like."""
        self.texts.append(value)
        if value[0] in b"[{" and value not in (b"[]", b"{}"):
            check_depth(value, param)
            self.is_unbounded = True

    def add_part(self, part: Mapping[str, bytes], param: str) -> None:
        """A part of content: text or media, never something between."""
        for name in _REFUSED_MEMBERS.keys() & part.keys():
            raise invalid_field(f"{param}.{name}", f"{_REFUSED_MEMBERS[name]}.")
        type_ = _string(part.get("type", b""), f"{param}.type")
        if type_ not in _TEXT_TYPES and type_ not in _MEDIA_TYPES:
            known = ", ".join(sorted(_TEXT_TYPES | _MEDIA_TYPES.keys()))
            raise invalid_field(f"{param}.type", f"is none of {known}.")
        kind, member = _MEDIA_TYPES.get(type_, ("", ""))
        for name, value in part.items():
            if name == member:
                self.media.append(Media(kind, f"{param}.{name}", _url(value, f"{param}.{name}", kind)))
            elif name in _ALSO_MEDIA:
                raise invalid_field(f"{param}.{name}", f"does not belong into a part of the type {type_}.")
            else:
                self.add_value(value, f"{param}.{name}")
        if member and member not in part:
            raise invalid_field(f"{param}.{member}", "is missing.")


def check_depth(value: bytes, param: str) -> None:
    """Raises Refusal where a value is nested too deeply for any parser behind us."""
    if value[0] in b"[{" and is_too_deep(value):
        raise invalid_field(param, f"is nested deeper than {MAX_DEPTH} levels.")


def _document(raw: bytes, param: str) -> Prompt:
    if raw[0] == _QUOTE:
        return Prompt(raw)
    if raw[:1] != b"{":
        raise invalid_field(param, "must be a string, or an object with its text or content.")
    members = _members(raw, param)
    gathered = _Gathered()
    for name in (_MEDIA_MEMBERS | _REFUSED_MEMBERS.keys()) & members.keys():
        raise invalid_field(f"{param}.{name}", "belongs into a part of 'content'.")
    gathered.add_members(members, param)
    return Prompt(gathered.text(), 0, 0, tuple(gathered.media), gathered.is_unbounded)


def _url(value: bytes, param: str, kind: str) -> str | None:
    """The URL that a media part names, None for data.

    The value is the URL, or an object that holds it (or bare data: audio).
    """
    if value[:1] == b"{":
        members = _members(value, param)
        for name, inner in members.items():
            check_depth(inner, f"{param}.{name}")
        if "data" in members and "url" in members:
            raise invalid_field(param, "must hold 'url' or 'data', not both.")
        if kind == "audio" and "data" in members:
            _check_base64(members["data"], f"{param}.data")
            return None
        value, param = members.get("url", b""), f"{param}.url"
    if value.startswith(b'"data:'):
        return None
    return _string(value, param)


def _check_base64(value: bytes, param: str) -> None:
    """Base64 has no colon, so that no engine takes it for a URL."""
    if value[:1] != b'"' or ((b":" in value or b"\\u" in value) and not value.startswith(b'"data:')):
        raise invalid_field(param, "must be a string of base64.")


def _string(value: bytes, param: str) -> str:
    if value[:1] != b'"':
        raise invalid_field(param, "must be a string.")
    return _STRING.decode(value)


def _objects(raw: bytes, param: str) -> list[dict[str, bytes]]:
    try:
        return objects_of(raw, MAX_MESSAGES)
    except BadJson as error:
        raise invalid_field(param, f"must be a list of objects: {error}.") from None


def _members(raw: bytes, param: str) -> dict[str, bytes]:
    try:
        return members_of(raw)
    except BadJson as error:
        raise invalid_field(param, f"cannot be read: {error}.") from None


def _not_text(param: str) -> NoReturn:
    raise invalid_field(param, "must be a string, a list of strings, token ids, or a list of lists of token ids.")
