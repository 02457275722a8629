"""Addresses of the ways in and out, which both consoles have."""

from django.urls import URLPattern, path

from console.sign_in.sign_out import SignOutView, back_channel, signed_out
from console.sign_in.views import CallbackView, SignInWithView, sign_in_page
from console.views.session import sign_in, sign_in_refused

urlpatterns: list[URLPattern] = [
    path("sign-in", sign_in_page, name="sign-in"),
    path("sign-in/refused", sign_in_refused, name="sign-in-refused"),
    path("sign-in/<str:secret>", sign_in, name="sign-in-link"),
    path("sign-in/with/<str:handle>", SignInWithView.as_view(), name="sign-in-with"),
    path("oidc/<str:handle>/callback", CallbackView.as_view(), name="oidc-callback"),
    path("oidc/<str:handle>/logout", back_channel, name="oidc-back-channel"),
    path("sign-out", SignOutView.as_view(), name="sign-out"),
    path("signed-out", signed_out, name="signed-out"),
]
