"""What every resource of the API has in common: keys open it, JSON in and out, problems as errors."""

from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any

from rest_framework import exceptions
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser, JSONParser
from rest_framework.permissions import BasePermission
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from gateway.api import problems
from gateway.api.authentication import ApiKeyAuthentication
from identity.access import Caller
from identity.models import ApiKey

# Bytes of a request. The largest sensible one is a key with 200 models, 64 networks and 32 origins: some 60 kB.
BODY_BYTES_MAX = 256 * 1024


class BodyTooLarge(exceptions.APIException):
    """413."""

    status_code = 413
    default_detail = f"A request has at most {BODY_BYTES_MAX} bytes."
    default_code = "body_too_large"


class BoundedJsonParser(JSONParser):
    """JSON of at most `BODY_BYTES_MAX`."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        """The JSON value; raises ParseError, BodyTooLarge."""
        body = stream.read(BODY_BYTES_MAX + 1)
        if len(body) > BODY_BYTES_MAX:
            raise BodyTooLarge
        try:
            return super().parse(BytesIO(body), media_type, parser_context)
        except RecursionError:
            raise exceptions.ParseError("JSON parse error - nested too deeply") from None


class AlwaysFirst(BaseContentNegotiation):
    """Answers in the API's one form, whatever the client accepts: an error in JSON serves it better than a 406."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        """The parser for the request's content type, None where there is none."""
        kind = (request.content_type or "").partition(";")[0].strip().lower()
        return next((parser for parser in parsers if parser.media_type == kind), None)

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """The first."""
        first = next(iter(renderers))
        return first, first.media_type


class HasCaller(BasePermission):
    """Somebody was authenticated. What they may do, the access funnel decides."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """False: 401."""
        return request.auth is not None


class ApiView(APIView):
    """The base of all resources."""

    authentication_classes = [ApiKeyAuthentication]
    permission_classes = [HasCaller]
    renderer_classes = [JSONRenderer]
    parser_classes = [BoundedJsonParser]
    content_negotiation_class: type[BaseContentNegotiation] = AlwaysFirst
    throttle_classes = []
    metadata_class = None

    def get_exception_handler(self) -> Callable[[Exception, dict[str, Any]], Response | None]:
        """Errors are problems."""
        return problems.answer

    @staticmethod
    def caller(request: Request) -> Caller:
        """Who asks."""
        assert isinstance(request.auth, Caller)
        return request.auth

    def key(self, request: Request) -> ApiKey:
        """The key that asks."""
        key = self.caller(request).key
        assert key is not None
        return key


class NowhereView(ApiView):
    """Every address under /api/ that there is not: 404 for everybody, so that an address tells nobody anything."""

    authentication_classes = []
    permission_classes = []

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Before the method is looked at: an address that is not there has no methods."""
        raise exceptions.NotFound("There is no such address.")
