"""One search over everything that the caller may know of: keys, projects, models, members, request ids."""

from dataclasses import dataclass
from uuid import UUID

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET

from billing.prices.visibility import visible_models
from console.pages import is_partial, tenant_page
from identity.access import Caller, projects_for
from identity.key_search import TEXT_LENGTH_MAX, KeyFilters, search_keys
from identity.member_list import members_named
from identity.permissions import Permission

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
        Group(_("Keys"), "key", _keys(caller, text)),
        Group(_("Projects"), "folder", _projects(caller, text)),
        Group(_("Models"), "model", _models(caller, text)),
        Group(_("Members"), "people", _members(caller, text)),
    ]


def _requests(caller: Caller, text: str) -> list[Finding]:
    """An id is not looked up here: its page says whether there is such a request."""
    if not caller.may(Permission.USAGE_READ):
        return []
    try:
        request_id = UUID(text.removeprefix("chatcmpl-").removeprefix("cmpl-"))
    except ValueError:
        return []
    return [Finding(str(request_id), "", _address("request", caller, request_id=request_id))]


def _projects(caller: Caller, text: str) -> list[Finding]:
    if not caller.may(Permission.PROJECT_READ):
        return []
    return [
        Finding(project.name, project.cost_centre, _address("project", caller, project_id=project.pk))
        for project in projects_for(caller).filter(name__icontains=text)[:_EACH_MAX]
    ]


def _keys(caller: Caller, text: str) -> list[Finding]:
    if not caller.may(Permission.KEY_READ):
        return []
    page = search_keys(caller, KeyFilters(text=text), now=timezone.now(), size=_EACH_MAX)
    return [Finding(key.name, f"bfr_{key.lookup}", _address("key", caller, lookup=key.lookup)) for key in page.keys]


def _models(caller: Caller, text: str) -> list[Finding]:
    if not caller.may(Permission.MODEL_READ):
        return []
    found = visible_models(caller.tenant).filter(Q(name__icontains=text) | Q(title__icontains=text)).order_by("name")
    return [Finding(one.title, one.name, _address("model", caller, model=one.name)) for one in found[:_EACH_MAX]]


def _members(caller: Caller, text: str) -> list[Finding]:
    if not caller.may(Permission.MEMBER_READ):
        return []
    return [
        Finding(str(person), person.email, _address("member", caller, pseudonym=person.pseudonym))
        for person in members_named(caller, text, size=_EACH_MAX)
    ]


def _address(name: str, caller: Caller, **parts: object) -> str:
    return reverse(name, kwargs={"slug": caller.tenant.slug, **parts})
