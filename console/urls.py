"""Every address that Django answers."""

from django.urls import URLPattern, URLResolver, include, path

from console.views.session import sign_in, sign_in_refused, sign_out
from console.views.welcome import welcome

handler400 = "console.views.errors.bad_request"
handler403 = "console.views.errors.forbidden"
handler404 = "console.views.errors.not_found"
handler500 = "console.views.errors.server_error"

urlpatterns: list[URLPattern | URLResolver] = [
    path("", welcome, name="welcome"),
    path("sign-in", sign_in_refused, name="sign-in-refused"),
    path("sign-in/<str:secret>", sign_in, name="sign-in"),
    path("sign-out", sign_out, name="sign-out"),
    path("api/", include("gateway.api.urls")),
]
