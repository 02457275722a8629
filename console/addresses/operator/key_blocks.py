"""Address of the operator's emergency stop of a key."""

from django.urls import URLPattern, path

from console.views.operator.key_blocks import key_blocks

urlpatterns: list[URLPattern] = [path("blocked-keys", key_blocks, name="operator-key-blocks")]
