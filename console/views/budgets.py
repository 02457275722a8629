"""Budgets and limits of the organisation or of a project: set, changed, ended. Lowering below what is spent is told
before it is done, as it stops requests now.
"""

from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from billing.limits.budgets import budget_on, remove_budget, set_budget
from billing.limits.limits import limit_on, remove_limit, set_limit
from billing.limits.places import Source
from billing.limits.standing import BudgetStanding, budgets_on
from console.pages import tenant_page
from console.project_forms import BudgetForm, LimitForm, show_refusal
from identity import access
from identity.access import Caller
from identity.errors import Invalid
from identity.models import Project, Tenant
from identity.permissions import Permission


@dataclass(frozen=True, slots=True)
class _Holder:
    """What the budget or limit is on, and the page that shows it."""

    on: Tenant | Project
    scope: str
    address: str


@tenant_page(Permission.BUDGET_UPDATE)
@require_http_methods(["GET", "POST"])
def budget(request: HttpRequest, caller: Caller, project_id: int | None = None) -> HttpResponse:
    """Set one, or change the one of that period. `?period=` begins with the one there is."""
    holder = _holder(caller, project_id)
    standings = [one for one in budgets_on(caller.tenant.pk, holder.scope, holder.on.pk) if one.source == Source.SET]
    by_period = {one.period: one for one in standings}
    present = by_period.get(request.GET.get("period", ""))
    told_at = [percent for one in standings for percent in one.alert_percents]
    form = BudgetForm(request.POST or None, initial=_initial(present), alerts=told_at)
    stops: BudgetStanding | None = None
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        stops = _stopped_by(by_period.get(data["period"]), data["limit"]) if data["is_hard"] else None
        if stops is None or data["is_confirmed"]:
            try:
                set_budget(
                    on=holder.on,
                    period=data["period"],
                    limit_nano_eur=data["limit"],
                    is_hard=data["is_hard"],
                    may_lower_output=data["may_lower_output"],
                    alert_percents=data["alerts"],
                    actor=caller.actor,
                )
            except Invalid as error:
                show_refusal(form, error, "limit")
            else:
                messages.success(request, _("The budget is set."))
                return redirect(holder.address)
    context = {"form": form, "holder": holder, "stops": stops}
    return render(request, "console/projects/budget.html", context)


@tenant_page(Permission.BUDGET_UPDATE)
@require_POST
def end_budget(request: HttpRequest, caller: Caller, budget_id: int, project_id: int | None = None) -> HttpResponse:
    """End one that somebody set."""
    holder = _holder(caller, project_id)
    remove_budget(budget=budget_on(holder.on, budget_id), actor=caller.actor)
    messages.success(request, _("The budget is ended: it binds no request from now on."))
    return redirect(holder.address)


@tenant_page(Permission.BUDGET_UPDATE)
@require_http_methods(["GET", "POST"])
def limit(request: HttpRequest, caller: Caller, project_id: int | None = None) -> HttpResponse:
    """Set one, or change the one of that kind and window."""
    holder = _holder(caller, project_id)
    form = LimitForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            set_limit(
                on=holder.on,
                what=data["what"],
                window=form.chosen_window,
                amount=data["amount"],
                actor=caller.actor,
            )
        except Invalid as error:
            show_refusal(form, error, "amount")
        else:
            messages.success(request, _("The limit is set."))
            return redirect(holder.address)
    return render(request, "console/projects/limit.html", {"form": form, "holder": holder})


@tenant_page(Permission.BUDGET_UPDATE)
@require_POST
def end_limit(request: HttpRequest, caller: Caller, limit_id: int, project_id: int | None = None) -> HttpResponse:
    """End one that somebody set."""
    holder = _holder(caller, project_id)
    remove_limit(limit=limit_on(holder.on, limit_id), actor=caller.actor)
    messages.success(request, _("The limit is ended."))
    return redirect(holder.address)


def _holder(caller: Caller, project_id: int | None) -> _Holder:
    slug = caller.tenant.slug
    if project_id is None:
        return _Holder(caller.tenant, "tenant", reverse("billing", kwargs={"slug": slug}))
    project = access.project_for(caller, project_id, Permission.BUDGET_UPDATE)
    return _Holder(project, "project", reverse("project", kwargs={"slug": slug, "project_id": project.pk}))


def _initial(standing: BudgetStanding | None) -> dict[str, object]:
    if standing is None:
        return {}
    return {
        "period": standing.period,
        "limit": standing.limit_nano_eur,
        "is_hard": int(standing.is_hard),
        "may_lower_output": standing.may_lower_output,
        "alerts": standing.alert_percents,
    }


def _stopped_by(standing: BudgetStanding | None, limit_nano_eur: int) -> BudgetStanding | None:
    """The budget's present standing, where the new limit is at or below what is spent and reserved already."""
    if standing is None or limit_nano_eur > standing.spent_nano_eur + standing.held_nano_eur:
        return None
    return standing if standing.spent_nano_eur + standing.held_nano_eur else None
