"""Addresses of the operator's billing."""

from django.urls import URLPattern, path

from console.views.operator import billing

urlpatterns: list[URLPattern] = [
    path("billing", billing.billing, name="operator-billing"),
    path("billing/export.csv", billing.billing_export, name="operator-billing-export"),
]
