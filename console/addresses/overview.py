"""Addresses of an organisation's first page."""

from django.urls import URLPattern, path

from console.views.front import organisations, quick_start
from console.views.overview import overview

urlpatterns: list[URLPattern] = [
    path("organisations", organisations, name="organisations"),
    path("t/<slug:slug>/", overview, name="overview"),
    path("t/<slug:slug>/quick-start", quick_start, name="quick-start"),
]
