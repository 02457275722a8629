"""Addresses of keys."""

from django.urls import URLPattern, path

from console.views.key import key, key_edit, key_end_previous, key_revoke
from console.views.key_making import key_new, key_rotate
from console.views.keys import keys, keys_bulk

urlpatterns: list[URLPattern] = [
    path("t/<slug:slug>/keys", keys, name="keys"),
    path("t/<slug:slug>/keys/bulk", keys_bulk, name="keys-bulk"),
    path("t/<slug:slug>/keys/new", key_new, name="key-new"),
    path("t/<slug:slug>/keys/<str:lookup>", key, name="key"),
    path("t/<slug:slug>/keys/<str:lookup>/edit", key_edit, name="key-edit"),
    path("t/<slug:slug>/keys/<str:lookup>/rotate", key_rotate, name="key-rotate"),
    path("t/<slug:slug>/keys/<str:lookup>/end-previous", key_end_previous, name="key-end-previous"),
    path("t/<slug:slug>/keys/<str:lookup>/revoke", key_revoke, name="key-revoke"),
]
