"""One way to a provider and back: what the browser's session remembers of it, under the `state` that it carries.

A flow is for one purpose: to sign in, to check silently that the provider still vouches for a session, or to try
settings that are not in use yet. It can be taken once, within ten minutes.
"""

import time
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest
from django.urls import reverse
from django.utils.crypto import get_random_string
from django.utils.http import url_has_allowed_host_and_scheme
from mozilla_django_oidc.utils import generate_code_challenge

from console.operator_site import URLS, console_url
from console.sign_in.sessions import STATES
from identity.models import IdentityProvider, ProviderVersion
from identity.oidc_discovery import discover

FLOW_SECONDS = 600  # somebody may have to find a phone
FLOWS_MAX = 10  # of one browser at once: more tabs than anybody signs in from
_SCOPES = ("openid", "email", "profile")
_WISHED_SCOPES = ("groups",)  # where a provider has it, it tells no groups without
_NEXT_LENGTH_MAX = 2_000


class Purpose(StrEnum):
    """Why the browser is sent to the provider."""

    SIGN_IN = "sign_in"
    CHECK = "check"
    TRIAL = "trial"


@dataclass(frozen=True, slots=True)
class Flow:
    """What has to be known when the browser comes back."""

    version_id: int
    purpose: str
    nonce: str
    code_verifier: str
    next: str
    added_on: float


def start(
    request: HttpRequest, version: ProviderVersion, *, purpose: Purpose, next_path: str, login_hint: str = ""
) -> str:
    """The provider's address to send the browser to. Raises `ProviderTrouble`."""
    provider = discover(version.issuer)
    state = get_random_string(32)
    flow = Flow(
        version_id=version.pk,
        purpose=purpose.value,
        nonce=get_random_string(32),
        code_verifier=get_random_string(64),
        next=safe_path(next_path),
        added_on=time.time(),
    )
    _remember(request.session, state, flow)
    asked = {
        "response_type": "code",
        "scope": " ".join(_SCOPES + tuple(scope for scope in _WISHED_SCOPES if scope in provider.scopes)),
        "client_id": version.client_id,
        "redirect_uri": redirect_uri(version.provider),
        "state": state,
        "nonce": flow.nonce,
        "code_challenge": generate_code_challenge(flow.code_verifier, "S256"),
        "code_challenge_method": "S256",
    }
    asked |= _wishes(version, purpose, login_hint)
    sign = "&" if "?" in provider.authorization_endpoint else "?"
    return f"{provider.authorization_endpoint}{sign}{urlencode(asked)}"


def take(session: SessionBase, state: str) -> Flow | None:
    """The flow of this state, once; None where there is none, or it is too old."""
    kept: dict[str, Any] = session.get(STATES, {})
    found = kept.pop(state, None)
    if found is None:
        return None
    session[STATES] = kept
    session.save()  # before anything is asked of the provider, so that a second request finds it gone
    flow = Flow(**found)
    return flow if flow.added_on > time.time() - FLOW_SECONDS else None


def redirect_uri(provider: IdentityProvider) -> str:
    """Where this provider sends browsers back to: an address of its own, so that no other can pose as it."""
    of_operators = provider.audience == IdentityProvider.Audience.OPERATORS
    urls = URLS if of_operators else settings.ROOT_URLCONF
    path = reverse("oidc-callback", urlconf=urls, kwargs={"handle": provider.handle})
    return f"{console_url(of_operators=of_operators)}{path}"


def safe_path(text: str) -> str:
    """A path of ours to go on to; "/" for anything else, above all for other sites."""
    fine = text.startswith("/") and len(text) <= _NEXT_LENGTH_MAX and text.isprintable()
    return text if fine and url_has_allowed_host_and_scheme(text, allowed_hosts=None) else "/"


def _remember(session: SessionBase, state: str, flow: Flow) -> None:
    kept: dict[str, Any] = dict(session.get(STATES, {}))
    while len(kept) >= FLOWS_MAX:
        del kept[min(kept, key=lambda one: kept[one]["added_on"])]
    session[STATES] = kept | {state: asdict(flow)}


def _wishes(version: ProviderVersion, purpose: Purpose, login_hint: str) -> dict[str, str]:
    """What a sign-in of this kind should be like. A trial asks for the password anew: it is to be a real one."""
    wishes = {"login_hint": login_hint} if login_hint else {}
    if version.required_acr:
        wishes["acr_values"] = " ".join(version.required_acr)
    if purpose == Purpose.CHECK:
        wishes["prompt"] = "none"
    return wishes
