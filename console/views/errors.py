"""What Django answers when no view could: problems under /api/, short pages elsewhere."""

import sys
from http import HTTPStatus

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from identity.service import service, service_known_last

_DETAILS = {
    HTTPStatus.BAD_REQUEST: ("bad_request", "The request cannot be understood."),
    HTTPStatus.FORBIDDEN: ("forbidden", "This is not allowed."),
    HTTPStatus.NOT_FOUND: ("not_found", "There is no such address."),
    HTTPStatus.INTERNAL_SERVER_ERROR: ("server_error", "Something went wrong on our side."),
    HTTPStatus.SERVICE_UNAVAILABLE: ("unavailable", "The database is away for a moment. Try again shortly."),
}


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400, such as a Host header that is not ours."""
    return _answer(request, HTTPStatus.BAD_REQUEST)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403."""
    return _answer(request, HTTPStatus.FORBIDDEN)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404."""
    return _answer(request, HTTPStatus.NOT_FOUND)


def server_error(request: HttpRequest) -> HttpResponse:
    """500, or 503 where only the database is away. Called while the exception is handled."""
    if not isinstance(sys.exc_info()[1], OperationalError | InterfaceError):
        return _answer(request, HTTPStatus.INTERNAL_SERVER_ERROR)
    answer = _answer(request, HTTPStatus.SERVICE_UNAVAILABLE)
    answer["Retry-After"] = "5"
    return answer


def _answer(request: HttpRequest, status: HTTPStatus) -> HttpResponse:
    code, detail = _DETAILS[status]
    if request.path.startswith("/api/"):
        body = {"type": "about:blank", "title": status.phrase, "status": status.value, "code": code, "detail": detail}
        return JsonResponse(body, status=status.value, content_type="application/problem+json")
    known = service_known_last() if status >= HTTPStatus.INTERNAL_SERVER_ERROR else service()
    # Without the request: its context processors could fail again, and a page of an error needs nothing of them.
    shown = {
        "status": status.value,
        "request_id": request.headers.get("X-Request-Id", ""),
        "service": known,
        "support_contact": known.support_contact,
    }
    return render(None, "error.html", shown, status=status.value)
