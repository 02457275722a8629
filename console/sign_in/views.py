"""The sign-in page, the way to a provider, and the way back."""

import logging
from typing import Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render, resolve_url
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods
from mozilla_django_oidc.views import OIDCAuthenticationCallbackView, OIDCAuthenticationRequestView

from console.operator_site import is_operators
from console.sign_in import answers
from console.sign_in.backend import ProviderBackend
from console.sign_in.flows import Flow, Purpose, safe_path, start, take
from console.sign_in.middleware import NEXT_CHECK, put_off
from console.sign_in.sessions import ASKED_TENANT, ID_TOKEN, TRIAL, current_sign_in, open_session
from identity import providers, sign_ins
from identity.errors import Conflict, NotFound, SignInRefused
from identity.id_tokens import TokenRefused
from identity.models import IdentityProvider, Person, ProviderVersion, SignIn
from identity.oidc_client import CodeRefused
from identity.oidc_discovery import ProviderAway, ProviderTrouble
from identity.tenants import is_tenant

logger = logging.getLogger("beffroi.sign_in")

# What a provider answers where it would have to ask the person something (OpenID Connect Core 3.1.2.6).
_NEEDS_THE_PERSON = frozenset(
    {"login_required", "interaction_required", "consent_required", "account_selection_required"}
)
_NOT_NOW = frozenset({"temporarily_unavailable", "server_error"})


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in_page(request: HttpRequest) -> HttpResponse:
    """Asks for the e-mail address, which says through which provider; offers the shared one. Not to operators."""
    after = safe_path(request.POST.get("next") or request.GET.get("next") or resolve_url("front"))
    if is_operators(request):
        return _operators_page(request, after)
    if request.method == "POST":
        email = request.POST.get("email", "").strip()[:254]
        version = providers.version_for_email(email)
        if version is not None:
            return _onwards(request, version, after, email)
    shared = providers.shared_version()
    shown = {
        "next": after,
        "query": f"?{urlencode({'next': after})}" if after != "/" else "",
        "shared": shared,
        "any_provider": shared is not None or providers.has_tenants_provider(),
        "unknown": request.method == "POST",
    }
    return render(request, "console/sign_in/page.html", shown)


@never_cache
@require_GET
def tenant_sign_in(request: HttpRequest, slug: str) -> HttpResponse:
    """A tenant's link: through its own provider, else the shared one. A slug that is none looks like the latter."""
    # Another word in an address is kept nowhere (I5); a cookie comes either way, so that it tells nothing.
    request.session[ASKED_TENANT] = slug if is_tenant(slug) else ""
    version = providers.version_for_tenant(slug) or providers.shared_version()
    query = urlencode({"next": resolve_url("overview", slug=slug)})
    if version is None:
        return redirect(f"{resolve_url('sign-in')}?{query}")
    return redirect(f"{resolve_url('sign-in-with', handle=version.provider.handle)}?{query}")


class SignInWithView(OIDCAuthenticationRequestView):  # type: ignore[misc]
    """Sends the browser to a provider."""

    def __init__(self, **options: Any) -> None:
        super(OIDCAuthenticationRequestView, self).__init__(**options)

    @method_decorator(never_cache)
    def get(self, request: HttpRequest, handle: str) -> HttpResponse:
        """A redirect with state, nonce and PKCE challenge."""
        version = providers.version_by_handle(handle)
        if version is None or not _leads_here(request, version):
            return redirect("sign-in")
        try:
            after = request.GET.get("next", resolve_url("front"))
            return HttpResponseRedirect(start(request, version, purpose=Purpose.SIGN_IN, next_path=after))
        except ProviderTrouble as trouble:
            return _trouble(request, trouble)


class CallbackView(OIDCAuthenticationCallbackView):  # type: ignore[misc]
    """Where a provider sends the browser back to."""

    @method_decorator(never_cache)
    def get(self, request: HttpRequest, handle: str) -> HttpResponse:
        """Signs in, or says why not. The state is used up whatever comes of it."""
        flow = take(request.session, request.GET.get("state", ""))
        if flow is None:
            return answers.broken_off(request, "state")
        try:
            version = providers.version_by_id(flow.version_id)
        except NotFound:
            return answers.broken_off(request, "version")
        if not _leads_here(request, version):
            return answers.broken_off(request, "another_console")
        if version.provider.handle != handle or request.GET.get("iss", version.issuer) != version.issuer:
            return answers.broken_off(request, "another_provider")  # RFC 9207
        if "code" not in request.GET:
            return _without_code(request, flow)
        try:
            return _arrived(request, flow, version)
        except SignInRefused as refusal:
            return answers.refused(request, refusal.reason)
        except (TokenRefused, CodeRefused) as error:
            return answers.broken_off(request, error.code[:40])
        except ProviderTrouble as trouble:
            return _trouble(request, trouble)


def _operators_page(request: HttpRequest, after: str) -> HttpResponse:
    """Operators come in through their own provider, or by breaking the glass."""
    shown = {"next": after, "query": f"?{urlencode({'next': after})}", "operators": providers.operators_version()}
    return render(request, "console/operator/sign_in.html", shown)


def _leads_here(request: HttpRequest, version: ProviderVersion) -> bool:
    """Whether the provider is one of this console's: the operators' vouches for nobody elsewhere, and the reverse."""
    return (version.provider.audience == IdentityProvider.Audience.OPERATORS) == is_operators(request)


def _onwards(request: HttpRequest, version: ProviderVersion, after: str, email: str) -> HttpResponse:
    """A page that leads on by itself: browsers hold a form's redirects to `form-action 'self'` too."""
    try:
        address = start(request, version, purpose=Purpose.SIGN_IN, next_path=after, login_hint=email)
    except ProviderTrouble as trouble:
        return _trouble(request, trouble)
    return render(request, "console/sign_in/onwards.html", {"address": address, "name": version.provider.name})


def _arrived(request: HttpRequest, flow: Flow, version: ProviderVersion) -> HttpResponse:
    backend = ProviderBackend()
    credentials = {"version": version, "nonce": flow.nonce, "code_verifier": flow.code_verifier}
    if flow.purpose == Purpose.TRIAL:
        return _tried(request, flow, backend, credentials)
    if version.state != ProviderVersion.State.ACTIVE:
        return answers.broken_off(request, "version")
    person = backend.authenticate(request, **credentials)
    assert person is not None
    backend.apply_groups(person)
    backend.accept_invitations(person)
    before = current_sign_in(request)
    is_the_same = before is not None and before.person_id == person.pk and before.provider_id == version.provider_id
    if flow.purpose == Purpose.CHECK and before is not None and is_the_same:
        sign_ins.mark_checked(before, backend.claims, timezone.now())
        request.session.pop(NEXT_CHECK, None)
    else:
        door = SignIn.Door.PROVIDER
        open_session(request, person, door, provider=version.provider, claims=backend.claims)
    request.session[ID_TOKEN] = backend.id_token
    return redirect(flow.next)


def _tried(request: HttpRequest, flow: Flow, backend: ProviderBackend, credentials: dict[str, Any]) -> HttpResponse:
    """Whoever prepared the settings must be the one whom the provider vouches for; else nothing of it stays."""
    author = request.user
    version: ProviderVersion = credentials["version"]
    if not isinstance(author, Person):
        return answers.broken_off(request, "nobody_tries")
    outcome: dict[str, Any] = {"version": version.pk}
    try:
        with transaction.atomic():
            person = backend.authenticate(request, **credentials)
            if person is None or person.pk != author.pk:
                raise Conflict("somebody else")
            providers.mark_tried(version, person=author, now=timezone.now())
        claims = backend.claims
        groups = sorted(claims.groups)[:50]
        outcome |= {
            "outcome": "good",
            "email": claims.email,
            "groups": groups,
            "mfa": claims.mfa_seen,
            "acr": claims.acr,
        }
    except SignInRefused as refusal:
        outcome |= {"outcome": refusal.reason.value, "email": backend.claims.email}
    except Conflict:
        outcome |= {"outcome": "somebody_else", "email": backend.claims.email}
    except (TokenRefused, CodeRefused, ProviderTrouble) as trouble:
        logger.warning("a provider's trial did not hold: %s", trouble.code[:40])
        outcome |= {"outcome": "broken", "code": trouble.code[:40]}
    request.session[TRIAL] = outcome
    return redirect(flow.next)


def _without_code(request: HttpRequest, flow: Flow) -> HttpResponse:
    """The provider said no, or, at a silent check, that it would have to ask."""
    error = request.GET.get("error", "")
    if flow.purpose == Purpose.TRIAL:
        request.session[TRIAL] = {"version": flow.version_id, "outcome": "cancelled", "code": error[:40]}
        return redirect(flow.next)
    if flow.purpose != Purpose.CHECK:
        return answers.away(request, error) if error in _NOT_NOW else answers.cancelled(request)
    sign_in = current_sign_in(request)
    if sign_in is None or error in _NOT_NOW:
        put_off(request)
        return redirect(flow.next)
    reason = "provider_asks" if error in _NEEDS_THE_PERSON else "provider_refused"
    sign_ins.end(sign_in, reason=reason, now=timezone.now())
    request.session.flush()
    return redirect(f"{resolve_url('sign-in')}?{urlencode({'next': flow.next})}")


def _trouble(request: HttpRequest, trouble: ProviderTrouble) -> HttpResponse:
    if isinstance(trouble, ProviderAway):
        return answers.away(request, trouble.code)
    return answers.misconfigured(request, trouble.code)
