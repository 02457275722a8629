"""Who answers for a budget."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from billing.limits.budget_duties import budget_to_answer_for, choose_responsible, holder_of, people_to_choose
from billing.models import Budget
from console.pages import tenant_page
from console.project_forms import ResponsibleForm
from console.refusals import show_at_form
from identity.access import Caller
from identity.budget_duties import people_answering
from identity.errors import Conflict, Invalid
from identity.models import Project
from identity.permissions import Permission


@tenant_page(Permission.BUDGET_UPDATE)
@require_http_methods(["GET", "POST"])
def budget_responsible(request: HttpRequest, caller: Caller, budget_id: int) -> HttpResponse:
    """Choose somebody, or nobody."""
    budget = budget_to_answer_for(caller, budget_id)
    present, back = people_answering([budget.pk]).get(budget.pk), _shown_on(caller, budget)
    initial = {"responsible": str(present.pseudonym) if present else ""}
    form = ResponsibleForm(request.POST or None, people=people_to_choose(caller, budget), initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            choose_responsible(budget=budget, person=form.chosen, actor=caller.actor)
        except (Conflict, Invalid) as error:
            show_at_form(form, error)
        else:
            if form.chosen:
                messages.success(request, _("%(name)s answers for the budget.") % {"name": form.chosen})
            else:
                messages.success(request, _("Nobody answers for the budget now."))
            return redirect(back)
    return render(request, "console/projects/responsible.html", {"form": form, "budget": budget, "back": back})


def _shown_on(caller: Caller, budget: Budget) -> str:
    """The page that shows it."""
    slug, holder = caller.tenant.slug, holder_of(budget)
    if holder is None:
        return reverse("billing", kwargs={"slug": slug})
    if isinstance(holder, Project):
        return reverse("project", kwargs={"slug": slug, "project_id": holder.pk})
    return reverse("key", kwargs={"slug": slug, "lookup": holder.lookup})
