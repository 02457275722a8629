"""What a provider says of somebody who signs in, once its signature was checked. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

SUBJECT_LENGTH_MAX = 255  # characters; OpenID Connect Core 2 allows no longer one
GROUPS_MAX = 1_000  # of one person; more would be a directory, not a person's groups
_TEXT_LENGTH_MAX = 255
# RFC 8176: what says by itself that there was a second factor, or something that counts as two.
_STRONG_METHODS = frozenset({"mfa", "otp", "hwk", "swk", "sc", "fpt", "face", "iris", "retina", "vbm", "pop", "sms"})


@dataclass(frozen=True, slots=True)
class Claims:
    """Somebody, as the provider tells it.

    email: in lower case, "" where there is none; email_verified only where the provider says so itself
    groups_withheld: they are in more groups than a token has room for, and the provider tells none
    acr, amr: how they signed in there; sid: the provider's name for its session
    """

    issuer: str
    subject: str
    email: str = ""
    email_verified: bool = False
    name: str = ""
    groups: frozenset[str] = frozenset()
    groups_withheld: bool = False
    acr: str = ""
    amr: frozenset[str] = frozenset()
    sid: str = ""

    @property
    def email_domain(self) -> str:
        """What follows the last @; "" without an address."""
        return self.email.rpartition("@")[2]

    @property
    def mfa_seen(self) -> bool:
        """Whether the provider says that there was more than a password (RFC 8176)."""
        return bool(self.amr & _STRONG_METHODS)

    def is_strong_enough(self, required_acr: Iterable[str], required_amr: Iterable[str]) -> bool:
        """Whether the sign-in has one of the required classes and all of the required methods; none: any will do."""
        classes = set(required_acr)
        return (not classes or self.acr in classes) and set(required_amr) <= self.amr


def claims_of(payload: Mapping[str, Any], *, groups_claim: str) -> Claims:
    """The claims in the payload of an ID token and of its user info; what has a wrong type counts as absent."""
    return Claims(
        issuer=str(payload["iss"]),
        subject=str(payload["sub"]),
        email=_address(payload.get("email")),
        email_verified=payload.get("email_verified") is True,
        name=_text(payload.get("name")),
        groups=_names(_at(payload, groups_claim)),
        groups_withheld=_is_withheld(payload, groups_claim),
        acr=_text(payload.get("acr")),
        amr=frozenset(_texts(payload.get("amr"))),
        sid=_text(payload.get("sid")),
    )


def _at(payload: Mapping[str, Any], path: str) -> object:
    """The claim of that name, or the member at a path such as "realm_access.roles"."""
    if path in payload:
        return payload[path]
    value: object = payload
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _is_withheld(payload: Mapping[str, Any], groups_claim: str) -> bool:
    """Whether the claim stands elsewhere (OpenID Connect Core 5.6.2, as Entra ID does above 200 groups; in the implicit
    flow it says `hasgroups`).
    """
    elsewhere = payload.get("_claim_names")
    is_elsewhere = isinstance(elsewhere, Mapping) and groups_claim in elsewhere
    return _at(payload, groups_claim) is None and (is_elsewhere or payload.get("hasgroups") is True)


def _text(value: object) -> str:
    """Without NUL, which PostgreSQL does not store."""
    return value.strip() if isinstance(value, str) and len(value) <= _TEXT_LENGTH_MAX and "\0" not in value else ""


def _address(value: object) -> str:
    """In lower case; "" for a mailbox with other letters than ASCII's: lower case may make another's of it, as the
    Kelvin sign becomes a "k".
    """
    text = _text(value)
    return text.lower() if text.rpartition("@")[0].isascii() else ""


def _names(value: object) -> frozenset[str]:
    """Names of groups, as they are: without its blank, "staff " would be the group "staff", which is another one."""
    items = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return frozenset([item for item in items if _text(item) and item == _text(item)][:GROUPS_MAX])


def _texts(value: object) -> list[str]:
    items = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return [text for item in items if (text := _text(item))]
