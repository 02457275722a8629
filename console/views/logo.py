"""The service's logo, for everybody: the sign-in page shows it."""

from csp.constants import NONE
from csp.decorators import csp_replace
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from identity.errors import NotFound
from identity.service_logo import logo_by_digest

_NOTHING: dict[str, object] = dict.fromkeys(settings.CONTENT_SECURITY_POLICY["DIRECTIVES"])
_NOTHING |= {"default-src": [NONE], "frame-ancestors": [NONE], "sandbox": [""]}
# Another picture has another address.
_FOR_EVER = "public, max-age=31536000, immutable"


@require_safe
@csp_replace(_NOTHING)  # type: ignore[arg-type]
def logo(request: HttpRequest, digest: str) -> HttpResponse:
    """The picture; opened by itself it may do nothing. 404 for one that is not shown any more."""
    try:
        found = logo_by_digest(digest)
    except NotFound as error:
        raise Http404 from error
    headers = {"Cache-Control": _FOR_EVER, "Content-Disposition": "inline"}
    return HttpResponse(found.content, content_type=found.media_type, headers=headers)
