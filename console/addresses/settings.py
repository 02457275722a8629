"""Addresses of settings."""

from django.urls import URLPattern, path

from console.views.aliases import alias_remove, aliases
from console.views.settings import end, key_rules, organisation
from console.views.webhooks import again, delete, rotate, test, webhook, webhooks

_ROOT = "t/<slug:slug>/settings"
_WEBHOOK = f"{_ROOT}/webhooks/<uuid:webhook_id>"

urlpatterns: list[URLPattern] = [
    path(_ROOT, organisation, name="settings"),
    path(f"{_ROOT}/keys", key_rules, name="settings-keys"),
    path(f"{_ROOT}/model-names", aliases, name="settings-aliases"),
    path(f"{_ROOT}/model-names/remove", alias_remove, name="settings-alias-remove"),
    path(f"{_ROOT}/end", end, name="settings-end"),
    path(f"{_ROOT}/webhooks", webhooks, name="webhooks"),
    path(_WEBHOOK, webhook, name="webhook"),
    path(f"{_WEBHOOK}/rotate", rotate, name="webhook-rotate"),
    path(f"{_WEBHOOK}/test", test, name="webhook-test"),
    path(f"{_WEBHOOK}/delete", delete, name="webhook-delete"),
    path(f"{_WEBHOOK}/deliveries/<uuid:delivery_id>/again", again, name="webhook-again"),
]
