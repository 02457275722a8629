"""Addresses of the keys of programs that run the platform."""

from django.urls import URLPattern, path

from console.views.operator.operator_keys import operator_key_revoke, operator_keys

urlpatterns: list[URLPattern] = [
    path("settings/keys", operator_keys, name="operator-keys"),
    path("settings/keys/<slug:lookup>/revoke", operator_key_revoke, name="operator-key-revoke"),
]
