"""The address of the operator's pools."""

from django.urls import URLPattern, path

from console.views.operator.pools import pools

urlpatterns: list[URLPattern] = [path("pools", pools, name="operator-pools")]
