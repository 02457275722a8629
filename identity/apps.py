from django.apps import AppConfig


class IdentityConfig(AppConfig):
    """Who is asking: tenants, projects, people, roles, API keys, notices, the audit chain."""

    name = "identity"
