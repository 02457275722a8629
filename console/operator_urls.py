"""Every address of the operator's console, all below `/operator/`: its own pages, its ways in, and the pages of an
organisation for the time of a support session.
"""

from django.urls import URLPattern, URLResolver, include, path

from console.addresses import TENANT_NOUNS
from console.views.operator.overview import overview

handler400 = "console.views.errors.bad_request"
handler403 = "console.views.errors.forbidden"
handler404 = "console.views.errors.not_found"
handler500 = "console.views.errors.server_error"

_PAGES: list[URLPattern | URLResolver] = [
    path("", include("console.addresses.operator")),
    path("", overview, name="front"),
    path("", include("console.addresses.doors")),
    *(path("", include(f"console.addresses.{noun}")) for noun in TENANT_NOUNS),
]
urlpatterns: list[URLPattern | URLResolver] = [path("operator/", include(_PAGES))]
