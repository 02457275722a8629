"""The frame around every page: navigation by what the caller may, tenants to switch to, help, theme."""

from dataclasses import dataclass

from django.conf import settings
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise, SimpleLazyObject
from django.utils.translation import gettext_lazy as _

from console.pages import caller_of
from identity.access import Caller, tenants_of
from identity.models import Person, Tenant
from identity.permissions import Permission

# More tenants than these are found by searching.
TENANTS_SHOWN = 8


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
            Link(one.label, one.icon, address, one.section == here)
            for one in group
            if caller.may(one.permission) and (address := _address(one.name, caller.tenant.slug))
        ]
        groups.append(links)
    return [links for links in groups if links]


def context(request: HttpRequest) -> dict[str, object]:
    """Django's context processor of the frame."""
    # Never the request's session where nobody asked for it: a page for everybody varies by no cookie.
    caller = caller_of(request)
    values: dict[str, object] = {
        "caller": caller,
        "may": {permission.name: True for permission in caller.permissions} if caller else {},
        "navigation": navigation(caller, request.path) if caller else [],
        "support_contact": settings.SUPPORT_CONTACT,
        "switcher": SimpleLazyObject(lambda: _tenants_to_switch_to(request.user)),
        "theme": getattr(request.user, "theme", "system") if hasattr(request, "user") else "system",
    }
    return values


def _tenants_to_switch_to(person: object) -> list[Tenant]:
    """The first of them; empty for whom there is no choice."""
    tenants = list(tenants_of(person)[: TENANTS_SHOWN + 1]) if isinstance(person, Person) else []
    return tenants if len(tenants) > 1 else []


def _address(name: str, slug: str) -> str:
    try:
        return reverse(name, kwargs={"slug": slug})
    except NoReverseMatch:
        return ""
