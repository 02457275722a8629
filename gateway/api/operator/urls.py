"""The addresses under /api/operator/, as `gateway/api/urls.py` takes them: each begins with `operator/`."""

from django.urls import URLPattern, path

from gateway.api.operator.own_key import OwnOperatorKeyView

urlpatterns: list[URLPattern] = [
    path("operator/key", OwnOperatorKeyView.as_view(), name="operator-api-key"),
]
