"""Who listens on a socket, and whether they still may: asked at the start and again every so often."""

from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from billing.usage.records import Reader, reader_of_member
from console.operator_site import COOKIE as OPERATORS_COOKIE
from console.operator_site import answers_on
from console.sign_in.sessions import person_of
from identity import access
from identity.errors import IdentityError


@dataclass(frozen=True, slots=True)
class Audience:
    """A person who looks at a tenant, and what of it they may know."""

    person_id: int
    reader: Reader


@dataclass(frozen=True, slots=True)
class Refused:
    """Why nobody may listen: the code that the socket is closed with."""

    code: int


# As close codes of a socket (RFC 6455, 7.4.2: 4000 to 4999 are an application's). static/beffroi/live.js knows them.
SIGNED_OUT = Refused(4401)
NO_MEMBER = Refused(4404)
TOO_MANY = Refused(4429)


def audience(session_key: str, slug: str, *, of_operators: bool = False) -> Audience | Refused:
    """Who holds that session, as a member of the tenant: read anew each time, as nothing else would notice an end."""
    person = person_of(import_module(settings.SESSION_ENGINE).SessionStore(session_key))
    if person is None or person.is_operator != of_operators:
        return SIGNED_OUT
    try:
        caller = access.caller_for_person(person, slug)
        return Audience(person.pk, reader_of_member(caller))
    except IdentityError:
        return NO_MEMBER


def session_key_of(headers: list[tuple[bytes, bytes]], *, of_operators: bool = False) -> str:
    """The session's key among a handshake's cookies; "" without one."""
    cookies: SimpleCookie = SimpleCookie()
    try:
        cookies.load("; ".join(value.decode("latin-1") for name, value in headers if name == b"cookie"))
    except CookieError:
        return ""
    found = cookies.get(OPERATORS_COOKIE if of_operators else settings.SESSION_COOKIE_NAME)
    return found.value if found else ""


def is_own_origin(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether a page of ours asks: browsers send their cookies along with another site's sockets too (RFC 6455, 10.2).

    Scheme aside, the origin is the host that was asked, or the installation's public address. A handshake without an
    origin is no browser's.
    """
    given: dict[bytes, Any] = dict(headers)
    origin = urlsplit(given.get(b"origin", b"").decode("latin-1"))
    if origin.scheme not in ("http", "https") or not origin.netloc:
        return False
    host = given.get(b"host", b"").decode("latin-1")
    ours = {urlsplit(url)[:2] for url in (settings.PUBLIC_URL, settings.OPERATOR_URL)}
    is_asked = origin.netloc == host and origin.hostname in settings.ALLOWED_HOSTS
    return is_asked or (origin.scheme, origin.netloc) in ours


def is_served_here(headers: list[tuple[bytes, bytes]], path: str) -> bool:
    """Whether the path may be asked for at this host: the operator's console may have one of its own."""
    given: dict[bytes, Any] = dict(headers)
    return answers_on(given.get(b"host", b"").decode("latin-1"), path)
