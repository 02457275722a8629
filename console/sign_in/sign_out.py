"""Signing out: here, at the provider (OpenID Connect RP-Initiated Logout 1.0), and when the provider says so
(Back-Channel Logout 1.0).
"""

import logging
from urllib.parse import urlencode

from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render, resolve_url
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST
from mozilla_django_oidc.views import OIDCLogoutView

from console.operator_site import console_url
from console.sign_in.sessions import ID_TOKEN, current_sign_in
from identity import providers, sign_ins
from identity.id_tokens import TokenRefused, verify_logout_token
from identity.models import IdentityProvider, SignIn
from identity.oidc_discovery import ProviderTrouble, discover

logger = logging.getLogger("beffroi.sign_in")


class SignOutView(OIDCLogoutView):  # type: ignore[misc]
    """Ends the session here, then sends the browser on to end the provider's, where it has a sign-out."""

    http_method_names = ["post"]

    @method_decorator(never_cache)
    def post(self, request: HttpRequest) -> HttpResponse:
        """A page that leads on by itself: browsers hold a form's redirects to `form-action 'self'` too."""
        sign_in = current_sign_in(request)
        id_token = str(request.session.get(ID_TOKEN, ""))
        if sign_in is not None:
            sign_ins.end(sign_in, reason="signed_out", now=timezone.now())
        logout(request)
        address = _sign_out_address(sign_in, id_token)
        if not address or sign_in is None or sign_in.provider is None:
            return redirect("signed-out")
        shown = {"address": address, "name": sign_in.provider.name, "is_sign_out": True}
        return render(request, "console/sign_in/onwards.html", shown)


@never_cache
@require_GET
def signed_out(request: HttpRequest) -> HttpResponse:
    """Says that it is done."""
    return render(request, "console/sign_in/signed_out.html")


@csrf_exempt
@require_POST
def back_channel(request: HttpRequest, handle: str) -> HttpResponse:
    """A provider says that a session, or all of somebody's, is over. 200, or 400 where the token does not hold."""
    answer = HttpResponse(status=200 if _ended_by_provider(request, handle) else 400)
    answer["Cache-Control"] = "no-store"
    return answer


def _ended_by_provider(request: HttpRequest, handle: str) -> bool:
    version, token = providers.version_by_handle(handle), request.POST.get("logout_token", "")
    if version is None or not token:
        return False
    now = timezone.now()
    try:
        provider = discover(version.issuer)
        sid, subject = verify_logout_token(token, provider=provider, client_id=version.client_id, now=now)
    except (TokenRefused, ProviderTrouble) as error:
        logger.warning("a logout token did not hold: %s", error.code)
        return False
    sign_ins.end_by_provider(version.provider, sid=sid, subject=subject, now=now)
    return True


def _sign_out_address(sign_in: SignIn | None, id_token: str) -> str:
    """The provider's sign-out, with a hint whose session it is; "" where there is none, or it does not answer."""
    if sign_in is None or sign_in.provider is None or not id_token:
        return ""
    version = providers.active_version(sign_in.provider)
    try:
        endpoint = discover(version.issuer).end_session_endpoint if version else ""
    except ProviderTrouble:
        return ""
    if not endpoint or version is None:
        return ""
    of_operators = version.provider.audience == IdentityProvider.Audience.OPERATORS
    asked = {
        "id_token_hint": id_token,
        "client_id": version.client_id,
        "post_logout_redirect_uri": f"{console_url(of_operators=of_operators)}{resolve_url('signed-out')}",
    }
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(asked)}"
