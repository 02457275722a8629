"""What an operator changes of an organisation that there is, its name and its contract; and the models that it sees."""

from collections.abc import Sequence

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from billing.contracts.contracts import contract_in_force
from billing.prices.aliases import aliases_of, put_alias_for, remove_alias_for
from billing.tenants.changes import change_details, contract_change, move_tenant
from billing.tenants.listed import tenant_by_slug
from console.forms.aliases import AliasForm
from console.forms.operator_tiers import ContractForm, DetailsForm
from console.pages import operator_page, permissions_of
from console.refusals import sentence_of, show_at_form
from gateway.pools.sight import Seen, models_seen_by
from identity.errors import Conflict, Invalid, NotFound
from identity.models import Person, Tenant
from identity.operators import operator_for_person
from identity.permissions import OperatorPermission

_NAMES = OperatorPermission.TENANT_CREATE  # gives models names for an organisation


@require_http_methods(["GET", "POST"])
@operator_page(OperatorPermission.TENANT_CREATE)
def tenant_change(request: HttpRequest, operator: Person, slug: str) -> HttpResponse:
    """Change its name, time zone and external id."""
    found = tenant_or_404(slug)
    now = {"name": found.name, "time_zone": found.time_zone, "external_id": found.external_id or ""}
    form = DetailsForm(request.POST or None, initial=now)
    if request.method == "POST" and form.is_valid():
        try:
            change_details(by=operator_for_person(operator), tenant=found, **form.cleaned_data)
        except (Invalid, Conflict) as error:
            show_at_form(form, error)
        else:
            messages.success(request, _("%(name)s is changed.") % {"name": found.name})
            return redirect("operator-tenant", slug=slug)
    return render(request, "console/operator/tenants/change.html", {"form": form, "tenant": tenant_or_404(slug)})


@require_http_methods(["GET", "POST"])
@operator_page(OperatorPermission.CONTRACT_UPDATE)
def tenant_contract(request: HttpRequest, operator: Person, slug: str) -> HttpResponse:
    """Choose a tier and prices, see what another contract changes, and start it."""
    found, by = tenant_or_404(slug), operator_for_person(operator)
    form = ContractForm(
        request.POST or (request.GET if "tier" in request.GET else None), running=contract_in_force(found)
    )
    shown: dict[str, object] = {"form": form, "tenant": found}
    if form.is_bound and form.is_valid():
        tier, card = form.chosen
        if request.method == "POST":
            try:
                move_tenant(by=by, tenant=found, tier=tier, rate_card=card)
            except Invalid as error:
                shown["refused"] = sentence_of(error)
            else:
                messages.success(request, _("The contract is in force from now on."))
                return redirect("operator-tenant", slug=slug)
        spent = tenant_by_slug(by, slug).spent_nano_eur
        cap = tier.monthly_cap_nano_eur
        shown["change"] = contract_change(tenant=found, tier=tier, rate_card=card)
        shown |= {"spent": spent, "is_below": cap is not None and spent >= cap}
    return render(request, "console/operator/tenants/contract.html", shown)


@require_GET
@operator_page(OperatorPermission.PLATFORM_READ)
def tenant_models(request: HttpRequest, operator: Person, slug: str) -> HttpResponse:
    """Which models it sees, why, and at which price."""
    found = tenant_or_404(slug)
    models = models_seen_by(found)
    form = AliasForm(None, names=_names(models)) if _NAMES in permissions_of(request) else None
    return _models_page(request, found, models, form)


@require_POST
@operator_page(_NAMES)
def tenant_alias(request: HttpRequest, operator: Person, slug: str) -> HttpResponse:
    """Give a model a name for this organisation."""
    found = tenant_or_404(slug)
    models = models_seen_by(found)
    form = AliasForm(request.POST, names=_names(models))
    if form.is_valid():
        try:
            made, _is_new = put_alias_for(by=operator_for_person(operator), tenant=found, **form.cleaned_data)
        except (Invalid, Conflict) as error:
            show_at_form(form, error)
        else:
            values = {"alias": made.alias, "model": made.model.name}
            messages.success(request, _("%(alias)s means %(model)s from now on.") % values)
            return redirect("operator-tenant-models", slug=slug)
    return _models_page(request, found, models, form)


@require_POST
@operator_page(_NAMES)
def tenant_alias_remove(request: HttpRequest, operator: Person, slug: str) -> HttpResponse:
    """Take one away."""
    alias = request.POST.get("alias", "")
    remove_alias_for(by=operator_for_person(operator), tenant=tenant_or_404(slug), alias=alias)
    messages.success(request, _("%(alias)s means no model of its own any more.") % {"alias": alias})
    return redirect("operator-tenant-models", slug=slug)


def _names(models: Sequence[Seen]) -> list[str]:
    return sorted(one.model.name for one in models)


def _models_page(request: HttpRequest, found: Tenant, models: Sequence[Seen], form: AliasForm | None) -> HttpResponse:
    shown = {"tenant": found, "models": models, "aliases": aliases_of(found), "form": form}
    return render(request, "console/operator/tenants/models.html", shown)


def tenant_or_404(slug: str) -> Tenant:
    """The organisation; raises `NotFound`, also for the platform's own account."""
    found = Tenant.objects.filter(slug=slug, is_platform=False, closed_at=None).first()
    if found is None:
        raise NotFound("tenant")
    return found
