"""What our middleware adds to Django's."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.deprecation import MiddlewareMixin
from whitenoise.middleware import WhiteNoiseFileResponse, WhiteNoiseMiddleware
from whitenoise.responders import StaticFile

# No page of ours asks for any of these: whatever got into one could not either.
_NOTHING = ("camera", "display-capture", "fullscreen", "geolocation", "microphone", "payment", "usb")
PERMISSIONS_POLICY = ", ".join(f"{feature}=()" for feature in _NOTHING)


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
