"""The frame around every page: navigation by what the caller may, tenants to switch to, help, theme."""

from dataclasses import dataclass

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import Promise, SimpleLazyObject
from django.utils.translation import gettext_lazy as _

from console.pages import frame_caller_of, some_tenants_of
from identity.access import Caller
from identity.models import Tenant
from identity.permissions import Permission


@dataclass(frozen=True, slots=True)
class Destination:
    """A line of the navigation; absent for whom lacks the permission. `section`: the address's word after the slug."""

    name: str
    label: Promise
    icon: str
    permission: Permission
    section: str


@dataclass(frozen=True, slots=True)
class Link:
    """A line of the navigation, for one caller on one page."""

    label: Promise
    icon: str
    address: str
    is_here: bool


GROUPS = (
    (
        Destination("overview", _("Overview"), "home", Permission.TENANT_READ, ""),
        Destination("models", _("Models"), "model", Permission.TENANT_READ, "models"),
        Destination("keys", _("Keys"), "key", Permission.KEY_READ, "keys"),
        Destination("requests", _("Requests"), "list", Permission.USAGE_READ, "requests"),
    ),
    (
        Destination("usage", _("Usage"), "chart", Permission.USAGE_READ, "usage"),
        Destination("projects", _("Projects"), "folder", Permission.PROJECT_READ, "projects"),
        Destination("billing", _("Billing"), "receipt", Permission.USAGE_READ_TENANT, "billing"),
    ),
    (
        Destination("members", _("Members"), "people", Permission.MEMBER_READ, "members"),
        Destination("audit", _("Audit"), "shield", Permission.AUDIT_READ, "audit"),
        Destination("settings", _("Settings"), "gear", Permission.TENANT_UPDATE, "settings"),
    ),
)


def navigation(caller: Caller, path: str) -> list[list[Link]]:
    """The groups of links that the caller may follow; the one whose section `path` is in is marked."""
    root = f"/t/{caller.tenant.slug}/"
    here = path.removeprefix(root).partition("/")[0] if path.startswith(root) else None
    groups = []
    for group in GROUPS:
        links = [
            Link(one.label, one.icon, reverse(one.name, kwargs={"slug": caller.tenant.slug}), one.section == here)
            for one in group
            if caller.may(one.permission)
        ]
        groups.append(links)
    return [links for links in groups if links]


def context(request: HttpRequest) -> dict[str, object]:
    """Django's context processor of the frame."""
    # Never the request's session where nobody asked for it: a page for everybody varies by no cookie.
    caller = frame_caller_of(request)
    values: dict[str, object] = {
        "caller": caller,
        "may": {permission.name: True for permission in caller.permissions} if caller else {},
        "navigation": navigation(caller, request.path) if caller else [],
        "support_contact": settings.SUPPORT_CONTACT,
        "switcher": SimpleLazyObject(lambda: _tenants_to_switch_to(request)),
        "theme": getattr(request.user, "theme", "system") if hasattr(request, "user") else "system",
    }
    return values


def _tenants_to_switch_to(request: HttpRequest) -> list[Tenant]:
    """The first of them; empty for whom there is no choice."""
    tenants = some_tenants_of(request)
    return tenants if len(tenants) > 1 else []
