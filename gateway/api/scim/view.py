"""What every resource of SCIM has in common: a token of the tenant opens it, and SCIM's own JSON goes in and out.

None of it is in the description of /api: it has a description of its own (`discovery.py`), made by its standard.
"""

from collections.abc import Callable
from typing import Any

from django.utils import timezone
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.permissions import BasePermission
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from gateway.api.authentication import note_refused
from gateway.api.scim.answers import CHALLENGE, answer
from gateway.api.scim.rate import TokenThrottle
from gateway.api.view import AlwaysFirst, BoundedJsonParser
from identity.audit import Actor
from identity.models import ScimToken
from identity.scim_tokens import tenant_of_revoked, token_of
from identity.scim_users import COMPONENT

CONTENT_TYPE = "application/scim+json"


class ScimRenderer(JSONRenderer):
    """JSON under SCIM's name."""

    media_type = CONTENT_TYPE


class ScimParser(BoundedJsonParser):
    """The same in the other direction; plain JSON is taken as well, as the standard asks."""

    media_type = CONTENT_TYPE


class TokenAuthentication(BaseAuthentication):
    """Gives the request's `auth` the `ScimToken`, of the tenant that the address names and no other."""

    def authenticate(self, request: Request) -> tuple[None, ScimToken] | None:
        """None where there is no such token: 401, whatever the reason."""
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        slug = str(request.parser_context["kwargs"]["slug"])
        token = token_of(text.strip(), slug=slug, now=timezone.now())
        if token is not None:
            return None, token
        tenant = tenant_of_revoked(text.strip(), slug=slug)
        if tenant is not None:
            note_refused(request, Actor.system(COMPONENT), tenant)
        return None

    def authenticate_header(self, request: Request) -> str:
        """What a 401 asks for."""
        return CHALLENGE


class HasToken(BasePermission):
    """A token was found."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """False: 401."""
        return request.auth is not None


class ScimView(APIView):
    """The base of all resources."""

    authentication_classes = [TokenAuthentication]
    permission_classes = [HasToken]
    renderer_classes = [ScimRenderer]
    parser_classes = [ScimParser, BoundedJsonParser]
    content_negotiation_class: type[BaseContentNegotiation] = AlwaysFirst
    throttle_classes = [TokenThrottle]
    metadata_class = None
    schema = None

    def get_exception_handler(self) -> Callable[[Exception, dict[str, Any]], Response | None]:
        """Errors have SCIM's form."""
        return answer

    @staticmethod
    def token(request: Request) -> ScimToken:
        """Whose directory asks."""
        assert isinstance(request.auth, ScimToken)
        return request.auth


class NowhereView(ScimView):
    """Every address of the tenant's that there is not."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Before the method is looked at: an address that is not there has no methods."""
        super().initial(request, *args, **kwargs)
        raise exceptions.NotFound("There is no such address.")
