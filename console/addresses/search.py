"""Addresses of the search over everything."""

from django.urls import URLPattern, path

from console.views.search import search

urlpatterns: list[URLPattern] = [path("t/<slug:slug>/search", search, name="search")]
