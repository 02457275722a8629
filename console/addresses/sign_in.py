"""Addresses of a tenant's own way in, and of its settings."""

from django.urls import URLPattern, path

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
from console.sign_in.views import tenant_sign_in

_SETTINGS = "t/<slug:slug>/settings/sign-in"

urlpatterns: list[URLPattern] = [
    path("t/<slug:slug>/sign-in", tenant_sign_in, name="tenant-sign-in"),
    path("no-access", no_membership, name="no-membership"),
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
]
