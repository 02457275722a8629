"""A budget raised for a time, and the raise ended before."""

from datetime import datetime, timedelta

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from billing.limits import budget_raises
from billing.models import Budget, Scope
from console import formats
from console.pages import tenant_page
from console.project_forms import RaiseForm
from console.refusals import show_at_form
from identity import access
from identity.access import Caller
from identity.errors import Conflict, Invalid
from identity.permissions import Permission


@tenant_page(Permission.BUDGET_UPDATE)
@require_http_methods(["GET", "POST"])
def raise_budget(request: HttpRequest, caller: Caller, budget_id: int) -> HttpResponse:
    """Raise one until a day and hour in the organisation's time zone."""
    budget, back = _budget(caller, budget_id)
    running = budget_raises.running_raises([budget.pk]).get(budget.pk)
    form = RaiseForm(request.POST or None, initial={"until": timezone.localtime() + timedelta(days=7)})
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        until: datetime = data["until"]
        try:
            made = budget_raises.raise_budget(
                budget=budget, limit_nano_eur=data["limit_nano_eur"], until=until, actor=caller.actor
            )
        except (Conflict, Invalid) as error:
            show_at_form(form, error)
        else:
            told = {"until": formats.moment(timezone.localtime(made.raised_until), get_language() or "en")}
            messages.success(request, _("The budget is raised until %(until)s.") % told)
            return redirect(back)
    shown = {"form": form, "budget": budget, "running": running, "back": back}
    return render(request, "console/projects/raise.html", shown)


@tenant_page(Permission.BUDGET_UPDATE)
@require_POST
def end_budget_raise(request: HttpRequest, caller: Caller, budget_id: int) -> HttpResponse:
    """End the raise now."""
    budget, back = _budget(caller, budget_id)
    if budget_raises.end_raise(budget=budget, actor=caller.actor):
        messages.success(request, _("The budget is as it was before."))
    return redirect(back)


def _budget(caller: Caller, budget_id: int) -> tuple[Budget, str]:
    """The budget, and the page that shows it. Raises `NotFound`."""
    budget = budget_raises.budget_of_tenant(caller.tenant, budget_id)
    if budget.scope != Scope.PROJECT:
        return budget, reverse("billing", kwargs={"slug": caller.tenant.slug})
    project = access.project_for(caller, budget.scope_id, Permission.BUDGET_UPDATE)
    return budget, reverse("project", kwargs={"slug": caller.tenant.slug, "project_id": project.pk})
