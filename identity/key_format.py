"""The text of an API key: `bfr_<lookup>_<secret>_<crc>`, all base62. Pure, as the relay parses one at every request.

lookup  10 characters, in the clear in the database: finds the row
secret  33 characters, 196 bits: stored nowhere
crc     6 characters: CRC-32 of everything before its underscore, so that a typo is refused without a look-up

The database has HMAC-SHA-256(pepper, "<lookup>_<secret>"). With 196 random bits a slow hash would protect nothing
more; the pepper, which lies outside the database, makes sure that nobody can add a digest of their own there; and
because the look-up is part of what is digested, a digest copied to another row fits no key.

An operator's key differs in its prefix, `bfo_`, which is part of what is digested too: whoever could copy an API key's
row among the operators' keys would still have made none.
"""

import hmac
import re
import secrets
import zlib
from typing import NamedTuple

from identity.keyring import Keyring, parse_keyring

PREFIX = "bfr_"
OPERATOR_PREFIX = "bfo_"
LOOKUP_LENGTH = 10
SECRET_LENGTH = 33  # log2(62) * 33 = 196.5 bits; 192 are asked for
CRC_LENGTH = 6  # 62**6 > 2**32
DIGEST_BYTES = 32

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BASE = len(_ALPHABET)
_PAIRS = [(high + low).encode() for high in _ALPHABET for low in _ALPHABET]
_PREFIX_BYTES = PREFIX.encode()
_LOOKUP_AT = len(PREFIX)
_SECRET_AT = _LOOKUP_AT + LOOKUP_LENGTH + 1
_CRC_AT = _SECRET_AT + SECRET_LENGTH + 1
KEY_LENGTH = _CRC_AT + CRC_LENGTH
_LOOKUP = re.compile(f"[0-9A-Za-z]{{{LOOKUP_LENGTH}}}")
_LIKELY_KEY = re.compile(rb"(?=(bf[or]_[0-9A-Za-z]{10}_[0-9A-Za-z]{33}_[0-9A-Za-z]{6}))")
_OPERATOR_KEY = re.compile(rb"bfo_([0-9A-Za-z]{10})_[0-9A-Za-z]{33}_[0-9A-Za-z]{6}")


class ParsedKey(NamedTuple):
    """A key without typos. `secret` is `<lookup>_<secret>` as bytes: what `digest` takes."""

    lookup: str
    secret: bytes


def make_key() -> tuple[str, str]:
    """A new key: its text, to be shown once, and its look-up."""
    lookup = _random_text(LOOKUP_LENGTH)
    return with_new_secret(lookup), lookup


def with_new_secret(lookup: str) -> str:
    """A text for a key with that look-up, to be shown once: with a new secret."""
    body = f"{PREFIX}{lookup}_{_random_text(SECRET_LENGTH)}"
    return f"{body}_{_checksum(body.encode()).decode()}"


def parse_key(text: bytes | str) -> ParsedKey | None:
    """The parts of a key, or None when it cannot be one: wrong form, or a checksum that does not fit."""
    if len(text) != KEY_LENGTH:
        return None
    if isinstance(text, str):
        if not text.isascii():
            return None
        text = text.encode()
    body = text[: _CRC_AT - 1]
    if text[_CRC_AT:] != _checksum(body) or text[_CRC_AT - 1] != 0x5F or text[_SECRET_AT - 1] != 0x5F:
        return None
    lookup, secret = text[_LOOKUP_AT : _SECRET_AT - 1], text[_SECRET_AT : _CRC_AT - 1]
    if text[:_LOOKUP_AT] != _PREFIX_BYTES or not lookup.isalnum() or not secret.isalnum():
        return None
    return ParsedKey(lookup.decode(), body[_LOOKUP_AT:])


def make_operator_key() -> tuple[str, str]:
    """A new operator's key: its text, to be shown once, and its look-up."""
    lookup = _random_text(LOOKUP_LENGTH)
    body = f"{OPERATOR_PREFIX}{lookup}_{_random_text(SECRET_LENGTH)}"
    return f"{body}_{_checksum(body.encode()).decode()}", lookup


def parse_operator_key(text: bytes | str) -> ParsedKey | None:
    """The parts of an operator's key, None where it cannot be one. Its `secret` begins with the prefix."""
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    match = _OPERATOR_KEY.fullmatch(data)
    if match is None or data[_CRC_AT:] != _checksum(data[: _CRC_AT - 1]):
        return None
    return ParsedKey(match[1].decode(), data[: _CRC_AT - 1])


def is_lookup(text: str) -> bool:
    """Whether it has the form of a look-up."""
    return _LOOKUP.fullmatch(text) is not None


def digest(secret: bytes, pepper: bytes) -> bytes:
    """The 32 bytes to store for, or compare with, the `secret` of a parsed key."""
    return hmac.digest(pepper, secret, "sha256")


def matches(secret: bytes, pepper: bytes, stored_digest: bytes) -> bool:
    """Whether the secret is the one of the stored digest; takes the same time wherever they differ."""
    return hmac.compare_digest(digest(secret, pepper), stored_digest)


def find_key(text: bytes) -> bool:
    """Whether a whole key, an operator's too, stands in the text: for what is kept or shown, where none may be."""
    return any(parse_key(match[1]) or parse_operator_key(match[1]) for match in _LIKELY_KEY.finditer(text))


def peppers_from_environment(text: str) -> Keyring:
    """The peppers in the value of BEFFROI_KEY_PEPPERS: number -> 32 bytes. Raises `KeyringError` (a ValueError)."""
    return parse_keyring(text)


def _random_text(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _checksum(body: bytes) -> bytes:
    rest, low = divmod(zlib.crc32(body), _BASE * _BASE)
    high, middle = divmod(rest, _BASE * _BASE)
    return _PAIRS[high] + _PAIRS[middle] + _PAIRS[low]
