"""Addresses of support sessions, from the operator's side."""

from django.urls import URLPattern, path

from console.views.operator import support

urlpatterns: list[URLPattern] = [
    path("support", support.support, name="operator-support"),
    path("support/<int:support_id>/end", support.support_leave, name="operator-support-leave"),
]
