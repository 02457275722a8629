"""An upper bound of the tokens in JSON text, from its bytes alone (I3).

No tokenizer in use makes more tokens of a text than it has UTF-8 bytes after normalization: byte-level BPE makes at
most one a byte, SentencePiece and WordPiece at most one a character (one a byte where they fall back to bytes), and a
JSON escape is never shorter than what it stands for. But some tokenizers normalize first (Qwen NFC, XLM-RoBERTa and
T5 NFKC, BERT lower case), and a few characters grow by it: U+FDFA from 3 bytes to 33. Those are counted on top.
Normalization composes what it can; a combining mark may keep its base from being composed, so each is counted with
the most that this costs.
"""

import re
import unicodedata
from collections import Counter

MARK_EXTRA = 6
"""Bytes by which the canonical decomposition of a character exceeds it at most (U+0DDD), Hangul aside: its syllables
are always composed again."""

_ESCAPE_BYTES = 6
_ASTRAL = 0x10000
# No character outside these grows: neither Han nor Hangul, nor what is private, nor the planes above.
_RANGES = ((0x80, 0x3400), (0xA640, 0xAC00), (0xF900, 0x20000), (0x2F800, 0x2FA20))


def token_bound(raw: bytes) -> int:
    """At least the tokens of a valid JSON text, special tokens aside."""
    extra = 0
    if not raw.isascii():
        text = raw.decode()
        extra += sum(map(_EXTRA.__getitem__, _GROWING.findall(text)))
        if b"\xf0" in raw:
            extra += sum(map(_EXTRA.__getitem__, _GROWING_ASTRAL.findall(text)))
    if b"\\" in raw and b"\\u" in raw:
        escapes = Counter(_ESCAPES.findall(raw))
        extra += sum(_ESCAPED_EXTRA.get(int(code, 16), 0) * count for code, count in escapes.items())
    return len(raw) + extra


def _longest(character: str) -> int:
    forms = [unicodedata.normalize(form, character) for form in ("NFC", "NFKC")]
    forms += [changed for form in forms for changed in (form.lower(), form.casefold())]
    forms += [unicodedata.normalize("NFKC", form) for form in forms]
    return max(len(form.encode()) for form in forms) + (MARK_EXTRA if unicodedata.combining(character) else 0)


def _growing() -> dict[str, int]:
    """The longest form of each character that can grow, in bytes."""
    characters = (chr(code) for start, end in _RANGES for code in range(start, end))
    return {c: longest for c in characters if (longest := _longest(c)) > len(c.encode())}


_LONGEST = _growing()
_EXTRA = {c: longest - len(c.encode()) for c, longest in _LONGEST.items()}
# A pair of escapes has 12 bytes, as many as the longest form of a character beyond the basic plane.
_ESCAPED_EXTRA = {
    ord(c): most - _ESCAPE_BYTES for c, most in _LONGEST.items() if most > _ESCAPE_BYTES and c < "\U00010000"
}
# In two, because the compiler makes a fast bitmap of a class only where it has none beyond the basic plane.
_GROWING = re.compile(f"[{''.join(c for c in _EXTRA if ord(c) < _ASTRAL)}]")
_GROWING_ASTRAL = re.compile(f"[{''.join(c for c in _EXTRA if ord(c) >= _ASTRAL)}]")
_ESCAPES = re.compile(rb"\\u([0-9a-fA-F]{4})")
