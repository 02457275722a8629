"""Addresses of who does what."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
