"""Addresses of keys."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
