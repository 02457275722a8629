"""What every resource of `/api/operator/` has in common: an operator's key opens it, with the scope of its noun.

    class TiersView(OperatorApiView):
        noun = "tiers"          # GET needs `tiers:read`, any other method `tiers:write`
        def get(self, request: Request) -> Response:
            tiers_for(self.operator(request)) ...

Its addresses are in `gateway/api/operator/urls.py`. A key of an organisation gets 401 here, an operator's key 401
everywhere else.
"""

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from django.db.models import Model, QuerySet
from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request
from rest_framework.response import Response

from gateway.api import problems
from gateway.api.authentication import CHALLENGE, foreign_origin
from gateway.api.problems import problem
from gateway.api.queries import PageQuery, next_address, parameters
from gateway.api.view import ApiView
from identity.errors import Forbidden, KeyRefused, NotFound, Refusal
from identity.models import Tenant
from identity.operator_keys import authenticate_operator_key
from identity.operators import Operator, operator_for_key
from identity.permissions import OPERATOR_SCOPE_PERMISSIONS
from identity.scopes import OperatorScope

Row = TypeVar("Row", bound=Model)


class OperatorKeyAuthentication(BaseAuthentication):
    """Gives the request's `auth` an `Operator`. Raises `KeyRefused`."""

    def authenticate(self, request: Request) -> tuple[None, Operator] | None:
        """None where the request has no credentials at all."""
        header = request.headers.get("Authorization", "")
        if not header:
            return None
        scheme, _, text = header.partition(" ")
        if scheme.lower() != "bearer":
            raise KeyRefused(Refusal.MALFORMED)
        if foreign_origin(request) is not None:
            raise KeyRefused(Refusal.ORIGIN)
        return None, operator_for_key(authenticate_operator_key(text.strip(), now=timezone.now()))

    def authenticate_header(self, request: Request) -> str:
        """What a 401 asks for."""
        return CHALLENGE


class OperatorKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How `OperatorKeyAuthentication` is described."""

    target_class = "gateway.api.operator.view.OperatorKeyAuthentication"
    name = "operatorKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """A bearer key."""
        return {"type": "http", "scheme": "bearer", "description": "An operator's key: `bfo_...`"}


class OperatorApiView(ApiView):
    """The base of all resources of the operator's API. `noun` is that of the scopes; None: any key may ask."""

    authentication_classes = [OperatorKeyAuthentication]
    noun: ClassVar[str | None]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Before the method: the key has the scope."""
        super().initial(request, *args, **kwargs)
        if self.noun is not None:
            self.require_scope(request, "read" if request.method in ("GET", "HEAD") else "write")

    def require_scope(self, request: Request, power: str) -> None:
        """Raises `Forbidden` where the key may not read, or write, what the view is about."""
        scope = OperatorScope(f"{self.noun}:{power}")
        if scope not in self.operator(request).scopes:
            raise Forbidden(scope.value)

    @staticmethod
    def operator(request: Request) -> Operator:
        """Who asks."""
        assert isinstance(request.auth, Operator)
        return request.auth

    def get_exception_handler(self) -> Callable[[Exception, dict[str, Any]], Response | None]:
        """Errors are problems that speak of operator's keys."""
        return _answer


def tenant_of(external_id: str) -> Tenant:
    """The tenant that the operator's own systems call so. Raises `NotFound`, also for one that is closed."""
    found = Tenant.objects.filter(external_id=external_id, is_platform=False, closed_at=None).first()
    if found is None:
        raise NotFound("tenant")
    return found


def page_of(
    request: Request,
    rows: QuerySet[Row],
    shown: Callable[[list[Row]], Any],
    by: str = "pk",
    query: type[PageQuery] = PageQuery,
) -> Response:
    """A page of the rows as `shown` shows them, which are in the order of `by`, an id. Raises ValidationError.

    query: what else the address may ask for; the rows are chosen by it already
    """
    given = parameters(query, request)
    found = list(rows.filter(**{f"{by}__gt": given.get("cursor", 0)})[: given["limit"] + 1])
    page = found[: given["limit"]]
    following = getattr(page[-1], by) if len(found) > len(page) else None
    return Response({"results": shown(page), "next": next_address(request, following)})


def _answer(error: Exception, context: dict[str, Any]) -> Response:
    match error:
        case Forbidden():
            return problem(403, "scope_missing", f"This needs an operator's key with the scope `{_scope_for(error)}`.")
        case exceptions.NotAuthenticated():
            return problem(401, "no_api_key", "Send an operator's key: `Authorization: Bearer bfo_...`.")
    answer = problems.answer(error, context)
    if isinstance(error, KeyRefused):
        answer.data["detail"] = answer.data["detail"].replace("API key", "operator's key")
    return answer


def _scope_for(error: Forbidden) -> str:
    """What is missing is a scope, or a permission that some scope gives."""
    missing = str(error)
    scopes = (scope for scope, given in OPERATOR_SCOPE_PERMISSIONS.items() if missing in given)
    return next((scope.value for scope in scopes), missing) if missing not in set(OperatorScope) else missing
