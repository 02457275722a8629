"""Addresses of the audit across organisations."""

from django.urls import URLPattern, path

from console.views.operator.audit import audit, verify

urlpatterns: list[URLPattern] = [
    path("audit", audit, name="operator-audit"),
    path("audit/verify", verify, name="operator-audit-verify"),
]
