"""Addresses of the ways in and out, which both consoles have, and of the picture that stands at them."""

from django.urls import URLPattern, path

from console.sign_in.sign_out import SignOutView, back_channel, signed_out
from console.sign_in.views import CallbackView, SignInWithView, sign_in_page
from console.views.logo import logo
from console.views.session import sign_in, sign_in_refused

urlpatterns: list[URLPattern] = [
    path("sign-in", sign_in_page, name="sign-in"),
    path("sign-in/refused", sign_in_refused, name="sign-in-refused"),
    path("sign-in/<str:secret>", sign_in, name="sign-in-link"),
    path("sign-in/with/<str:handle>", SignInWithView.as_view(), name="sign-in-with"),
    path("oidc/<str:handle>/callback", CallbackView.as_view(), name="oidc-callback"),
    path("oidc/<str:handle>/logout", back_channel, name="oidc-back-channel"),
    path("sign-out", SignOutView.as_view(), name="sign-out"),
    path("logo/<str:digest>", logo, name="logo"),
    path("signed-out", signed_out, name="signed-out"),
]
