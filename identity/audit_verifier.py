"""What the audit chain's hashes are made of. Only Python's own library and `cryptography`, no Django, no database."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

FIRST_PREVIOUS_HASH = bytes(32)
SALT_BYTES = 32


def canonical_json(value: object) -> bytes:
    """The one text of a JSON value: keys sorted by code point, no spaces, UTF-8, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def link_hash(previous_hash: bytes, members: Mapping[str, Any]) -> bytes:
    """SHA-256 of the previous link's hash and of this link's members: what the next link continues."""
    return hashlib.sha256(previous_hash + canonical_json(members)).digest()


def commitment(salt: bytes, content: Mapping[str, Any]) -> str:
    """What the chain holds of names kept beside it: SHA-256 of the salt and the content's one text, in hex."""
    return hashlib.sha256(salt + canonical_json(content)).hexdigest()
