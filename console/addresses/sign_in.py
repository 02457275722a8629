"""Addresses of signing in and out."""

from django.urls import URLPattern, path

from console.views.session import sign_in, sign_in_page, sign_in_refused, sign_out

urlpatterns: list[URLPattern] = [
    path("sign-in", sign_in_page, name="sign-in"),
    path("sign-in/refused", sign_in_refused, name="sign-in-refused"),
    path("sign-in/<str:secret>", sign_in, name="sign-in-link"),
    path("sign-out", sign_out, name="sign-out"),
]
