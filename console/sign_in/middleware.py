"""Who asks, at every request; and, now and then, whether the provider still vouches for them."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.utils import timezone
from django.utils.functional import SimpleLazyObject
from mozilla_django_oidc.middleware import SessionRefresh

from console.operator_site import page_path
from console.sign_in.flows import Purpose, start
from console.sign_in.sessions import current_sign_in
from identity.models import Person, SignIn
from identity.oidc_discovery import ProviderTrouble
from identity.providers import active_version
from identity.sign_ins import mark_seen

RETRY = timedelta(minutes=5)  # after the provider was away: its outage must not stop who is at work
NEXT_CHECK = "next_check"
# A part of a page asks by itself (hx-headers in the template): nobody needs to be there, so the session may still end.
UNATTENDED = "X-Beffroi-Unattended"
_SPARED = ("/api/", "/scim/", "/oidc/", "/sign-in", "/sign-out", "/break-glass", "/static/")


class SignedInMiddleware(AuthenticationMiddleware):
    """`request.user` is the person of an open sign-in, or nobody: a session alone opens nothing."""

    def process_request(self, request: HttpRequest) -> None:
        """Looked up when somebody asks, in one query."""
        request.user = SimpleLazyObject(lambda: _user_of(request))  # type: ignore[assignment]


class SilentCheckMiddleware(SessionRefresh):  # type: ignore[misc]
    """Sends a browser that opens a page by way of its provider, without a word (`prompt=none`), once an hour.

    Spared: htmx, scripts, sockets, forms and the API, which could not follow. Whom the provider does not know any more
    signs in again.
    """

    def __init__(self, get_response: Any) -> None:
        super(SessionRefresh, self).__init__(get_response)

    def is_refreshable_url(self, request: HttpRequest) -> bool:
        """Whether a person opens a page with it."""
        return (
            request.method == "GET"
            and not page_path(request.path).startswith(_SPARED)
            and "HX-Request" not in request.headers
            and "Upgrade" not in request.headers
            and request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate"
        )

    def process_request(self, request: HttpRequest) -> HttpResponseBase | None:
        """A redirect where a check is due and the provider is there."""
        if not settings.SESSION_CHECK or not self.is_refreshable_url(request):
            return None
        sign_in = current_sign_in(request)
        if sign_in is None or not _is_due(request, sign_in):
            return None
        assert sign_in.provider is not None
        version = active_version(sign_in.provider)
        try:
            if version is not None:
                here = request.get_full_path()
                return HttpResponseRedirect(start(request, version, purpose=Purpose.CHECK, next_path=here))
        except ProviderTrouble:
            put_off(request)
        return None


def put_off(request: HttpRequest) -> None:
    """Check again a little later."""
    request.session[NEXT_CHECK] = (timezone.now() + RETRY).timestamp()


def _user_of(request: HttpRequest) -> Person | AnonymousUser:
    sign_in = current_sign_in(request)
    if sign_in is None:
        return AnonymousUser()
    if not request.headers.get(UNATTENDED):
        mark_seen(sign_in, timezone.now())
    return sign_in.person


def _is_due(request: HttpRequest, sign_in: SignIn) -> bool:
    now = timezone.now()
    if sign_in.provider is None or now - sign_in.checked_at < settings.SESSION_CHECK:
        return False
    return float(request.session.get(NEXT_CHECK, 0)) <= now.timestamp()
