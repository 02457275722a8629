"""Addresses of signing in and out."""

from django.urls import URLPattern, path

from console.sign_in.break_glass import break_glass
from console.sign_in.no_membership import no_membership
from console.sign_in.sign_out import SignOutView, back_channel, signed_out
from console.sign_in.views import CallbackView, SignInWithView, sign_in_page, tenant_sign_in
from console.views.session import sign_in, sign_in_refused

urlpatterns: list[URLPattern] = [
    path("sign-in", sign_in_page, name="sign-in"),
    path("sign-in/refused", sign_in_refused, name="sign-in-refused"),
    path("sign-in/<str:secret>", sign_in, name="sign-in-link"),
    path("sign-in/with/<str:handle>", SignInWithView.as_view(), name="sign-in-with"),
    path("t/<slug:slug>/sign-in", tenant_sign_in, name="tenant-sign-in"),
    path("oidc/<str:handle>/callback", CallbackView.as_view(), name="oidc-callback"),
    path("oidc/<str:handle>/logout", back_channel, name="oidc-back-channel"),
    path("no-access", no_membership, name="no-membership"),
    path("break-glass", break_glass, name="break-glass"),
    path("sign-out", SignOutView.as_view(), name="sign-out"),
    path("signed-out", signed_out, name="signed-out"),
]
