"""Addresses of the operator's first page and of breaking the glass."""

from django.urls import URLPattern, path

from console.sign_in.break_glass import break_glass
from console.views.operator.overview import overview

urlpatterns: list[URLPattern] = [
    path("", overview, name="operator-overview"),
    path("break-glass", break_glass, name="break-glass"),
]
