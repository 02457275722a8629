"""Signing in by a one-time link, for the demo and the first operator."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from console.operator_site import is_operators
from console.sign_in.sessions import open_session
from identity.client_address import parse_address
from identity.models import Person, SignIn
from identity.sign_in_links import redeem

# What proxies between the browser and us say of themselves; the gateway adds the last of them wherever it saw one.
_FORWARDING = ("Forwarded", "X-Real-IP", "X-Forwarded-Host", "X-Beffroi-Forwarded")


@never_cache
@require_GET
def sign_in(request: HttpRequest, secret: str) -> HttpResponse:
    """Sign in who holds the link, once, from this machine only. A link that does not work says nothing about why.

    Always a redirect: neither the address bar nor a log of errors keeps the secret.
    """
    person = redeem(secret, now=timezone.now()) if _is_from_this_machine(request) else None
    if person is not None and person.is_operator == is_operators(request):
        open_session(request, person, SignIn.Door.LINK)
        return redirect("front")
    if isinstance(request.user, Person):
        return redirect("front")
    return redirect("sign-in-refused")


@require_GET
def sign_in_refused(request: HttpRequest) -> HttpResponse:
    """What a link opens that does not work."""
    return render(request, "sign_in_refused.html", status=403)


def _is_from_this_machine(request: HttpRequest) -> bool:
    """Whether the other end is this machine itself, with nobody in between but our gateway, which names its peer."""
    hops = request.headers.get("X-Forwarded-For", "")
    if "," in hops or any(name in request.headers for name in _FORWARDING):
        return False
    ends = [parse_address(text) for text in (request.META.get("REMOTE_ADDR", ""), hops) if text]
    return bool(ends) and all(end is not None and end.is_loopback for end in ends)
