"""An organisation's settings: name and time zone, sign-in, key policy, export and close."""

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods

from console.pages import tenant_page
from console.setting_forms import KeyRulesForm, OrganisationForm
from identity.access import Caller
from identity.errors import Invalid
from identity.key_rules import rules_of, set_key_rules
from identity.permissions import Permission
from identity.tenants import change_tenant


@dataclass(frozen=True, slots=True)
class Tab:
    """One of the settings' pages: the name of its address, its word, and what one needs to open it."""

    name: str
    label: Promise
    permission: Permission


TABS = (
    Tab("settings", gettext_lazy("Organisation"), Permission.TENANT_UPDATE),
    Tab("settings-sign-in", gettext_lazy("Sign-in"), Permission.PROVIDER_READ),
    Tab("settings-keys", gettext_lazy("Key policy"), Permission.KEY_RULES_UPDATE),
    Tab("settings-aliases", gettext_lazy("Names of models"), Permission.TENANT_UPDATE),
    Tab("webhooks", gettext_lazy("Notices and webhooks"), Permission.WEBHOOK_READ),
    Tab("settings-end", gettext_lazy("Export and close"), Permission.TENANT_UPDATE),
)


@require_http_methods(["GET", "POST"])
@tenant_page(Permission.TENANT_UPDATE)
def organisation(request: HttpRequest, caller: Caller) -> HttpResponse:
    """Name and time zone."""
    form = OrganisationForm.of(caller.tenant, request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            change_tenant(by=caller, **form.cleaned_data)
        except Invalid as error:
            form.add_error(error.field, error.message)
        else:
            messages.success(request, _("The settings were saved."))
            return redirect("settings", slug=caller.tenant.slug)
    return settings_page(request, caller, "settings", "organisation", form=form)


@require_http_methods(["GET", "POST"])
@tenant_page(Permission.KEY_RULES_UPDATE)
def key_rules(request: HttpRequest, caller: Caller) -> HttpResponse:
    """What the organisation demands of its keys."""
    form = KeyRulesForm.of(rules_of(caller.tenant), request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            set_key_rules(by=caller, rules=form.rules())
        except Invalid as error:
            form.add_error(error.field, error.message)
        else:
            messages.success(request, _("The key policy was saved. Keys that are there stay as they are."))
            return redirect("settings-keys", slug=caller.tenant.slug)
    return settings_page(request, caller, "settings-keys", "keys", form=form)


@require_GET
@tenant_page(Permission.TENANT_UPDATE)
def end(request: HttpRequest, caller: Caller) -> HttpResponse:
    """How to take everything along and leave."""
    return settings_page(request, caller, "settings-end", "end")


def settings_page(request: HttpRequest, caller: Caller, tab: str, template: str, **shown: Any) -> HttpResponse:
    """A page in the settings' frame, with the tabs that the caller may open."""
    tabs = [
        (one.label, address, one.name == tab)
        for one in TABS
        if caller.may(one.permission) and (address := _address(one.name, caller))
    ]
    return render(request, f"console/settings/{template}.html", {"tabs": tabs} | shown)


def _address(name: str, caller: Caller) -> str:
    try:
        return reverse(name, kwargs={"slug": caller.tenant.slug})
    except NoReverseMatch:
        return ""
