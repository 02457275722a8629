"""Addresses of usage."""

from django.urls import URLPattern, path

from console.views.usage import usage, usage_export

urlpatterns: list[URLPattern] = [
    path("t/<slug:slug>/usage", usage, name="usage"),
    path("t/<slug:slug>/usage.csv", usage_export, name="usage-export"),
]
