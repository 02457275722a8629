"""One search over everything that the caller may know of: keys, projects, models, members, request ids."""

from dataclasses import dataclass
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET

from console.pages import is_partial, tenant_page
from identity.access import Caller, projects_for
from identity.permissions import Permission

TEXT_LENGTH_MAX = 200
_EACH_MAX = 6


@dataclass(frozen=True, slots=True)
class Finding:
    """Something with this text in its name: where it is and what tells it from others."""

    name: str
    note: str
    address: str


@dataclass(frozen=True, slots=True)
class Group:
    """What was found of one kind."""

    title: Promise
    icon: str
    findings: list[Finding]


@require_GET
@tenant_page(Permission.TENANT_READ)
def search(request: HttpRequest, caller: Caller) -> HttpResponse:
    """At most six of each kind; htmx gets the list alone."""
    text = request.GET.get("q", "").strip()[:TEXT_LENGTH_MAX]
    groups = [group for group in _found(caller, text) if group.findings] if text else []
    template = "console/search/_found.html" if is_partial(request) else "console/search/search.html"
    return render(request, template, {"search_text": text, "groups": groups})


def _found(caller: Caller, text: str) -> list[Group]:
    return [
        Group(_("Requests"), "list", _requests(caller, text)),
        Group(_("Projects"), "folder", _projects(caller, text)),
    ]


def _requests(caller: Caller, text: str) -> list[Finding]:
    """An id is not looked up here: its page says whether there is such a request."""
    if not caller.may(Permission.USAGE_READ):
        return []
    try:
        request_id = UUID(text.removeprefix("chatcmpl-").removeprefix("cmpl-"))
    except ValueError:
        return []
    address = reverse("request", kwargs={"slug": caller.tenant.slug, "request_id": request_id})
    return [Finding(str(request_id), "", address)]


def _projects(caller: Caller, text: str) -> list[Finding]:
    if not caller.may(Permission.PROJECT_READ):
        return []
    slug = caller.tenant.slug
    return [
        Finding(
            project.name,
            project.cost_centre,
            reverse("project", kwargs={"slug": slug, "project_id": project.pk}),
        )
        for project in projects_for(caller).filter(name__icontains=text)[:_EACH_MAX]
    ]
