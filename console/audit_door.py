"""Tells the audit chain through which door a request came in, from which address, and what was refused."""

from collections.abc import Callable
from http import HTTPStatus

from django.core.exceptions import PermissionDenied
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse

from console.operator_site import page_path
from gateway.api.authentication import address_of
from identity.access import Caller
from identity.audit import Actor
from identity.audit_context import Door, through
from identity.audit_refusals import record_refusal
from identity.errors import Forbidden
from identity.models import Person, ScimToken, Tenant
from identity.scim_users import COMPONENT

# The first that an address begins with; every other address is a page.
_DOORS = (
    ("/api/", Door.API),
    ("/scim/", Door.SCIM),
    ("/sign-in", Door.SIGN_IN),
    ("/oidc/", Door.SIGN_IN),
)
_REFUSALS = (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND)


class AuditDoor:
    """Middleware. A view that is another door than its address says opens that one itself: `audit_context.through`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """The answer, everything recorded on the way told of this door."""
        with through(_door_of(page_path(request.path)), address_of(request)):
            response = self._get_response(request)
            # 401 only of a key or token that is known.
            if response.status_code in _REFUSALS or hasattr(request, "refused_as"):
                _tell_refusal(request, response)
            return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> None:
        """Remember which permission a page asked for in vain."""
        if isinstance(exception, PermissionDenied) and isinstance(exception.__cause__, Forbidden):
            request.lacks = str(exception.__cause__)  # type: ignore[attr-defined]


def _tell_refusal(request: HttpRequest, response: HttpResponse) -> None:
    """Only what a known person or key asked of a tenant: a wrong address is nobody's secret."""
    match = request.resolver_match
    if match is None or not match.url_name:
        return
    try:
        known = _who(request, of_tenant="slug" in match.kwargs)
    except DatabaseError:
        return
    if known is None:
        return
    lacks = getattr(request, "lacks", "") or str(getattr(response, "data", {}).get("code", ""))
    actor, tenant = known
    record_refusal(
        actor=actor,
        tenant=tenant,
        status=response.status_code,
        route=match.url_name,
        asked=match.kwargs,
        lacks=lacks,
    )


def _who(request: HttpRequest, *, of_tenant: bool) -> tuple[Actor, Tenant | None] | None:
    """Who asked, and in which tenant of theirs. A key's caller is left by the API, a member's by `console.pages`, who
    was not let in by `gateway.api.authentication.note_refused`.
    """
    refused_as: tuple[Actor, Tenant] | None = getattr(request, "refused_as", None)
    if refused_as is not None:
        return refused_as
    caller = getattr(request, "auth", None) or getattr(request, "caller", None)
    if isinstance(caller, Caller):
        return caller.actor, caller.tenant
    if isinstance(caller, ScimToken):
        return Actor.system(COMPONENT), caller.tenant
    if of_tenant and isinstance(request.user, Person):
        return Actor.person(request.user), None
    return None


def _door_of(path: str) -> Door:
    return next((door for prefix, door in _DOORS if path.startswith(prefix)), Door.PAGE)
