"""How a machine becomes a node: once, with a token of the platform, against which it gets its name and its two queues.

The node's key is made here and its private part never leaves this machine. It is kept before the token is used, so an
answer that is lost on its way can be asked for again: the platform gives the same one to the same key.
"""

import base64
import hashlib
import json
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gateway.node_agent.durable import write_secret
from identity import egress

_PATH = "/api/nodes/join"
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_KEY_BYTES = 32


class JoinError(Exception):
    """The machine is not a node yet; the text says what to do."""


class Joined(msgspec.Struct, frozen=True):
    """What the platform answered, as kept on disk; `token_digest`: the SHA-256 of the token that it took for it."""

    name: str
    broker_url: str
    queue: str
    reports_queue: str
    platform_public_key: str
    token_digest: str = ""


class _Problem(msgspec.Struct, frozen=True):
    """What the platform's API tells of a refusal (RFC 9457)."""

    detail: str


@dataclass(frozen=True, slots=True)
class Membership:
    """Who this node is to the platform."""

    name: str
    broker_url: str
    queue: str
    reports_queue: str
    platform: Ed25519PublicKey
    own: Ed25519PrivateKey

    @property
    def identity(self) -> str:
        """Which node of which platform this is: numbers of replicas and assignments mean something there alone."""
        return f"{self.name}@{base64.b64encode(self.platform.public_bytes_raw()).decode()}"


def membership(home: Path, platform: str, token: str, version: str) -> Membership:
    """What was agreed at the first start; with a token that was not used here yet, agreed anew.

    platform: its address, as https://host; token: ""; once joined neither is needed
    Raises JoinError.
    """
    own = own_key(home)
    kept = _kept(home)
    digest = hashlib.sha256(token.encode()).hexdigest() if token else ""
    if kept is None or (token and kept.token_digest != digest):
        if not token or not platform:
            raise JoinError("This machine is no node yet: give --platform and --token, as the page Nodes shows them.")
        answer = _ask(platform, token, own, version)
        kept = msgspec.structs.replace(answer, token_digest=digest)
        remember(home, kept)
    return Membership(kept.name, kept.broker_url, kept.queue, kept.reports_queue, _public_key(kept), own)


def remember(home: Path, joined: Joined) -> None:
    """Keep what the platform answered: from then on the agent needs neither token nor address."""
    write_secret(home / "joined.json", msgspec.json.encode(joined))


def _ask(platform: str, token: str, own: Ed25519PrivateKey, version: str) -> Joined:
    parts = urlsplit(platform)
    if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
        raise JoinError("The platform's address has to begin with https://: the token and the answer are secrets.")
    public_key = base64.b64encode(own.public_key().public_bytes_raw()).decode()
    body = json.dumps({"token": token, "public_key": public_key, "version": version}).encode()
    try:
        answer = egress.fetch(
            "POST",
            platform.rstrip("/") + _PATH,
            headers={"Content-Type": "application/json", "Accept": "application/json"},
            body=body,
            allow_private=True,
        )
    except (egress.EgressError, ValueError) as error:
        raise JoinError(f"The platform cannot be reached at {platform}: {error}.") from None
    if answer.status == HTTPStatus.NOT_FOUND:
        raise JoinError("The platform does not know this token: used up, too old or mistyped. Add the node again.")
    if answer.status not in (HTTPStatus.OK, HTTPStatus.CREATED):
        raise JoinError(f"The platform did not take this machine in: {_reason(answer)}")
    try:
        return msgspec.json.decode(answer.body, type=Joined)
    except msgspec.DecodeError:
        raise JoinError(f"What answers at {platform} is no Beffroi, or another version of it.") from None


def _reason(answer: egress.Answer) -> str:
    """Why the platform did not, in its words where it has some."""
    try:
        return msgspec.json.decode(answer.body, type=_Problem).detail
    except msgspec.DecodeError:
        return f"status {answer.status}."


def own_key(home: Path) -> Ed25519PrivateKey:
    """The node's own key, made where there is none yet. Raises JoinError."""
    path = home / "key"
    try:
        return Ed25519PrivateKey.from_private_bytes(base64.b64decode(path.read_bytes()))
    except FileNotFoundError:
        key = Ed25519PrivateKey.generate()
        write_secret(path, base64.b64encode(key.private_bytes_raw()))
        return key
    except (OSError, ValueError) as error:
        raise JoinError(f"{path} cannot be read ({type(error).__name__}).") from None


def _kept(home: Path) -> Joined | None:
    path = home / "joined.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=Joined)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise JoinError(f"{path} cannot be read ({type(error).__name__}).") from None


def _public_key(kept: Joined) -> Ed25519PublicKey:
    try:
        raw = base64.b64decode(kept.platform_public_key, validate=True)
        if len(raw) == _KEY_BYTES and kept.name:
            return Ed25519PublicKey.from_public_bytes(raw)
    except ValueError:
        pass
    raise JoinError("The platform's public key cannot be read.")
