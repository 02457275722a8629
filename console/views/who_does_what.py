"""Who does what, with the reader's own organisation, and a way to tell the operator."""

from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods

from console.member_forms import OperatorMessageForm
from console.pages import frame_caller_of, person_page, tenant_page
from console.refusals import show_at_form
from console.responsibilities import CHAPTERS, PAGE_NAMES, Activity, Side
from identity.access import Caller
from identity.errors import Conflict, Invalid
from identity.models import OperatorRole, Person, Role
from identity.notice_kinds import KINDS
from identity.operator_messages import tell_operator
from identity.permissions import OPERATOR_PERMISSIONS, ROLE_PERMISSIONS, OperatorPermission, Permission

_LETTERS: dict[str, Promise] = {
    "R": gettext_lazy("does it"),
    "A": gettext_lazy("answers for it"),
    "C": gettext_lazy("is asked before"),
    "I": gettext_lazy("is told"),
}


@dataclass(frozen=True, slots=True)
class Shown:
    """A side of an activity, for the reader. `roles`: who can do it here; `told`: the notices and pages, named."""

    letters: list[tuple[str, Promise]]
    roles: list[str]
    outside: Promise | str
    told: list[str]


@require_GET
@person_page
def who_does_what(request: HttpRequest, person: Person) -> HttpResponse:
    """All activities. Links lead where the reader may act."""
    caller = frame_caller_of(request)
    chapters = [
        (
            chapter.title,
            [(one, _shown(one.client), _shown(one.operator), _act(one, caller)) for one in chapter.activities],
        )
        for chapter in CHAPTERS
    ]
    shown = {"chapters": chapters, "letters": _LETTERS.items()}
    return render(request, "console/who_does_what/who_does_what.html", shown)


@require_http_methods(["GET", "POST"])
@tenant_page(Permission.TENANT_READ)
def tell(request: HttpRequest, caller: Caller) -> HttpResponse:
    """Tell or ask the operator something, in writing."""
    form = OperatorMessageForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            tell_operator(by=caller, topic=form.chosen_topic, message=form.cleaned_data["message"])
        except (Invalid, Conflict) as error:
            show_at_form(form, error)
        else:
            messages.success(request, _("The operator has been told. The answer comes to your e-mail address."))
            return redirect("tell-operator", slug=caller.tenant.slug)
    return render(request, "console/who_does_what/tell.html", {"form": form})


def _shown(side: Side) -> Shown:
    return Shown(
        letters=[(letter, _LETTERS[letter]) for letter in side.letters],
        roles=_roles(side.permissions),
        outside=side.outside,
        told=[str(KINDS[kind].label) for kind in side.notices] + [str(PAGE_NAMES[page]) for page in side.pages],
    )


def _roles(permissions: tuple[Permission | OperatorPermission, ...]) -> list[str]:
    """Whoever has all of them."""
    mine = {one for one in permissions if isinstance(one, Permission)}
    theirs = {one for one in permissions if isinstance(one, OperatorPermission)}
    if mine:
        return [str(role.label) for role in Role if mine <= ROLE_PERMISSIONS[role]]
    return [str(role.label) for role in OperatorRole if theirs and theirs <= OPERATOR_PERMISSIONS[role]]


def _act(activity: Activity, caller: Caller | None) -> str:
    """The address where the reader can do the client's part; empty where they may not."""
    if caller is None or not activity.act:
        return ""
    needed = [one for one in activity.client.permissions if isinstance(one, Permission)]
    if needed and not any(caller.may(one) for one in needed):
        return ""
    try:
        return reverse(activity.act, kwargs={"slug": caller.tenant.slug})
    except NoReverseMatch:
        return ""
