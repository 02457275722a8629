"""What our middleware adds to Django's."""

from collections.abc import Callable
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.middleware.locale import LocaleMiddleware
from django.utils import translation
from django.utils.deprecation import MiddlewareMixin
from django.utils.translation.trans_real import parse_accept_lang_header
from whitenoise.middleware import WhiteNoiseFileResponse, WhiteNoiseMiddleware
from whitenoise.responders import StaticFile

from console.operator_site import bound_host
from gateway.metrics.view import metrics
from identity.service import service

# No page of ours asks for any of these: whatever got into one could not either.
_NOTHING = ("camera", "display-capture", "fullscreen", "geolocation", "microphone", "payment", "usb")
# What no person reads.
_OF_PROGRAMS = ("/api/", "/scim/", "/health/")
PERMISSIONS_POLICY = ", ".join(f"{feature}=()" for feature in _NOTHING)


class OfferedLanguagesMiddleware(LocaleMiddleware):
    """The first of a browser's languages that the operator offers, else the one that speaks for the house."""

    def process_request(self, request: HttpRequest) -> None:
        """Programs choose for themselves."""
        if request.path.startswith(_OF_PROGRAMS):
            return super().process_request(request)
        known = service()
        asked = parse_accept_lang_header(request.headers.get("Accept-Language", ""))
        codes = (code.partition("-")[0] for code, _weight in asked)
        offered = (code for code in codes if code in known.offered_languages)
        translation.activate(next(offered, known.default_language))
        request.LANGUAGE_CODE = translation.get_language() or known.default_language
        return None


class MetricsMiddleware:
    """`/metrics`, before hosts are checked: Prometheus asks each machine by its own address. Where the operator's
    console has a host of its own, it is not at the one where clients are.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """The figures; for any other address what comes next."""
        if request.path != "/metrics":
            return self._get_response(request)
        if bound_host() and request.headers.get("Host", "").lower() == urlsplit(settings.PUBLIC_URL).netloc.lower():
            return HttpResponse(status=404)
        return metrics(request)


class PermissionsPolicyMiddleware(MiddlewareMixin):
    """`Permissions-Policy` (W3C) on every answer."""

    get_response: Callable[[HttpRequest], HttpResponseBase]

    def process_response(self, _request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """The same answer, with the header."""
        response["Permissions-Policy"] = PERMISSIONS_POLICY
        return response


class StaticFilesMiddleware(WhiteNoiseMiddleware):  # type: ignore[misc]
    """WhiteNoise, answering with whole files: it streams them in a way that Django's asynchronous server warns of.

    The largest, of the API's documentation, has 2 MB.
    """

    @staticmethod
    def serve(static_file: StaticFile, request: HttpRequest) -> HttpResponse:
        """The file, or that it is the one that the browser has."""
        streamed: WhiteNoiseFileResponse = WhiteNoiseMiddleware.serve(static_file, request)
        body = b"".join(streamed.streaming_content)
        streamed.close()
        return HttpResponse(body, status=streamed.status_code, headers=streamed.headers)
