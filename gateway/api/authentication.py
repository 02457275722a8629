"""Who asks: `Authorization: Bearer <API key>` becomes the `Caller` that the access funnel takes."""

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from identity import access, api_keys
from identity.access import Caller
from identity.audit import Actor
from identity.client_address import Address, client_address
from identity.errors import KeyRefused, Refusal
from identity.key_use import note_use
from identity.models import Tenant

CHALLENGE = 'Bearer realm="beffroi"'


class ApiKeyAuthentication(BaseAuthentication):
    """Gives the request's `auth` a `Caller`; there is no `user`, as a key is not a person. Raises `KeyRefused`."""

    def authenticate(self, request: Request) -> tuple[None, Caller] | None:
        """None where the request has no credentials at all."""
        header = request.headers.get("Authorization", "")
        if not header:
            return None
        scheme, _, text = header.partition(" ")
        if scheme.lower() != "bearer":
            raise KeyRefused(Refusal.MALFORMED)
        now, address = timezone.now(), address_of(request)
        try:
            key = api_keys.authenticate(text.strip(), client_ip=address, origin=foreign_origin(request), now=now)
        except KeyRefused as refused:
            if refused.key is not None:
                note_refused(request, Actor.key(refused.key), refused.key.tenant)
            raise
        note_use(key, now)
        return None, access.caller_for_key(key)

    def authenticate_header(self, request: Request) -> str:
        """What a 401 asks for."""
        return CHALLENGE


def note_refused(request: Request, actor: Actor, tenant: Tenant) -> None:
    """Leave for the audit (`console/audit_door.py`) who it was that is not let in: known, but revoked or the like."""
    request._request.refused_as = (actor, tenant)  # type: ignore[attr-defined]  # noqa: SLF001  (documented)


def address_of(request: HttpRequest | Request) -> Address | None:
    """The client's address. Only the gateway reaches Django, by a Unix socket, and it names its peer in the header."""
    forwarded_for = request.headers.get("X-Forwarded-For")
    peer = request.META.get("REMOTE_ADDR") or None
    return client_address(peer, [forwarded_for] if forwarded_for else [], settings.TRUSTED_PROXIES)


def foreign_origin(request: Request) -> str | None:
    """The web page that asks, unless it is one of ours (the page of the documentation)."""
    origin = request.headers.get("Origin")
    own = f"{request.scheme}://{request.get_host()}"
    return None if origin in (None, own) else origin
