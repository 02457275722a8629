"""Checks of what a provider signs: ID tokens (OpenID Connect Core 3.1.3.7) and logout tokens (Back-Channel Logout 2.6).

Each check has a code of its own, for the log and for tests; a browser learns only that the sign-in did not hold.
"""

import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import jwt

from identity.claims import SUBJECT_LENGTH_MAX
from identity.oidc_discovery import ALGORITHMS, Discovered, key_for

LEEWAY_SECONDS = 60  # how far a provider's clock may be off
OLDEST_SECONDS = 600  # a token is made while the browser waits, a logout token while the provider does
TOKEN_LENGTH_MAX = 64 * 1024  # characters; a person with a thousand groups fits
_LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
_PROBLEMS: dict[type[jwt.PyJWTError], str] = {
    jwt.ExpiredSignatureError: "expired",
    jwt.ImmatureSignatureError: "from_the_future",
    jwt.InvalidIssuedAtError: "from_the_future",
    jwt.InvalidIssuerError: "issuer",
    jwt.InvalidAudienceError: "audience",
    jwt.MissingRequiredClaimError: "claim_missing",
    jwt.InvalidSignatureError: "signature",
}


class TokenRefused(Exception):
    """A token does not hold; `code` says which check."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def verify_id_token(token: str, *, provider: Discovered, client_id: str, nonce: str, now: datetime) -> dict[str, Any]:
    """The payload of an ID token that is meant for us, now, and for this sign-in. Raises `TokenRefused`,
    `ProviderTrouble`.
    """
    payload = _verified(token, provider=provider, client_id=client_id, required=["iss", "sub", "aud", "exp", "iat"])
    _require_recent(payload, now)
    _require_authorized_party(payload, client_id)
    given = payload.get("nonce")
    if not nonce or not isinstance(given, str) or not hmac.compare_digest(given.encode(), nonce.encode()):
        raise TokenRefused("nonce")
    _require_subject(payload)
    return payload


def verify_logout_token(token: str, *, provider: Discovered, client_id: str, now: datetime) -> tuple[str, str]:
    """The (sid, subject) that a logout token ends, one of them may be "". Raises `TokenRefused`, `ProviderTrouble`.

    Its `jti` is not remembered: sent again, it ends what is over.
    """
    payload = _verified(token, provider=provider, client_id=client_id, required=["iss", "aud", "iat", "exp", "jti"])
    _require_recent(payload, now)
    events = payload.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(_LOGOUT_EVENT), dict):
        raise TokenRefused("events")
    if "nonce" in payload:
        raise TokenRefused("nonce")
    sid, subject = payload.get("sid", ""), payload.get("sub", "")
    if not isinstance(sid, str) or not isinstance(subject, str) or not (sid or subject):
        raise TokenRefused("subject")
    return sid, subject


def _verified(token: str, *, provider: Discovered, client_id: str, required: list[str]) -> dict[str, Any]:
    header = _header_of(token)
    if header.get("alg") not in ALGORITHMS:
        raise TokenRefused("algorithm")
    key = key_for(provider, header)
    try:
        payload = jwt.decode(
            token,
            key,
            algorithms=[str(header["alg"])],
            audience=client_id,
            issuer=provider.issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": required},
        )
    except jwt.PyJWTError as error:
        code = next((code for kind, code in _PROBLEMS.items() if isinstance(error, kind)), "unreadable")
        raise TokenRefused(code) from None
    return dict(payload)


def _header_of(token: str) -> Mapping[str, Any]:
    if len(token) > TOKEN_LENGTH_MAX:
        raise TokenRefused("too_long")
    try:
        return dict(jwt.get_unverified_header(token))
    except jwt.PyJWTError:
        raise TokenRefused("unreadable") from None


def _require_recent(payload: Mapping[str, Any], now: datetime) -> None:
    issued = payload["iat"]
    if not isinstance(issued, int | float) or issued < now.timestamp() - OLDEST_SECONDS:
        raise TokenRefused("too_old")
    if issued > now.timestamp() + LEEWAY_SECONDS:
        raise TokenRefused("from_the_future")


def _require_authorized_party(payload: Mapping[str, Any], client_id: str) -> None:
    """Core 3.1.3.7, 4 and 5: with several audiences the token says who it was given to; where it says so, it is us."""
    party = payload.get("azp")
    if (party is None and isinstance(payload["aud"], list) and len(payload["aud"]) > 1) or (
        party is not None and party != client_id
    ):
        raise TokenRefused("authorized_party")


def _require_subject(payload: Mapping[str, Any]) -> None:
    subject = payload["sub"]
    if not isinstance(subject, str) or not 0 < len(subject) <= SUBJECT_LENGTH_MAX or "\0" in subject:
        raise TokenRefused("subject")
