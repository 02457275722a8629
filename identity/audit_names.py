"""What of an audit event may have to be forgotten: names, e-mail addresses, network addresses, words that people wrote.

It is kept beside the chain, in up to three parts an event (who did it, what it was done to, what was said), each with a
salt of its own. The chain holds `commitment(salt, content)` of each part. So a part proves what it says for as long as
it is there, and once it is erased nobody can guess it from the hash.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_network
from typing import Any
from uuid import UUID

from identity.audit_verifier import SALT_BYTES, commitment

# Members of a detail that are never written into the chain, at any depth, whatever they hold.
PRIVATE_MEMBERS = frozenset(
    {
        "address", "addresses", "comment", "domain", "domains", "email", "emails", "ip_ranges", "issuer", "label",
        "name", "names", "note", "reason", "recipient", "recipients", "subject", "title", "user_agent",
    }
)  # fmt: skip
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+")
_LONGEST_NETWORK = 49  # characters: an IPv6 address that holds an IPv4 one, and a prefix length


class Part(StrEnum):
    """Of what event part the names are."""

    ACTOR = "actor"
    TARGET = "target"
    DETAIL = "detail"


@dataclass(frozen=True, slots=True)
class Names:
    """Private content of a part, and the pseudonym of the person whom it is about (None: nobody in particular)."""

    content: Mapping[str, Any]
    person: UUID | None = None


@dataclass(frozen=True, slots=True)
class SaltedNames:
    """`Names` with the salt that their hash was made with."""

    names: Names
    salt: bytes

    @classmethod
    def of(cls, names: Names) -> "SaltedNames":
        """With a new salt."""
        return cls(names, secrets.token_bytes(SALT_BYTES))

    @property
    def commitment(self) -> str:
        """What the chain holds of it."""
        return commitment(self.salt, self.names.content)


def split(detail: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A detail's public members and its private ones, each in their place: `merged` puts them together again.

    Private is what a member of `PRIVATE_MEMBERS` holds, and any text that has an e-mail address in it or is a network
    address, wherever it stands.
    """
    public: dict[str, Any] = {}
    private: dict[str, Any] = {}
    for name, value in detail.items():
        if isinstance(value, Mapping) and name not in PRIVATE_MEMBERS:
            inner_public, inner_private = split(value)
            if inner_public or not inner_private:
                public[name] = inner_public
            if inner_private:
                private[name] = inner_private
        elif value is not None and (name in PRIVATE_MEMBERS or _is_private(value)):
            private[name] = value
        else:
            public[name] = value
    return public, private


def merged(public: Mapping[str, Any], private: Mapping[str, Any]) -> dict[str, Any]:
    """The whole detail again; with nothing private left (erased), what the chain says."""
    whole = dict(public)
    for name, value in private.items():
        known = whole.get(name)
        whole[name] = merged(known, value) if isinstance(known, Mapping) and isinstance(value, Mapping) else value
    return whole


def _is_private(value: object) -> bool:
    if isinstance(value, str):
        return bool(_EMAIL.search(value)) or _is_network(value)
    if isinstance(value, Mapping):
        return any(name in PRIVATE_MEMBERS or _is_private(inner) for name, inner in value.items())
    return isinstance(value, list) and any(_is_private(inner) for inner in value)


def _is_network(text: str) -> bool:
    if len(text) > _LONGEST_NETWORK or not ("." in text or ":" in text):
        return False
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True
