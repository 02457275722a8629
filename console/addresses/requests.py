"""Addresses of requests."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
