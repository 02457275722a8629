"""`/Users` and `/Users/<id>`; the id is the person's pseudonym."""

from uuid import UUID

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from gateway.api.scim.answers import listed
from gateway.api.scim.filters import filtered, page_of, parameters_of, selected
from gateway.api.scim.patch import patched
from gateway.api.scim.resources import location_of, resource_of, user_of_body
from gateway.api.scim.view import ScimView
from identity.models import ScimToken, ScimUser
from identity.scim_users import Change, change_user, create_user, delete_user, user_of, users_of


class UsersView(ScimView):
    """Whom the directory knows here."""

    def get(self, request: Request, slug: str) -> Response:
        """A page of them, filtered or not."""
        return _found(self.token(request), request.query_params.dict())

    def post(self, request: Request, slug: str) -> Response:
        """A new one."""
        user = user_of_body(request.data)
        return _answer(request, create_user(token=self.token(request), user=user, now=timezone.now()), 201)


class SearchView(ScimView):
    """`/.search` and `/Users/.search`: the same question as a body, so that no address is in an address (RFC 7644,
    3.4.3).
    """

    def post(self, request: Request, slug: str) -> Response:
        """A page of users."""
        return _found(self.token(request), parameters_of(request.data))


class UserView(ScimView):
    """One of them."""

    def get(self, request: Request, slug: str, pseudonym: UUID) -> Response:
        """As it is."""
        return _answer(request, user_of(self.token(request).tenant, pseudonym))

    def put(self, request: Request, slug: str, pseudonym: UUID) -> Response:
        """Replaced."""
        body = request.data
        return self._changed(request, pseudonym, lambda known: user_of_body(body, known))

    def patch(self, request: Request, slug: str, pseudonym: UUID) -> Response:
        """Changed in places."""
        body = request.data
        return self._changed(request, pseudonym, lambda known: patched(known, body))

    def delete(self, request: Request, slug: str, pseudonym: UUID) -> Response:
        """Deactivated, and not known here any more."""
        delete_user(token=self.token(request), pseudonym=pseudonym, now=timezone.now())
        return Response(status=204)

    def _changed(self, request: Request, pseudonym: UUID, change: Change) -> Response:
        token = self.token(request)
        return _answer(request, change_user(token=token, pseudonym=pseudonym, change=change, now=timezone.now()))


def _found(token: ScimToken, parameters: dict[str, str]) -> Response:
    users = filtered(users_of(token.tenant).select_related("tenant"), parameters.get("filter"))
    start, count = page_of(parameters)
    page = users[start - 1 : start - 1 + count]
    return listed([selected(resource_of(user), parameters) for user in page], total=users.count(), start=start)


def _answer(request: Request, row: ScimUser, status: int = 200) -> Response:
    shown = selected(resource_of(row), request.query_params.dict())
    return Response(shown, status=status, headers={"Location": location_of(row)})
