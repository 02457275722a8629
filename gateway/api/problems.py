"""Errors of the management API: `application/problem+json` (RFC 9457), the same shape for each.

    {"type": "about:blank", "title": "Forbidden", "status": 403, "code": "scope_missing", "detail": "...", "errors": []}

`code` is for programs and stays; `detail` is for people and may change. `errors` lists the fields that make no sense.
"""

import logging
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from django.db import InterfaceError, OperationalError
from rest_framework import exceptions, serializers
from rest_framework.response import Response

from billing.usage.records import TooManyRows
from gateway.api.authentication import CHALLENGE
from identity import errors
from identity.errors import Refusal
from identity.permissions import SCOPE_PERMISSIONS

logger = logging.getLogger("beffroi.api")

CONTENT_TYPE = "application/problem+json"
_KEY_REFUSALS: dict[Refusal, tuple[int, str, str]] = {
    Refusal.MALFORMED: (401, "invalid_api_key", "This is no API key: check that it was copied whole."),
    Refusal.UNKNOWN: (401, "invalid_api_key", "There is no such API key."),
    Refusal.REVOKED: (401, "api_key_revoked", "This API key was revoked."),
    Refusal.BLOCKED: (403, "api_key_blocked", "The operator of this platform blocked this API key in an emergency."),
    Refusal.ROTATED: (
        401,
        "api_key_rotated",
        "This secret of the API key was replaced and has ended. Use the new one.",
    ),
    Refusal.EXPIRED: (401, "api_key_expired", "This API key has expired."),
    Refusal.TENANT_SUSPENDED: (403, "tenant_suspended", "The organisation of this key is suspended."),
    Refusal.PROJECT_ARCHIVED: (403, "project_archived", "The project of this key is archived."),
    Refusal.ADDRESS: (403, "ip_not_allowed", "This API key may not be used from this address."),
    Refusal.ORIGIN: (403, "origin_not_allowed", "This API key may not be used by pages of this origin."),
}
_NAMES = {"tenant": "organisation"}


class FieldSerializer(serializers.Serializer[Any]):
    """A field or parameter that makes no sense. A member of a member is written `outer.inner`."""

    field = serializers.CharField()
    message = serializers.CharField()


class ProblemSerializer(serializers.Serializer[Any]):
    """An error (RFC 9457)."""

    type = serializers.CharField(help_text="Always `about:blank`: the status and `code` say what happened.")
    title = serializers.CharField(help_text="The status in words.")
    status = serializers.IntegerField()
    code = serializers.CharField(help_text="For programs: it stays as it is.")
    detail = serializers.CharField(help_text="For people: it may change.")
    errors = FieldSerializer(  # type: ignore[assignment]  # a field of ours, not the attribute
        many=True, required=False, help_text="The fields that make no sense, where some do not."
    )


def problem(status: int, code: str, detail: str, fields: list[dict[str, str]] | None = None) -> Response:
    """An answer in the shape of this API's errors."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
    }
    if fields is not None:
        body["errors"] = fields
    response = Response(body, status=status, content_type=CONTENT_TYPE)
    if status == HTTPStatus.UNAUTHORIZED:
        response["WWW-Authenticate"] = CHALLENGE
    return response


def answer(error: Exception, context: dict[str, Any]) -> Response:
    """The answer to an exception of a view. What nobody foresaw is logged, without the request, and becomes a 500."""
    match error:
        case errors.IdentityError():
            return _of_identity(error)
        case exceptions.ValidationError():
            return _invalid(list(_fields(error.detail)))
        case exceptions.NotAuthenticated():
            return problem(401, "no_api_key", "Send an API key: `Authorization: Bearer bfr_...`.")
        case exceptions.APIException():
            codes = error.get_codes()
            return problem(error.status_code, codes if isinstance(codes, str) else "error", str(error.detail))
        case TooManyRows():
            return problem(400, "too_many_rows", _sentence(error))
        case OperationalError() | InterfaceError():
            logger.warning("%s: the database is away", type(context["view"]).__name__)
            away = problem(503, "unavailable", "The database is away for a moment. Try again shortly.")
            away["Retry-After"] = "5"
            return away
    logger.error("%s failed", type(context["view"]).__name__, exc_info=error)
    return problem(500, "server_error", "Something went wrong on our side.")


def _of_identity(error: errors.IdentityError) -> Response:
    match error:
        case errors.KeyRefused():
            return problem(*_KEY_REFUSALS[error.reason])
        case errors.NotFound():
            return problem(404, "not_found", f"There is no such {_NAMES.get(str(error), str(error))}.")
        case errors.Forbidden():
            return _forbidden(str(error))
        case errors.Invalid():
            return _invalid([{"field": error.field, "message": error.message}])
    return problem(409, "conflict", _sentence(error))


def errors_of(*statuses: int) -> dict[tuple[int, str], type[serializers.Serializer[Any]]]:
    """The errors of an operation, for the description of the API."""
    return {(status, CONTENT_TYPE): ProblemSerializer for status in statuses}


def _forbidden(what: str) -> Response:
    """`what` is a permission that the caller lacks, or something that it wanted to give and does not have."""
    scopes = [scope.value for scope, permissions in SCOPE_PERMISSIONS.items() if what in permissions]
    if scopes:
        return problem(403, "scope_missing", f"This needs an API key with the scope `{scopes[0]}`.")
    return problem(403, "more_than_own", f"An API key cannot give what it does not have itself: `{what}`.")


def _sentence(error: Exception) -> str:
    text = str(error).rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."


def _invalid(fields: list[dict[str, str]]) -> Response:
    return problem(400, "invalid", "The request makes no sense; `errors` says where.", fields)


def _fields(detail: Any, path: str = "") -> Iterator[dict[str, str]]:
    """One entry a message; a member of a member is `outer.inner`."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            own = "" if name == "non_field_errors" else str(name)
            yield from _fields(inner, ".".join(filter(None, (path, own))))
    elif isinstance(detail, list):
        for inner in detail:
            yield from _fields(inner, path)
    else:
        yield {"field": path, "message": str(detail)}
