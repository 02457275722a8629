"""Every address of the console, one module a noun; those of a tenant begin with `/t/<slug>/`."""

from django.urls import URLPattern, URLResolver, include, path

_NOUNS = (
    "sign_in", "overview", "models", "keys", "requests", "usage", "projects", "billing", "members", "audit", "settings",
    "account", "notices", "who_does_what", "search",
)  # fmt: skip

urlpatterns: list[URLPattern | URLResolver] = [path("", include(f"console.addresses.{noun}")) for noun in _NOUNS]
