"""The frame around every page: navigation by what the caller may, tenants to switch to, help, theme."""

from dataclasses import dataclass

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import Promise, SimpleLazyObject
from django.utils.translation import gettext_lazy as _

from console.operator_site import PREFIX, bound_host, is_operators
from console.pages import frame_caller_of, pays_for_others, permissions_of, some_tenants_of
from identity.access import Caller
from identity.models import Tenant
from identity.permissions import OperatorPermission, Permission
from identity.service import service


@dataclass(frozen=True, slots=True)
class Destination:
    """A line of the navigation; absent for whom lacks the permission. `section`: the address's word after the slug."""

    name: str
    label: Promise
    icon: str
    permission: Permission
    section: str


@dataclass(frozen=True, slots=True)
class OperatorDestination:
    """The same in the operator's console. `section`: the address's word after `/operator/`."""

    name: str
    label: Promise
    icon: str
    permission: OperatorPermission
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


OPERATOR_GROUPS = (
    (
        OperatorDestination("operator-overview", _("Overview"), "home", OperatorPermission.PLATFORM_READ, ""),
        OperatorDestination(
            "operator-tenants", _("Organisations"), "folder", OperatorPermission.PLATFORM_READ, "tenants"
        ),
        OperatorDestination("operator-tiers", _("Prices and tiers"), "list", OperatorPermission.PLATFORM_READ, "tiers"),
        OperatorDestination("operator-models", _("Models"), "model", OperatorPermission.PLATFORM_READ, "models"),
        OperatorDestination("operator-pools", _("Pools"), "server", OperatorPermission.PLATFORM_READ, "pools"),
        OperatorDestination("operator-billing", _("Billing"), "receipt", OperatorPermission.BILLING_READ, "billing"),
    ),
    (
        OperatorDestination(
            "operator-support", _("Support sessions"), "help", OperatorPermission.SUPPORT_OPEN, "support"
        ),
        OperatorDestination(
            "operator-key-blocks", _("Blocked keys"), "key", OperatorPermission.KEY_BLOCK, "blocked-keys"
        ),
        OperatorDestination("operator-audit", _("Audit"), "shield", OperatorPermission.AUDIT_READ, "audit"),
        OperatorDestination("operator-people", _("People"), "people", OperatorPermission.OPERATOR_APPOINT, "people"),
        OperatorDestination("operator-set-up", _("Settings"), "gear", OperatorPermission.PLATFORM_READ, "settings"),
    ),
)


# Addresses of the operator's console that belong to a section by another word.
_OF_SECTION = {
    "new-tier": "tiers",
    "price-lists": "tiers",
    "new-price-list": "tiers",
    "new-tenant": "tenants",
    "tenant-imports": "tenants",
    "organisation-rules": "tenants",
    "new-organisation-rule": "tenants",
    "group-imports": "tenants",
    "closing": "billing",
    "invoices": "billing",
}


def navigation(caller: Caller, path: str) -> list[list[Link]]:
    """The groups of links that the caller may follow; the one whose section `path` is in is marked."""
    root = reverse("overview", kwargs={"slug": caller.tenant.slug})
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


def operator_navigation(permissions: frozenset[OperatorPermission], path: str) -> list[list[Link]]:
    """As `navigation`, for who runs the platform."""
    first = path.removeprefix(PREFIX).partition("/")[0]
    here = _OF_SECTION.get(first, first)
    groups = [
        [
            Link(one.label, one.icon, reverse(one.name), one.section == here)
            for one in group
            if one.permission in permissions
        ]
        for group in OPERATOR_GROUPS
    ]
    return [links for links in groups if links]


def context(request: HttpRequest) -> dict[str, object]:
    """Django's context processor of the frame."""
    # Never the request's session where nobody asked for it: a page for everybody varies by no cookie.
    caller = frame_caller_of(request)
    values: dict[str, object] = {
        "caller": caller,
        "may": {permission.name: True for permission in caller.permissions} if caller else {},
        "navigation": SimpleLazyObject(lambda: _navigation(request, caller)),
        "is_operators": is_operators(request),
        "may_operate": SimpleLazyObject(lambda: {permission.name: True for permission in permissions_of(request)}),
        # On the operators' own host there is nothing but their pages.
        "public_url": settings.PUBLIC_URL if is_operators(request) and bound_host() else "",
        "service": SimpleLazyObject(service),
        "support_contact": SimpleLazyObject(lambda: service().support_contact),
        "pays_for_others": SimpleLazyObject(lambda: pays_for_others(request)),
        "switcher": SimpleLazyObject(lambda: _tenants_to_switch_to(request)),
        "theme": getattr(request.user, "theme", "system") if hasattr(request, "user") else "system",
    }
    return values


def _navigation(request: HttpRequest, caller: Caller | None) -> list[list[Link]]:
    if caller is not None:
        return navigation(caller, request.path)
    return operator_navigation(permissions_of(request), request.path) if is_operators(request) else []


def _tenants_to_switch_to(request: HttpRequest) -> list[Tenant]:
    """The first of them; empty for whom there is no choice."""
    tenants = some_tenants_of(request)
    return tenants if len(tenants) > 1 else []
