"""Every address of the console, one module a noun; those of a tenant begin with `/t/<slug>/`, the operator's with
`/operator/`.
"""

from django.urls import URLPattern, URLResolver, include, path

# What the operator's console has too, for a support session.
TENANT_NOUNS = (
    "sign_in", "overview", "models", "keys", "requests", "usage", "projects", "billing", "invoices", "members", "audit",
    "settings", "payers", "account", "notices", "who_does_what", "search",
)  # fmt: skip

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("console.addresses.doors")),
    *(path("", include(f"console.addresses.{noun}")) for noun in TENANT_NOUNS),
    path("operator/", include("console.addresses.operator")),
]
