"""The tokenizer of the simulated engine: one regular expression, no vocabulary, no state.

Rules, in this order, each match being one token:

1. up to 6 ASCII letters with the space before them, not followed by an accented letter;
2. up to 3 letters of which some are accented (Latin), with the space before them;
3. up to 3 digits;
4. up to 2 ASCII punctuation marks with the space before them;
5. up to 4 white-space characters;
6. any other single character.

So a text has at most as many tokens as UTF-8 bytes, no token is longer than 7 bytes, and an id can carry its piece: it
is the big-endian number of the piece's UTF-8 bytes after a leading 0x01.  `detokenize` needs no table and every replica
agrees.

A chat prompt costs `MESSAGE_OVERHEAD` tokens a message and `REPLY_OVERHEAD` once, as a chat template would; `/tokenize`
and `usage.prompt_tokens` count with the same functions.
"""

import re
from typing import Any

import msgspec

MESSAGE_OVERHEAD = 4
REPLY_OVERHEAD = 3
MEDIA_PART_TOKENS = 256
"""What one image, audio or video part of a message counts."""
LONGEST_PIECE = 7
"""Bytes."""

PIECE = re.compile(
    r" ?[A-Za-z]{1,6}(?![\u00c0-\u024f])| ?[A-Za-z\u00c0-\u024f]{1,3}|[0-9]{1,3}| ?[!-/:-@\[-`{-~]{1,2}|\s{1,4}|.",
    re.DOTALL,
)
FOREIGN_IDS = 200_000
"""Ids below this are taken too, as tokens without a text of ours: clients cut their texts with usual vocabularies."""
REMEMBERED_FROM = 2_000
REMEMBERED_COUNTS = 1_024

_counts: dict[tuple[int, int], int] = {}


def pieces(text: str) -> list[str]:
    """The text cut into tokens; joined they give the text back."""
    return PIECE.findall(text)


def count(text: str) -> int:
    """How many tokens the text has.

    Counts of long texts are remembered by hash (never the text), because load tests repeat their prompts.
    """
    if len(text) < REMEMBERED_FROM:
        return len(PIECE.findall(text))
    key = (hash(text), len(text))
    found = _counts.get(key)
    if found is None:
        if len(_counts) >= REMEMBERED_COUNTS:
            _counts.clear()
        found = _counts[key] = len(PIECE.findall(text))
    return found


def token_id(piece: str) -> int:
    """The id of one piece."""
    return int.from_bytes(b"\x01" + piece.encode("utf-8", "replace"), "big")


def token_text(number: int) -> str:
    """The piece that an id stands for; U+FFFD for a number that is no id of this tokenizer, nothing for the end of
    text."""
    if number <= 0:
        return ""
    data = number.to_bytes((number.bit_length() + 7) // 8, "big")
    if data[0] != 1 or not 2 <= len(data) <= 1 + LONGEST_PIECE:
        return "\ufffd"
    return data[1:].decode("utf-8", "replace")


def is_token(number: int) -> bool:
    """Whether a number is in the vocabulary: one of our ids, or one that a usual vocabulary could have."""
    size = (number.bit_length() + 7) // 8
    return 0 <= number < FOREIGN_IDS or (2 <= size <= 1 + LONGEST_PIECE and number >> 8 * (size - 1) == 1)


def detokenize(ids: list[int]) -> str:
    """The text of a list of ids."""
    return "".join(map(token_text, ids))


def render_content(content: object) -> tuple[str, int]:
    """The text of a message's `content` (string, null, or a list of parts), and how many parts are media."""
    if isinstance(content, str):
        return content, 0
    if not isinstance(content, list):
        return "", 0
    texts, media = [], 0
    for part in content:
        text = part if isinstance(part, str) else part.get("text") if isinstance(part, dict) else None
        if isinstance(text, str):
            texts.append(text)
        else:
            media += 1
    return "\n".join(texts), media


def render_message(message: dict[str, Any]) -> tuple[str, int]:
    """All text of one message that the prompt holds (content, name, tool calls, reasoning), and its media parts."""
    text, media = render_content(message.get("content"))
    for member in ("name", "reasoning", "tool_call_id"):
        if isinstance(message.get(member), str):
            text += message[member]
    if message.get("tool_calls"):
        text += msgspec.json.encode(message["tool_calls"]).decode()
    return text, media


def render_extras(body: dict[str, Any]) -> str:
    """What else enters a chat prompt: the tools and documents, as JSON."""
    return "".join(msgspec.json.encode(body[name]).decode() for name in ("tools", "documents") if body.get(name))


def count_chat(body: dict[str, Any]) -> int:
    """Prompt tokens of a chat request: `messages`, `tools`, `documents` and the template's overhead."""
    total = REPLY_OVERHEAD
    for message in body["messages"]:
        text, media = render_message(message)
        total += MESSAGE_OVERHEAD + media * MEDIA_PART_TOKENS + count(text)
    return total + count(render_extras(body)) if body.get("tools") or body.get("documents") else total


def chat_pieces(body: dict[str, Any]) -> list[str]:
    """The same prompt as pieces, as many as `count_chat` says; overhead and media are shown as special tokens."""
    found: list[str] = []
    for message in body["messages"]:
        text, media = render_message(message)
        found += ["<s>", "<r>", *pieces(text), *["<media>"] * (media * MEDIA_PART_TOKENS), "</r>", "</s>"]
    found += pieces(render_extras(body))
    return [*found, "<s>", "<r>", "</r>"]
