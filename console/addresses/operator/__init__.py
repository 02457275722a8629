"""Every address of the operator's own pages, one module a noun; all below `/operator/`, their names `operator-...`."""

from django.urls import URLPattern, URLResolver, include, path

_NOUNS = (
    "audit",
    "billing",
    "closing",
    "key_blocks",
    "models",
    "operator_keys",
    "organisation_rules",
    "overview",
    "people",
    "pools",
    "price_lists",
    "settings",
    "support",
    "tenants",
    "tiers",
)

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include(f"console.addresses.operator.{noun}")) for noun in _NOUNS
]
