"""Which paths the relay answers itself, and what a request to them has to be. All other paths are Django's. No I/O."""

from gateway.relay import errors
from gateway.relay.fields import Endpoint
from gateway.relay.http_message import HttpRequest

ENDPOINTS = {path: endpoint for endpoint in Endpoint for path in endpoint.paths}
ESTIMATE, MODELS, ONE_MODEL = "/v1/estimate", "/v1/models", "/v1/models/"
LIVE, READY = "/health/live", "/health/ready"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def is_inference(path: str) -> bool:
    """Whether the path is answered in OpenAI's shape, whatever is there."""
    return path.startswith(("/v1/", "/v2/")) or path in ("/v1", "/v2")


def is_preflight(request: HttpRequest) -> bool:
    """Whether a browser asks if a page of another origin may call us (Fetch, CORS-preflight request)."""
    return (
        request.method == "OPTIONS"
        and is_inference(request.path)
        and request.header(b"origin") is not None
        and request.header(b"access-control-request-method") is not None
    )


def check_route(request: HttpRequest) -> None:
    """Whether there is something at this path, for this method. Raises Refusal (404, 405)."""
    path = request.path
    if request.method == "POST" and path in ENDPOINTS:
        return
    if not is_inference(path):
        allowed: tuple[str, ...] = METHODS
    elif path in ENDPOINTS or path == ESTIMATE:
        allowed = ("POST",)
    elif path == MODELS or (path.startswith(ONE_MODEL) and len(path) > len(ONE_MODEL)):
        allowed = ("GET",)
    else:
        raise errors.not_found(path)
    if request.method not in allowed and not is_preflight(request):
        raise errors.method_not_allowed(request.method, ", ".join(allowed))


def check_content(request: HttpRequest) -> None:
    """Bodies are JSON, not content-encoded (DESIGN, step 3). Raises Refusal (415)."""
    encoding = request.fields.get(b"content-encoding")
    if encoding is not None and encoding.strip().lower() != b"identity":
        raise errors.content_encoding_refused()
    content_type = request.fields.get(b"content-type")
    if content_type is None or content_type == b"application/json":
        return
    media_type, *parameters = (part.strip() for part in content_type.decode("latin-1").lower().split(";"))
    charsets = [
        value.strip('" ') for name, _, value in (part.partition("=") for part in parameters) if name == "charset"
    ]
    if media_type != "application/json" or not {"utf-8", "utf8", "us-ascii"}.issuperset(charsets):
        raise errors.unsupported_media_type()
