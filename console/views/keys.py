"""The list of keys, and changes to many of them at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.functional import Promise
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET, require_POST

from console.forms.keys import SearchForm, end_of_day, people_choices
from console.key_words import is_word_right, say, was_used_lately
from console.pages import is_partial, tenant_page
from identity.access import Caller, keys_for, project_for, projects_for
from identity.errors import Conflict, Forbidden, Invalid
from identity.key_bulk import KEYS_MAX, give_keys_to, let_keys_expire, move_keys, revoke_keys
from identity.key_handover import people_who_may_answer
from identity.key_rules import rules_of
from identity.key_search import COUNTED_MAX, KeyFilters, search_keys, state_of
from identity.key_use import last_used_at
from identity.models import ApiKey, Project
from identity.permissions import Permission

PAGE_SIZE = 50


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the list."""

    key: ApiKey
    state: str
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class Action:
    """Something that can be done with many keys. `field`: what it asks for."""

    name: str
    label: Promise
    permission: Permission
    field: str = ""


ACTIONS = (
    Action("responsible", _("Change who answers for them"), Permission.KEY_UPDATE, "person"),
    Action("project", _("Move to another project"), Permission.KEY_UPDATE, "project"),
    Action("expiry", _("Change the last day"), Permission.KEY_UPDATE, "date"),
    Action("revoke", _("Revoke"), Permission.KEY_REVOKE),
)


@require_GET
@tenant_page(Permission.KEY_READ)
def keys(request: HttpRequest, caller: Caller) -> HttpResponse:
    """Found by name, key, project, person and state; htmx gets the list alone."""
    projects = list(projects_for(caller)) if caller.may(Permission.PROJECT_READ) else []
    form = SearchForm(request.GET, projects)
    filters, after, now = form.filters(), request.GET.get("after", ""), timezone.now()
    page = search_keys(caller, filters, now=now, after=after, size=PAGE_SIZE)
    shown = {
        "form": form,
        "rows": [Row(key, state_of(key, now), last_used_at(key)) for key in page.keys],
        "next": page.next,
        "is_first": not after,
        "is_narrowed": filters != KeyFilters(sort=filters.sort),
        "total": page.total,
        "more_than": COUNTED_MAX if page.total > COUNTED_MAX else 0,
        "actions": [action for action in ACTIONS if caller.may(action.permission)],
    }
    return render(request, "console/keys/_list.html" if is_partial(request) else "console/keys/list.html", shown)


@require_POST
@tenant_page(Permission.KEY_READ)
def keys_bulk(request: HttpRequest, caller: Caller) -> HttpResponse:
    """First what would happen to which keys, then, confirmed, it happens: all of it, or nothing."""
    action = next((one for one in ACTIONS if one.name == request.POST.get("action")), None)
    lookups = request.POST.getlist("key")[: KEYS_MAX + 1]
    if action is None or not lookups:
        messages.warning(request, _("Choose keys from the list, and what is to be done with them."))
        return redirect("keys", slug=caller.tenant.slug)
    caller.require(action.permission)
    chosen = list(keys_for(caller).filter(lookup__in=lookups).order_by("name", "pk"))
    error = ""
    if "confirmed" in request.POST:
        try:
            return _done(request, caller, action, chosen)
        except (Invalid, Conflict) as refused:
            error = say(refused)
        except Forbidden:
            error = str(_("You may not do this with all of these keys."))
    return render(request, "console/keys/bulk.html", _asked(caller, action, chosen, error))


def _asked(caller: Caller, action: Action, chosen: Sequence[ApiKey], error: str) -> dict[str, Any]:
    now = timezone.now()
    return {
        "action": action,
        "rows": [Row(key, state_of(key, now), last_used_at(key)) for key in chosen],
        "people": people_choices(people_who_may_answer(caller)) if action.field == "person" else [],
        "projects": projects_for(caller).filter(status=Project.Status.ACTIVE) if action.field == "project" else [],
        "word": str(len(chosen)) if action.name == "revoke" and any(map(was_used_lately, chosen)) else "",
        "error": error,
    }


def _done(request: HttpRequest, caller: Caller, action: Action, chosen: Sequence[ApiKey]) -> HttpResponse:
    count = _DO[action.name](request, caller, chosen)
    said = ngettext("%(count)d key was changed.", "%(count)d keys were changed.", count) % {"count": count}
    messages.success(request, said)
    return redirect("keys", slug=caller.tenant.slug)


def _revoke(request: HttpRequest, caller: Caller, chosen: Sequence[ApiKey]) -> int:
    if any(map(was_used_lately, chosen)) and not is_word_right(request, str(len(chosen))):
        raise Invalid("confirmation", gettext("Some were used in the last hour: type how many keys these are."))
    return revoke_keys(chosen, by=caller)


def _give(request: HttpRequest, caller: Caller, chosen: Sequence[ApiKey]) -> int:
    asked = request.POST.get("person", "")
    person = next((one for one in people_who_may_answer(caller) if str(one.pseudonym) == asked), None)
    if person is None:
        raise Invalid("person", gettext("Choose somebody."))
    return give_keys_to(chosen, by=caller, responsible=person)


def _move(request: HttpRequest, caller: Caller, chosen: Sequence[ApiKey]) -> int:
    asked = request.POST.get("project", "")
    if not asked.isdecimal():
        raise Invalid("project", gettext("Choose a project."))
    return move_keys(chosen, by=caller, project=project_for(caller, int(asked[:18])))


def _expire(request: HttpRequest, caller: Caller, chosen: Sequence[ApiKey]) -> int:
    try:
        day = parse_date(request.POST.get("date", ""))
    except ValueError:
        day = None
    if day is None:
        raise Invalid("date", gettext("Choose a day."))
    return let_keys_expire(chosen, by=caller, expires_at=end_of_day(day, rules_of(caller.tenant)))


_DO: dict[str, Callable[[HttpRequest, Caller, Sequence[ApiKey]], int]] = {
    "revoke": _revoke,
    "responsible": _give,
    "project": _move,
    "expiry": _expire,
}
