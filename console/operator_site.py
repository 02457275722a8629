"""The operator's console: the same house, another door. Its addresses begin with `/operator/`, its cookies with
`beffroi_operator`, and where BEFFROI_OPERATOR_URL is set it answers on that host only (SecNumCloud 3.2, 9.6).

A browser keeps both consoles apart: a session of the one opens nothing in the other (`sign_in/sessions.py`).
"""

from collections.abc import Callable
from http.cookies import SimpleCookie

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect

from identity.origins import own_host

PREFIX = "/operator/"
API_PREFIX = "/api/operator/"
URLS = "console.operator_urls"
COOKIE = "beffroi_operator"
# What pages of the operator's host need beside it.
_EVERYWHERE = ("/static/", "/health/")


def is_operators(request: HttpRequest) -> bool:
    """Whether the request is for the operator's console."""
    return request.path.startswith(PREFIX)


def page_path(path: str) -> str:
    """The path without the operator's prefix: what both consoles have in common has the same name behind it."""
    return path.removeprefix(PREFIX[:-1]) if path.startswith(PREFIX) else path


def console_url(*, of_operators: bool) -> str:
    """Scheme and host of a console, without a slash at its end."""
    url: str = settings.OPERATOR_URL if of_operators else settings.PUBLIC_URL
    return url


def bound_host() -> str:
    """The host that the operator's console has for itself, as a `Host` header names it; "" where it has none."""
    return own_host(settings.OPERATOR_URL, settings.PUBLIC_URL)


def answers_on(host: str, path: str) -> bool:
    """Whether a path may be answered at this host (as in the `Host` header)."""
    theirs = bound_host()
    if not theirs or path.startswith(_EVERYWHERE):
        return True
    return path.startswith((PREFIX, API_PREFIX)) == (host.lower() == theirs)


def sign_in_link(base_url: str, secret: str, *, of_operators: bool) -> str:
    """The address of a one-time link. `base_url`: where this machine's gateways are reached."""
    if not of_operators:
        return f"{base_url}/sign-in/{secret}"
    return f"{settings.OPERATOR_URL if bound_host() else base_url}{PREFIX}sign-in/{secret}"


class OperatorSite:
    """Middleware: the host, the addresses and the cookies of the operator's console.

    In it, a cookie is known by its usual name and travels as `beffroi_operator...`, for `/operator/` only.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """The answer; 404 on the wrong host."""
        theirs = bound_host()
        if theirs and not answers_on(host := request.get_host(), request.path):
            if request.path == "/" and host.lower() == theirs:
                return HttpResponseRedirect(PREFIX)
            raise Http404
        if not is_operators(request):
            return self._get_response(request)
        request.urlconf = URLS
        request.COOKIES = _known(request.COOKIES)
        response = self._get_response(request)
        response.cookies = _theirs(response.cookies)
        return response


def _travels_as(name: str) -> str:
    return COOKIE if name == settings.SESSION_COOKIE_NAME else f"{COOKIE}_{name}"


def _known(cookies: dict[str, str]) -> dict[str, str]:
    """The operator's cookies under their usual names, and no others."""
    theirs = {
        name.removeprefix(f"{COOKIE}_"): value for name, value in cookies.items() if name.startswith(f"{COOKIE}_")
    }
    return theirs | ({settings.SESSION_COOKIE_NAME: cookies[COOKIE]} if COOKIE in cookies else {})


def _theirs(cookies: SimpleCookie) -> SimpleCookie:
    renamed: SimpleCookie = SimpleCookie()
    for name, morsel in cookies.items():
        key = _travels_as(name)
        renamed[key] = morsel.value
        renamed[key].update(morsel)
        renamed[key]["path"] = PREFIX
        renamed[key]["secure"] = morsel["secure"] or settings.OPERATOR_URL.startswith("https://")
    return renamed
