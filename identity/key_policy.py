"""What an API key is allowed, as its maker asks for it: checked, put in one form, and never more than its parent has
(I6).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlsplit

from django.utils.translation import gettext as _

from identity.access import Caller, scopes_of
from identity.client_address import Network
from identity.errors import Forbidden, Invalid, NotFound
from identity.key_format import find_key
from identity.models import ApiKey, Person, Project
from identity.permissions import Permission, may_give
from identity.scopes import Scope

# Every gateway keeps every key in memory; these lists are the part of a key that could grow.
MODELS_MAX = 200
MODELS_CHARACTERS_MAX = 10_000  # of a list together: before and after fit an audit's detail
IP_RANGES_MAX = 64
ORIGINS_MAX = 32
_MODEL_LENGTH_MAX = 200
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """What a key may do. Empty `allowed_models`, `ip_ranges`: any; empty `origins`: no browser."""

    scopes: frozenset[Scope]
    allowed_models: tuple[str, ...] = ()
    ip_ranges: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    expires_at: datetime | None = None

    def cleaned(self, now: datetime) -> "KeyPolicy":
        """The same policy in its one form. Raises `Invalid`."""
        if not self.scopes:
            raise Invalid("scopes", _("must have at least one scope"))
        if self.expires_at and self.expires_at <= now:
            raise Invalid("expires_at", _("must be in the future"))
        return KeyPolicy(
            scopes=self.scopes,
            allowed_models=cleaned_models(self.allowed_models),
            ip_ranges=cleaned_ranges(self.ip_ranges),
            origins=_cleaned_origins(self.origins),
            expires_at=self.expires_at,
        )


def policy_of(key: ApiKey) -> KeyPolicy:
    """What an existing key may do."""
    return KeyPolicy(
        scopes=scopes_of(key),
        allowed_models=tuple(key.allowed_models),
        ip_ranges=tuple(key.ip_ranges),
        origins=tuple(key.origins),
        expires_at=key.expires_at,
    )


def require_no_more(child: KeyPolicy, parent: KeyPolicy) -> None:
    """Raises `Forbidden`, naming the field, where the child could do what its parent cannot."""
    if not child.scopes <= parent.scopes:
        raise Forbidden("scopes")
    if parent.allowed_models and not (child.allowed_models and set(child.allowed_models) <= set(parent.allowed_models)):
        raise Forbidden("allowed_models")
    if parent.ip_ranges and not (child.ip_ranges and ranges_lie_within(child.ip_ranges, parent.ip_ranges)):
        raise Forbidden("ip_ranges")
    if not set(child.origins) <= set(parent.origins):
        raise Forbidden("origins")
    if parent.expires_at and not (child.expires_at and child.expires_at <= parent.expires_at):
        raise Forbidden("expires_at")


def require_may_give(by: Caller, project: Project, policy: KeyPolicy, owner: Person | None) -> None:
    """Whether the caller may hand somebody a key with this policy, or a secret of one, as it has as much itself (I6).

    owner: whose key it is; None: the project's
    Raises `NotFound` (not a project of the caller), `Forbidden` naming what the caller lacks.
    """
    if project.tenant_id != by.tenant.pk or (by.project_ids is not None and project.pk not in by.project_ids):
        raise NotFound("project")
    for scope in policy.scopes:
        if not may_give(scope, by.permissions):
            raise Forbidden(scope.value)
    if by.key is not None:
        require_no_more(policy, policy_of(by.key))
        if by.key.owner_id != (owner.pk if owner else None):
            raise Forbidden("owner")
    elif owner is not None and owner != by.person and not by.may(Permission.MEMBER_UPDATE):
        raise Forbidden("owner")


def described(policy: KeyPolicy) -> dict[str, Any]:
    """The policy as the audit chain keeps it."""
    return {
        "scopes": sorted(policy.scopes),
        "allowed_models": list(policy.allowed_models),
        "ip_ranges": list(policy.ip_ranges),
        "origins": list(policy.origins),
        "expires_at": policy.expires_at.isoformat() if policy.expires_at else None,
    }


def cleaned_models(models: Iterable[str]) -> tuple[str, ...]:
    """Ids of models in their one form. Raises `Invalid`."""
    names = tuple(dict.fromkeys(model.strip() for model in models))
    if len(names) > MODELS_MAX or not all(_may_be_a_model_id(name) for name in names):
        raise Invalid("allowed_models", _("must be at most %(count)s model ids") % {"count": MODELS_MAX})
    if sum(map(len, names)) > MODELS_CHARACTERS_MAX:
        raise Invalid(
            "allowed_models", _("must have at most %(count)s characters together") % {"count": MODELS_CHARACTERS_MAX}
        )
    return names


def _may_be_a_model_id(text: str) -> bool:
    return 0 < len(text) <= _MODEL_LENGTH_MAX and text.isascii() and text.isprintable() and not find_key(text.encode())


def cleaned_ranges(ranges: Iterable[str]) -> tuple[str, ...]:
    """Networks in their one form. Raises `Invalid`."""
    try:
        cleaned = tuple(dict.fromkeys(str(ip_network(text.strip())) for text in ranges))
    except ValueError:
        raise Invalid(
            "ip_ranges", _('must be addresses or networks such as "192.0.2.0/24" or "2001:db8::/32"')
        ) from None
    if len(cleaned) > IP_RANGES_MAX:
        raise Invalid("ip_ranges", _("must be at most %(count)s networks") % {"count": IP_RANGES_MAX})
    return cleaned


def _cleaned_origins(origins: Iterable[str]) -> tuple[str, ...]:
    cleaned = tuple(dict.fromkeys(_cleaned_origin(origin.strip()) for origin in origins))
    if len(cleaned) > ORIGINS_MAX:
        raise Invalid("origins", _("must be at most %(count)s origins") % {"count": ORIGINS_MAX})
    return cleaned


def _cleaned_origin(origin: str) -> str:
    """As browsers send it: scheme and host in lower case, the port only where it is not the scheme's own."""
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    host = parts.hostname or ""
    plain = origin.isascii() and origin.isprintable() and " " not in origin and "*" not in origin
    rest = parts.path or parts.query or parts.fragment or parts.username or parts.password
    if parts.scheme not in _DEFAULT_PORTS or not host or rest or not plain or len(origin) > 255:
        raise Invalid("origins", _('must be origins such as "https://app.example.org", without a path'))
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}" + (f":{port}" if port and port != _DEFAULT_PORTS[parts.scheme] else "")


def ranges_lie_within(ranges: Iterable[str], allowed: Iterable[str]) -> bool:
    """Whether each network lies in one of the allowed."""
    outer = [ip_network(text) for text in allowed]
    return all(any(_lies_within(ip_network(text), network) for network in outer) for text in ranges)


def _lies_within(inner: Network, outer: Network) -> bool:
    return (
        inner.version == outer.version
        and outer.network_address <= inner.network_address  # type: ignore[operator]
        and inner.broadcast_address <= outer.broadcast_address  # type: ignore[operator]
    )
