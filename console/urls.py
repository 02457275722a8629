"""Every address that Django answers."""

from django.urls import URLPattern, URLResolver, include, path

from console.views.front import front
from console.views.welcome import welcome

handler400 = "console.views.errors.bad_request"
handler403 = "console.views.errors.forbidden"
handler404 = "console.views.errors.not_found"
handler500 = "console.views.errors.server_error"

urlpatterns: list[URLPattern | URLResolver] = [
    path("", front, name="front"),
    path("welcome", welcome, name="welcome"),
    path("", include("console.addresses")),
    path("api/", include("gateway.api.urls")),
    path("scim/", include("gateway.api.scim.urls")),
]
