"""An organisation's own names for models."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from billing.prices.aliases import aliases_of, put_alias, remove_alias
from billing.prices.visibility import visible_models
from console.forms.aliases import AliasForm
from console.pages import tenant_page
from console.refusals import show_at_form
from console.views.settings import settings_page
from identity.access import Caller
from identity.errors import Conflict, Invalid
from identity.permissions import Permission


@require_http_methods(["GET", "POST"])
@tenant_page(Permission.TENANT_UPDATE)
def aliases(request: HttpRequest, caller: Caller) -> HttpResponse:
    """All of them, and one more."""
    seen = visible_models(caller.tenant).filter(published_at__isnull=False).order_by("name")
    form = AliasForm(request.POST or None, names=seen.values_list("name", flat=True))
    if request.method == "POST" and form.is_valid():
        try:
            made, _is_new = put_alias(by=caller, **form.cleaned_data)
        except (Invalid, Conflict) as error:
            show_at_form(form, error)
        else:
            values = {"alias": made.alias, "model": made.model.name}
            messages.success(request, _("%(alias)s means %(model)s from now on.") % values)
            return redirect("settings-aliases", slug=caller.tenant.slug)
    shown = {"form": form, "aliases": aliases_of(caller.tenant)}
    return settings_page(request, caller, "settings-aliases", "aliases", **shown)


@require_POST
@tenant_page(Permission.TENANT_UPDATE)
def alias_remove(request: HttpRequest, caller: Caller) -> HttpResponse:
    """Take one away."""
    alias = request.POST.get("alias", "")
    remove_alias(by=caller, alias=alias)
    messages.success(request, _("%(alias)s means no model of its own any more.") % {"alias": alias})
    return redirect("settings-aliases", slug=caller.tenant.slug)
