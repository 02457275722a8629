"""Projects: one row each, and each with its budgets, limits, keys and people."""

from django.contrib import messages
from django.db.models import Exists, OuterRef, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from billing.limits.standing import limits_on
from billing.usage.by_project import figures_of_projects
from console.model_choices import model_names
from console.pages import tenant_page
from console.project_forms import ProjectForm, ProjectModelsForm, show_refusal
from identity import access
from identity.access import Caller
from identity.budget_duties import people_answering
from identity.errors import Conflict, Invalid
from identity.models import Membership, Person, Project
from identity.name_order import by_name
from identity.permissions import Permission
from identity.projects import archive_project, change_project, create_project
from models_catalog.models import LanguageModel

ROWS_MAX = 200
PEOPLE_MAX = 100


@tenant_page(Permission.PROJECT_READ)
@require_GET
def projects(request: HttpRequest, caller: Caller) -> HttpResponse:
    """All that the caller may know of, the active ones first."""
    text = request.GET.get("q", "").strip()[:200]
    found = access.projects_for(caller).select_related("responsible")
    if text:
        found = found.filter(Q(name__icontains=text) | Q(cost_centre__icontains=text))
    rows = list(found.order_by("status", by_name(), "id")[: ROWS_MAX + 1])
    figures = figures_of_projects(caller.tenant, [project.pk for project in rows[:ROWS_MAX]], now=timezone.now())
    shown = [(project, figures[project.pk]) for project in rows[:ROWS_MAX]]
    context = {"rows": shown, "text": text, "has_more": len(rows) > ROWS_MAX, "most": ROWS_MAX}
    return render(request, "console/projects/projects.html", context)


@tenant_page(Permission.PROJECT_READ)
@require_GET
def project(request: HttpRequest, caller: Caller, project_id: int) -> HttpResponse:
    """One project."""
    shown = access.project_for(caller, project_id)
    figures = figures_of_projects(caller.tenant, [shown.pk], now=timezone.now())[shown.pk]
    context = {
        "project": shown,
        "figures": figures,
        "answering": people_answering(budget.id for budget in figures.budgets),
        "limits": limits_on(caller.tenant.pk, "project", shown.pk),
        "models": _models_of(shown),
        "people": _people_of(shown) if caller.may(Permission.MEMBER_READ) else None,
    }
    return render(request, "console/projects/project.html", context)


@tenant_page(Permission.PROJECT_CREATE)
@require_http_methods(["GET", "POST"])
def new_project(request: HttpRequest, caller: Caller) -> HttpResponse:
    """Create one."""
    form = ProjectForm(request.POST or None, people=_candidates(caller))
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            made = create_project(
                caller.tenant,
                data["name"],
                actor=caller.actor,
                cost_centre=data["cost_centre"],
                purchase_order=data["purchase_order"],
                responsible=form.chosen,
            )
        except (Invalid, Conflict) as error:
            show_refusal(form, error, "name")
        else:
            messages.success(request, _("The project is there. Give it a budget and a key next."))
            return redirect("project", slug=caller.tenant.slug, project_id=made.pk)
    return render(request, "console/projects/form.html", {"form": form})


@tenant_page(Permission.PROJECT_UPDATE)
@require_http_methods(["GET", "POST"])
def edit_project(request: HttpRequest, caller: Caller, project_id: int) -> HttpResponse:
    """Give it another name, cost centre or responsible person."""
    shown = access.project_for(caller, project_id, Permission.PROJECT_UPDATE)
    pseudonym = str(shown.responsible.pseudonym) if shown.responsible else ""
    initial = {"name": shown.name, "cost_centre": shown.cost_centre, "responsible": pseudonym}
    initial |= {"purchase_order": shown.purchase_order}
    form = ProjectForm(request.POST or None, people=_candidates(caller), initial=initial)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            change_project(
                shown,
                name=data["name"],
                cost_centre=data["cost_centre"],
                purchase_order=data["purchase_order"],
                responsible=form.chosen,
                actor=caller.actor,
            )
        except (Invalid, Conflict) as error:
            show_refusal(form, error, "name")
        else:
            messages.success(request, _("The project is changed."))
            return redirect("project", slug=caller.tenant.slug, project_id=shown.pk)
    return render(request, "console/projects/form.html", {"form": form, "project": shown})


@tenant_page(Permission.PROJECT_UPDATE)
@require_http_methods(["GET", "POST"])
def project_models(request: HttpRequest, caller: Caller, project_id: int) -> HttpResponse:
    """Say which models its keys may call."""
    shown = access.project_for(caller, project_id, Permission.PROJECT_UPDATE)
    initial = {"which": "some" if shown.allowed_models else "all", "models": shown.allowed_models}
    offered = list(dict.fromkeys([*shown.allowed_models, *model_names(caller.tenant)]))
    form = ProjectModelsForm(request.POST or None, offered=offered, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            change_project(shown, allowed_models=form.chosen, actor=caller.actor)
        except Invalid as error:
            show_refusal(form, error, "models")
        else:
            messages.success(request, _("The models are set. The project's keys are bound by them from now on."))
            return redirect("project", slug=caller.tenant.slug, project_id=shown.pk)
    return render(request, "console/projects/models.html", {"form": form, "project": shown})


@tenant_page(Permission.PROJECT_ARCHIVE)
@require_POST
def archive(request: HttpRequest, caller: Caller, project_id: int) -> HttpResponse:
    """Close it: its keys are refused from now on."""
    shown = access.project_for(caller, project_id, Permission.PROJECT_ARCHIVE)
    if request.POST.get("confirmation") != shown.name:
        messages.error(request, _("Nothing was done: the name that you typed is not the project's."))
    else:
        archive_project(shown, actor=caller.actor)
        messages.success(request, _("The project is archived. Its keys are refused, its usage stays."))
    return redirect("project", slug=caller.tenant.slug, project_id=shown.pk)


def _candidates(caller: Caller) -> list[Person]:
    """Who may answer for a project: the tenant's members, or oneself where one may not know of the others."""
    if not caller.may(Permission.MEMBER_READ):
        return [caller.person] if caller.person else []
    members = Membership.objects.filter(tenant=caller.tenant, person=OuterRef("pk"))
    return list(Person.objects.filter(Exists(members), is_active=True).order_by(by_name(), "email")[:500])


def _models_of(project: Project) -> list[tuple[str, LanguageModel | None]]:
    """The project's list, each with the model of that name; none for an alias or what the catalogue has no more."""
    named = LanguageModel.objects.in_bulk(project.allowed_models, field_name="name") if project.allowed_models else {}
    return [(name, named.get(name)) for name in project.allowed_models]


def _people_of(project: Project) -> list[Membership]:
    """Who may work in the project."""
    members = Membership.objects.filter(tenant_id=project.tenant_id, person__is_active=True)
    inside = Membership.projects.through.objects.filter(membership=OuterRef("pk"), project=project)
    found = members.filter(Q(in_all_projects=True) | Exists(inside)).select_related("person")
    return list(found.order_by(by_name("person__name"), "person__email")[:PEOPLE_MAX])
