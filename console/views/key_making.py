"""Keys made and rotated: the two pages that show a secret, once."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods

from billing.limits.key_bounds import make_bounded_key
from billing.limits.standing import budgets_on_path, limits_on_path
from billing.models import Scope as Place
from console.forms.keys import NewKeyForm, RotateForm, proposed_last_day
from console.key_words import new_request, note_shown, say, was_shown, was_used_lately
from console.model_choices import models_for_keys
from console.pages import tenant_page
from console.snippets import chat_snippets
from gateway.api.language_models import callable_model_names
from identity.access import Caller, key_for, project_for, projects_for
from identity.errors import Conflict, Forbidden, Invalid
from identity.key_rotation import rotate_api_key
from identity.key_rules import rules_of
from identity.models import ApiKey, Project
from identity.permissions import Permission, may_give
from identity.scopes import Scope
from models_catalog.models import LanguageModel

_FIELD_OF = {"expires_at": "expires_on", "owner": "kind", "limit_nano_eur": "budget"}


@require_http_methods(["GET", "POST"])
@tenant_page(Permission.KEY_CREATE)
def key_new(request: HttpRequest, caller: Caller) -> HttpResponse:
    """Three fields, the rest folded. The answer to the form is the only page with the secret."""
    projects = list(projects_for(caller).filter(status=Project.Status.ACTIVE))
    rules, now = rules_of(caller.tenant), timezone.now()
    project = _asked_for(request, projects)
    arguments: dict[str, Any] = {
        "rules": rules,
        "may_give": scopes_to_give(caller),
        "models": models_for_keys(caller.tenant, project),
        "projects": projects,
    }
    if request.method == "POST":
        if lookup := was_shown(request, request.POST.get("request", "")):
            messages.info(request, _("The key was made and shown before. It cannot be shown again."))
            return redirect("key", slug=caller.tenant.slug, lookup=lookup)
        form = NewKeyForm(request.POST, **arguments)
        if form.is_valid() and (made := _made(caller, form)):
            key, text = made
            note_shown(request, form.cleaned_data["request"], key)
            return _secret(request, key, text, "console/keys/made.html")
    else:
        initial = {
            "project": project.pk if project else None,
            "allowed_models": request.GET.getlist("allowed_models"),
            "expires_on": proposed_last_day(rules, now).date(),
            "scopes": [Scope.INFERENCE],
            "request": new_request(),
        }
        form = NewKeyForm(initial=initial, **arguments)
    context = {"form": form, "rules": rules, "project": project, **_inherited(caller)}
    return render(request, "console/keys/new.html", context)


@require_http_methods(["GET", "POST"])
@tenant_page(Permission.KEY_ROTATE)
def key_rotate(request: HttpRequest, caller: Caller, lookup: str) -> HttpResponse:
    """A new secret; the present one works on for as long as was chosen."""
    key = key_for(caller, lookup, Permission.KEY_ROTATE)
    form = RotateForm(request.POST if request.method == "POST" else None, initial={"request": new_request()})
    error = ""
    if request.method == "POST" and form.is_valid():
        name = form.cleaned_data["request"]
        if was_shown(request, name):
            messages.info(request, _("The new secret was shown before. It cannot be shown again."))
            return redirect("key", slug=caller.tenant.slug, lookup=lookup)
        try:
            grace = timedelta(seconds=form.cleaned_data["grace"])
            rotation = rotate_api_key(key, by=caller, grace=grace, request=name)
        except (Invalid, Conflict) as refused:
            error = say(refused)
        except Forbidden:
            error = str(_("You have less than this key may do, so you cannot have a secret of it."))
        else:
            note_shown(request, name, rotation.key)
            return _secret(request, rotation.key, rotation.text, "console/keys/rotated.html")
    shown = {"key": key, "form": form, "error": error, "is_in_use": was_used_lately(key), "now": timezone.now()}
    return render(request, "console/keys/rotate.html", shown)


def scopes_to_give(caller: Caller) -> list[Scope]:
    """What the caller may let a key do (I6)."""
    return [scope for scope in Scope if may_give(scope, caller.permissions)]


def put_on_form(form: Any, refused: Invalid | Conflict) -> None:
    """Show a verb's refusal at the field that it names, else above the form."""
    field = _FIELD_OF.get(refused.field, refused.field) if isinstance(refused, Invalid) else None
    form.add_error(field if field in form.fields else None, say(refused))


def _asked_for(request: HttpRequest, projects: list[Project]) -> Project | None:
    """The project that was chosen; where none was, the first."""
    asked = (request.POST if request.method == "POST" else request.GET).get("project", "")
    first = projects[0] if projects else None
    return next((project for project in projects if str(project.pk) == asked), first)


def _made(caller: Caller, form: NewKeyForm) -> tuple[ApiKey, str] | None:
    try:
        return make_bounded_key(
            maker=caller,
            project=project_for(caller, form.cleaned_data["project"]),
            name=form.cleaned_data["name"],
            policy=form.policy(),
            bounds=form.bounds(),
            owner=caller.person if form.is_personal else None,
        )
    except (Invalid, Conflict) as refused:
        put_on_form(form, refused)
    except Forbidden:
        form.add_error(None, _("The key policy of your organisation lets only administrators create keys."))
    return None


def _secret(request: HttpRequest, key: ApiKey, text: str, template: str) -> HttpResponse:
    """The page with the secret. `tenant_page` sees to it that no cache keeps it."""
    callable_names = callable_model_names(key)
    chat = LanguageModel.objects.filter(name__in=callable_names, kind=LanguageModel.Kind.CHAT).order_by("name").first()
    snippets = chat_snippets(settings.PUBLIC_URL, chat.name) if chat and Scope.INFERENCE in key.scopes else []
    shown = {"key": key, "text": text, "snippets": snippets, "base_url": f"{settings.PUBLIC_URL}/v1"}
    return render(request, template, shown)


def _inherited(caller: Caller) -> dict[str, Any]:
    """What binds every new key from above: the organisation's own budgets and limits."""
    path = (caller.tenant.pk, 0, 0)
    return {
        "budgets": [row for row in budgets_on_path(*path) if row.scope == Place.TENANT],
        "limits": [row for row in limits_on_path(*path) if row.scope == Place.TENANT],
    }
