"""A browser's session: opened at a sign-in under a new key, and worth something only while its `SignIn` row is open."""

from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY, login
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest
from django.utils import timezone

from console.operator_site import is_operators
from identity import sign_ins
from identity.claims import Claims
from identity.client_address import client_address
from identity.models import IdentityProvider, Person, SignIn

BACKEND = "console.sign_in.backend.ProviderBackend"
ID_TOKEN = "oidc_id_token"  # noqa: S105  # the name of a member of the session
STATES = "oidc_states"
TRIAL = "provider_trial"
ASKED_TENANT = "asked_tenant"
_KEPT = (ASKED_TENANT,)


def open_session(
    request: HttpRequest,
    person: Person,
    door: SignIn.Door,
    *,
    provider: IdentityProvider | None = None,
    claims: Claims | None = None,
) -> SignIn:
    """Sign the person in: a new session key, so that one that somebody planted before is worth nothing."""
    now = timezone.now()
    before = sign_in_of(request.session)
    if before is not None:
        sign_ins.end(before, reason="replaced", now=now)
    # Django keeps the key where the same person signs in again.
    kept = {name: request.session[name] for name in _KEPT if name in request.session}
    request.session.flush()
    request.session.update(kept)
    login(request, person, backend=BACKEND)
    sign_in = sign_ins.begin(
        person=person,
        session_key=str(request.session.session_key),
        door=door,
        client=client_of(request),
        now=now,
        provider=provider,
        claims=claims,
    )
    request.sign_in = sign_in  # type: ignore[attr-defined]
    return sign_in


def sign_in_of(session: SessionBase) -> SignIn | None:
    """The open sign-in behind a session, its person included; for requests and for sockets. None: nobody is in."""
    if not session.session_key or SESSION_KEY not in session:
        return None
    found = sign_ins.open_sign_in(session.session_key)
    return found if found is not None and str(found.person_id) == session[SESSION_KEY] else None


def person_of(session: SessionBase) -> Person | None:
    """Who is signed in by a session, as the access funnel takes them."""
    found = sign_in_of(session)
    return found.person if found else None


def current_sign_in(request: HttpRequest) -> SignIn | None:
    """The sign-in that this request came with, looked up once: in the operator's console an operator's only, elsewhere
    nobody's who is one.
    """
    if not hasattr(request, "sign_in"):
        found = sign_in_of(request.session)
        belongs = found is not None and found.person.is_operator == is_operators(request)
        request.sign_in = found if belongs else None  # type: ignore[attr-defined]
    current: SignIn | None = request.sign_in  # type: ignore[attr-defined]
    return current


def client_of(request: HttpRequest) -> sign_ins.Client:
    """Where the request comes from. Only the gateway reaches us, by a Unix socket, and it names its peer."""
    meta: dict[str, Any] = request.META
    forwarded = request.headers.get("X-Forwarded-For")
    peer = meta.get("REMOTE_ADDR") or None
    address = client_address(peer, [forwarded] if forwarded else [], settings.TRUSTED_PROXIES)
    return sign_ins.Client(str(address) if address else None, request.headers.get("User-Agent", ""))
