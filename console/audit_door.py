"""Tells the audit chain through which door a request came in, and from which address."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from gateway.api.authentication import address_of
from identity.audit_context import Door, through

# The first that an address begins with; every other address is a page.
_DOORS = (
    ("/api/", Door.API),
    ("/scim/", Door.SCIM),
    ("/sign-in", Door.SIGN_IN),
    ("/oidc/", Door.SIGN_IN),
)


class AuditDoor:
    """Middleware. A view that is another door than its address says opens that one itself: `audit_context.through`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """The answer, everything recorded on the way told of this door."""
        with through(_door_of(request.path), address_of(request)):
            return self._get_response(request)


def _door_of(path: str) -> Door:
    return next((door for prefix, door in _DOORS if path.startswith(prefix)), Door.PAGE)
