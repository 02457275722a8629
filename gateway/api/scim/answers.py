"""Errors and lists in SCIM's form (RFC 7644, 3.4.2 and 3.12)."""

import logging
import math
from typing import Any

from django.db import InterfaceError, OperationalError
from rest_framework import exceptions
from rest_framework.response import Response

from identity import errors
from identity.scim_users import NotTheDirectorys, NotUnique

logger = logging.getLogger("beffroi.scim")

ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"
LIST = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
CHALLENGE = 'Bearer realm="scim"'


class ScimError(exceptions.APIException):
    """400 with one of the standard's `scimType`s (RFC 7644, table 9)."""

    status_code = 400

    def __init__(self, scim_type: str, detail: str) -> None:
        super().__init__(detail)
        self.scim_type = scim_type


def answer(error: Exception, context: dict[str, Any]) -> Response:
    """The answer to an exception of a view. What nobody foresaw is logged, without the request, and becomes a 500."""
    match error:
        case errors.IdentityError():
            return _of_identity(error)
        case ScimError():
            return refusal(400, str(error.detail), error.scim_type)
        case exceptions.ParseError():
            return refusal(400, str(error.detail), "invalidSyntax")
        case exceptions.NotAuthenticated():
            return refusal(401, "Send a token of this organisation's settings: Authorization: Bearer ...")
        case exceptions.Throttled():
            busy = refusal(429, "This token asks too often. Try again in a moment.")
            busy["Retry-After"] = str(math.ceil(getattr(error, "wait", None) or 1))
            return busy
        case exceptions.APIException():
            return refusal(error.status_code, str(error.detail))
        case OperationalError() | InterfaceError():
            logger.warning("%s: the database is away", type(context["view"]).__name__)
            away = refusal(503, "The database is away for a moment. Try again shortly.")
            away["Retry-After"] = "5"
            return away
    logger.error("%s failed", type(context["view"]).__name__, exc_info=error)
    return refusal(500, "Something went wrong on our side.")


def _of_identity(error: errors.IdentityError) -> Response:
    match error:
        case errors.Invalid():
            return refusal(400, f"{error.field}: {error.message}", "invalidValue")
        case errors.NotFound():
            return refusal(404, "There is no such resource.")
        case errors.Forbidden():
            return refusal(403, str(error))
        case NotTheDirectorys():
            return refusal(400, str(error), "mutability")
    return refusal(409, str(error), "uniqueness" if isinstance(error, NotUnique) else None)


def refusal(status: int, detail: str, scim_type: str | None = None) -> Response:
    """An error."""
    body = {"schemas": [ERROR], "status": str(status), "detail": detail}
    response = Response(body | ({"scimType": scim_type} if scim_type else {}), status=status)
    if status == 401:
        response["WWW-Authenticate"] = CHALLENGE
    return response


def listed(resources: list[dict[str, Any]], *, total: int, start: int = 1) -> Response:
    """A page of resources; `start` counts from 1."""
    body = {"schemas": [LIST], "totalResults": total, "startIndex": start, "itemsPerPage": len(resources)}
    return Response(body | {"Resources": resources})
