"""Addresses of audit."""

from django.urls import URLPattern, path

from console.views.audit import audit, event, export_file, verify

urlpatterns: list[URLPattern] = [
    path("t/<slug:slug>/audit", audit, name="audit"),
    path("t/<slug:slug>/audit/<int:sequence>", event, name="audit-event"),
    path("t/<slug:slug>/audit/verify", verify, name="audit-verify"),
    path("t/<slug:slug>/audit/export.<slug:kind>", export_file, name="audit-export"),
]
