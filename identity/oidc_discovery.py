"""What a provider says of itself: its endpoints and its keys, fetched by `egress`, kept for an hour.

OpenID Connect Discovery 1.0, JSON Web Key (RFC 7517). A key that is not known is looked for once more, as providers
rotate theirs, but not as often as somebody likes who makes tokens up.

ProviderTrouble
├── ProviderAway     it does not answer, or not now
└── ProviderWrong    it answers what we cannot use; says what
"""

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import jwt
from django.conf import settings

from identity import egress
from identity.egress import Answer, EgressError

ALGORITHMS = ("RS256", "ES256")  # what we verify ID tokens with; never "none", never a shared secret
KEPT_SECONDS = 3_600.0
PROVIDERS_KEPT = 256  # a few kB each
FORCED_LOOKS_A_MINUTE = 3
_SECONDS = 10.0  # a person waits at the sign-in page
_BYTES_MAX = 256 * 1024
_KINDS = {"RS256": "RSA", "ES256": "EC"}


class ProviderTrouble(Exception):
    """Base of what can be wrong with a provider. `code` is for programs and pages, the message for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ProviderAway(ProviderTrouble):
    """The provider does not answer, or not now."""


class ProviderWrong(ProviderTrouble):
    """The provider answers what we cannot use."""


@dataclass(frozen=True, slots=True)
class Discovered:
    """The part of a provider's metadata that we use; optional endpoints are "" where there are none."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str
    end_session_endpoint: str
    algorithms: tuple[str, ...]
    challenge_methods: tuple[str, ...]
    client_authentication: tuple[str, ...]
    scopes: tuple[str, ...]
    has_back_channel_logout: bool


class Shelf:
    """Values by address, each for `KEPT_SECONDS`; the one that was put there first goes when it is full."""

    def __init__(self) -> None:
        self._values: OrderedDict[str, tuple[float, Any]] = OrderedDict()
        self._forced: dict[str, list[float]] = {}
        self._lock = threading.Lock()

    def get(self, key: str) -> Any:
        """The value, None where there is none or it is old."""
        with self._lock:
            until, value = self._values.get(key, (0.0, None))
            return value if until > time.monotonic() else None

    def put(self, key: str, value: Any) -> None:
        """Keep the value."""
        with self._lock:
            self._values.pop(key, None)
            self._values[key] = (time.monotonic() + KEPT_SECONDS, value)
            while len(self._values) > PROVIDERS_KEPT:
                self._forced.pop(self._values.popitem(last=False)[0], None)

    def may_look_again(self, key: str) -> bool:
        """Whether a value may be fetched before it is old; counts that it was."""
        with self._lock:
            now = time.monotonic()
            recent = [at for at in self._forced.get(key, []) if at > now - 60]
            self._forced[key] = recent
            if len(recent) >= FORCED_LOOKS_A_MINUTE:
                return False
            recent.append(now)
            return True

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._values.clear()
            self._forced.clear()


_metadata, _keys = Shelf(), Shelf()


def discover(issuer: str, *, anew: bool = False) -> Discovered:
    """The provider's metadata. `anew` looks for itself. Raises `ProviderTrouble`."""
    found = None if anew else _metadata.get(issuer)
    if found is None:
        found = _discovered(issuer)
        _metadata.put(issuer, found)
    assert isinstance(found, Discovered)
    return found


def known(issuer: str) -> Discovered | None:
    """The provider's metadata as far as this process has it already: nobody is asked."""
    found = _metadata.get(issuer)
    return found if isinstance(found, Discovered) else None


def key_for(provider: Discovered, header: Mapping[str, Any]) -> jwt.PyJWK:
    """The key that a token with this header is verified with. Raises `ProviderTrouble`.

    Of the kind that the algorithm takes, meant for signatures; without a key id only where there is no doubt.
    """
    keys = _keys.get(provider.jwks_uri)
    fitting = [] if keys is None else _fitting(keys, header)
    if len(fitting) != 1 and (keys is None or _keys.may_look_again(provider.jwks_uri)):
        fitting = _fitting(keys_of(provider), header)
    if len(fitting) != 1:
        raise ProviderWrong("key_unknown", "the token is signed with a key that the provider does not publish")
    try:
        return jwt.PyJWK(fitting[0], algorithm=str(header["alg"]))
    except jwt.PyJWTError:
        raise ProviderWrong("keys_unusable", "the provider publishes a key that cannot be read") from None


def keys_of(provider: Discovered) -> list[dict[str, Any]]:
    """The keys that the provider publishes now, fetched anew. Raises `ProviderTrouble`."""
    found = _json(ask("GET", provider.jwks_uri), "keys").get("keys")
    keys = [key for key in found if isinstance(key, dict)] if isinstance(found, list) else []
    if not any(key.get("kty") in _KINDS.values() and key.get("use", "sig") == "sig" for key in keys):
        raise ProviderWrong("keys_unusable", "the provider publishes no RSA or EC key for signatures")
    _keys.put(provider.jwks_uri, keys)
    return keys


def ask(method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None) -> Answer:
    """One exchange with a provider; only hosts of BEFFROI_PRIVATE_PROVIDER_HOSTS may have private addresses.

    Raises `ProviderAway`.
    """
    private = is_of_the_house(url)
    sent = {"Accept": "application/json"} | dict(headers or {})
    try:
        return egress.fetch(
            method,
            url,
            headers=sent,
            body=body,
            allow_private=private,
            total_seconds=_SECONDS,
            response_bytes_max=_BYTES_MAX,
        )
    except egress.AddressRefused:
        raise ProviderAway(
            "private_address", "its name leads into a private network, which this installation does not allow"
        ) from None
    except EgressError as error:
        raise ProviderAway("unreachable", f"it cannot be reached: {error}") from None


def is_of_the_house(url: str) -> bool:
    """Whether the operator listed the host as one of its own."""
    return (urlsplit(url).hostname or "") in settings.PRIVATE_PROVIDER_HOSTS


def forget() -> None:
    """Look at every provider anew: for tests, and after a change."""
    _metadata.clear()
    _keys.clear()


def _discovered(issuer: str) -> Discovered:
    """Discovery 4.3: the issuer in the document must be the one that was asked for, to the letter."""
    document = _json(ask("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration"), "discovery")
    if document.get("issuer") != issuer:
        raise ProviderWrong(
            "issuer_differs",
            f"it calls itself {str(document.get('issuer'))[:255]!r}; enter exactly this as its address",
        )
    in_house = is_of_the_house(issuer)
    return Discovered(
        issuer=issuer,
        authorization_endpoint=_endpoint(document, "authorization_endpoint", in_house=in_house),
        token_endpoint=_endpoint(document, "token_endpoint", in_house=in_house),
        jwks_uri=_endpoint(document, "jwks_uri", in_house=in_house),
        userinfo_endpoint=_endpoint(document, "userinfo_endpoint", in_house=in_house, required=False),
        end_session_endpoint=_endpoint(document, "end_session_endpoint", in_house=in_house, required=False),
        algorithms=_words(document, "id_token_signing_alg_values_supported"),
        challenge_methods=_words(document, "code_challenge_methods_supported"),
        client_authentication=_words(document, "token_endpoint_auth_methods_supported") or ("client_secret_basic",),
        scopes=_words(document, "scopes_supported"),
        has_back_channel_logout=document.get("backchannel_logout_supported") is True,
    )


def _json(answer: Answer, what: str) -> dict[str, Any]:
    if answer.status >= 500:
        raise ProviderAway("server_error", f"it answers {answer.status}")
    if answer.status != 200:
        raise ProviderWrong(f"{what}_missing", f"it answers {answer.status} where its {what} should be")
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise ProviderWrong(f"{what}_unreadable", f"what it has for {what} is no JSON object")
    return document


def _endpoint(document: Mapping[str, Any], name: str, *, in_house: bool, required: bool = True) -> str:
    """An address that a browser or we may be sent to: https, or of the house where the provider itself is of it.

    A provider outside must not send us to any path and port of a host in the house.
    """
    value = document.get(name)
    if value is None and not required:
        return ""
    try:
        scheme = urlsplit(value).scheme if isinstance(value, str) and len(value) <= egress.URL_LENGTH_MAX else ""
        fine = in_house if scheme in ("http", "https") and is_of_the_house(str(value)) else scheme == "https"
    except ValueError:
        fine = False
    if not fine:
        raise ProviderWrong("endpoint_missing", f"its metadata has no usable {name}")
    return str(value)


def _words(document: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = document.get(name)
    return tuple(word for word in value if isinstance(word, str)) if isinstance(value, list) else ()


def _fitting(keys: list[dict[str, Any]], header: Mapping[str, Any]) -> list[dict[str, Any]]:
    algorithm = str(header.get("alg"))
    return [
        key
        for key in keys
        if key.get("kty") == _KINDS.get(algorithm)
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) == algorithm
        and ("kid" not in header or key.get("kid") == header["kid"])
    ]
