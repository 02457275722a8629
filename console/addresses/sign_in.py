"""Addresses of signing in and out."""

from django.urls import URLPattern, path

from console.sign_in.break_glass import break_glass
from console.sign_in.no_membership import no_membership
from console.sign_in.settings_views import (
    activate_provider,
    add_group_rule,
    edit_provider,
    make_scim_token,
    remove_group_rule,
    revoke_scim_token,
    sign_in_settings,
    switch_provider_off,
    test_provider,
    try_provider,
    withdraw_provider,
)
from console.sign_in.sign_out import SignOutView, back_channel, signed_out
from console.sign_in.views import CallbackView, SignInWithView, sign_in_page, tenant_sign_in
from console.views.session import sign_in, sign_in_refused

_SETTINGS = "t/<slug:slug>/settings/sign-in"

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
    path(_SETTINGS, sign_in_settings, name="settings-sign-in"),
    path(f"{_SETTINGS}/provider", edit_provider, name="settings-sign-in-edit"),
    path(f"{_SETTINGS}/test", test_provider, name="settings-sign-in-test"),
    path(f"{_SETTINGS}/try", try_provider, name="settings-sign-in-try"),
    path(f"{_SETTINGS}/activate", activate_provider, name="settings-sign-in-activate"),
    path(f"{_SETTINGS}/withdraw", withdraw_provider, name="settings-sign-in-withdraw"),
    path(f"{_SETTINGS}/off", switch_provider_off, name="settings-sign-in-off"),
    path(f"{_SETTINGS}/groups", add_group_rule, name="group-rule-add"),
    path(f"{_SETTINGS}/groups/<int:rule_id>/remove", remove_group_rule, name="group-rule-remove"),
    path(f"{_SETTINGS}/tokens", make_scim_token, name="scim-token-make"),
    path(f"{_SETTINGS}/tokens/<int:token_id>/revoke", revoke_scim_token, name="scim-token-revoke"),
    path("sign-out", SignOutView.as_view(), name="sign-out"),
    path("signed-out", signed_out, name="signed-out"),
]
