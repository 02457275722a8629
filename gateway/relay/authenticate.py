"""Who asks: a key verified against the snapshot, without a look-up anywhere else. A typo is refused by its checksum."""

import hmac
from typing import NamedTuple

from gateway.relay import errors
from gateway.relay.config import Config
from gateway.relay.http_message import HttpRequest
from gateway.relay.keys import Key
from gateway.relay.snapshot import Caller, Snapshot
from identity.client_address import address_is_in, client_address
from identity.key_format import matches, parse_key
from identity.scopes import Scope


class Verified(NamedTuple):
    """A key, and the stored digest that the client's secret has: the key's own or that of the secret before."""

    key: Key
    secret: bytes


class Verifier:
    """Verifies the keys of one connection. The same one again, unchanged in the database, is not hashed again."""

    __slots__ = ("_credential", "_lookup", "_secret")

    def __init__(self) -> None:
        self._credential = self._secret = b""
        self._lookup = ""

    def key_of(self, credential: bytes, snapshot: Snapshot, config: Config) -> Verified:
        """The key of an `authorization` header, whether or not that secret of it still works; raises Refusal."""
        if hmac.compare_digest(credential, self._credential):  # a proxy's connection is not one client's
            key = snapshot.keys.get(self._lookup)
            if key is not None and _has(key, self._secret):
                return Verified(key, self._secret)
        parsed = parse_key(credential[7:].strip()) if credential[:7].lower() == b"bearer " else None
        key = snapshot.keys.get(parsed.lookup) if parsed is not None else None
        secret = _fitting(parsed.secret, key, config) if parsed is not None and key is not None else None
        if parsed is None or key is None or secret is None:
            raise errors.key_invalid()
        self._credential, self._lookup, self._secret = credential, parsed.lookup, secret
        return Verified(key, secret)


def _fitting(secret: bytes, key: Key, config: Config) -> bytes | None:
    """The stored digest that the secret has. All are compared, so that the time it takes does not tell which fits."""
    stored = [(key.pepper_id, key.digest)]
    if key.previous is not None:
        stored.append((key.previous.pepper_id, key.previous.digest))
    found = None
    for pepper_id, digest in stored:
        pepper = config.peppers.get(pepper_id)
        if pepper is not None and matches(secret, pepper, digest):
            found = digest
    return found


def _has(key: Key, secret: bytes) -> bool:
    return secret == key.digest or (key.previous is not None and secret == key.previous.digest)


def authenticate(
    request: HttpRequest, peer: str, verifier: Verifier, snapshot: Snapshot, config: Config, now: float
) -> Caller:
    """The caller of an inference request; raises Refusal. `now`: Unix seconds; `peer`: the other end ("": unknown)."""
    credential = request.header(b"authorization")
    if credential is None:
        raise errors.key_missing()
    return authorize(request, peer, verifier.key_of(credential, snapshot, config), snapshot, config, now)


def authorize(
    request: HttpRequest, peer: str, verified: Verified, snapshot: Snapshot, config: Config, now: float
) -> Caller:
    """Whether a verified key may be used now, by its own policy; raises Refusal. Asked again if it was changed."""
    key, secret = verified
    _check_life(key, secret, now)
    policy = key.policy
    if policy.ip_ranges:
        forwarded = request.all_of(b"x-forwarded-for")
        address = client_address(peer or None, forwarded, config.trusted_proxies)
        if address is None or not address_is_in(address, policy.ip_ranges):
            raise errors.ip_not_allowed(str(address or "unknown"))
    origin = request.header(b"origin")
    if origin is not None and origin.decode("latin-1") not in policy.origins:
        raise errors.origin_not_allowed()
    tenant = snapshot.tenants.get(key.tenant_id)
    if tenant is None:
        raise errors.key_invalid()
    if not tenant.is_active:
        raise errors.account_refused("tenant_suspended")
    if key.project_id in tenant.archived_projects:
        raise errors.account_refused("project_archived")
    if Scope.INFERENCE not in policy.scopes:
        raise errors.scope_missing(Scope.INFERENCE)
    return Caller(key, tenant, origin, secret)


def _check_life(key: Key, secret: bytes, now: float) -> None:
    if key.is_revoked:
        raise errors.key_revoked()
    if key.is_blocked:
        raise errors.key_blocked()
    if key.expires_at and key.expires_at <= now:
        raise errors.key_expired()
    if secret != key.digest:
        if key.previous is None or secret != key.previous.digest:  # rotated since it was verified, and again
            raise errors.key_invalid()
        if key.previous.ends_at <= now:
            raise errors.key_rotated()
