"""My account: language and look, sessions, notices, data. There is no password: the identity provider has it."""

from dataclasses import dataclass
from itertools import groupby
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils import timezone, translation
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from console.account_forms import AccountForm
from console.pages import person_page
from console.sign_in.sessions import current_sign_in
from identity.access import tenants_of
from identity.account import ask_for_erasure, change_account, take_data
from identity.errors import Invalid
from identity.models import Channel, Person
from identity.notice_choices import choices_of, choose
from identity.sign_ins import end_all, end_session, sessions_of


@dataclass(frozen=True, slots=True)
class Tab:
    """One of the account's pages: the name of its address, and its word."""

    name: str
    label: Promise


SESSIONS_SHOWN = 50
TABS = (
    Tab("account", gettext_lazy("Profile")),
    Tab("account-sessions", gettext_lazy("Sessions")),
    Tab("account-notices", gettext_lazy("My notices")),
    Tab("account-data", gettext_lazy("My data")),
)


@require_http_methods(["GET", "POST"])
@person_page
def account(request: HttpRequest, person: Person) -> HttpResponse:
    """Name, language, theme, time zone."""
    form = AccountForm.of(person, request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            change_account(person, **form.cleaned_data)
        except Invalid as error:
            form.add_error(error.field, error.message)
        else:
            translation.activate(person.language)
            messages.success(request, _("Your settings were saved."))
            return redirect("account")
    return _page(request, "account", form=form, person=person, memberships=tenants_of(person)[:20])


@require_GET
@person_page
def sessions(request: HttpRequest, person: Person) -> HttpResponse:
    """Where the person is signed in."""
    found = list(sessions_of(person)[: SESSIONS_SHOWN + 1])
    current = current_sign_in(request)
    shown = found[:SESSIONS_SHOWN]
    return _page(request, "account-sessions", sessions=shown, current=current, are_more=len(found) > len(shown))


@require_POST
@person_page
def end_one_session(request: HttpRequest, person: Person, session_id: int) -> HttpResponse:
    """Sign out somewhere else."""
    end_session(person, session_id, now=timezone.now())
    messages.success(request, _("The session was ended."))
    return redirect("account-sessions")


@require_POST
@person_page
def end_other_sessions(request: HttpRequest, person: Person) -> HttpResponse:
    """Sign out everywhere but here."""
    end_all(person, reason="ended_by_person", now=timezone.now(), but=current_sign_in(request))
    messages.success(request, _("All other sessions were ended."))
    return redirect("account-sessions")


@require_http_methods(["GET", "POST"])
@person_page
def notice_choices(request: HttpRequest, person: Person) -> HttpResponse:
    """Which kinds of notices come by which way."""
    choices = choices_of(person)
    if request.method == "POST":
        wanted = {
            (choice.kind.name, channel): f"{choice.kind.name}:{channel}" in request.POST
            for choice in choices
            for channel in (Channel.INBOX, Channel.EMAIL)
        }
        choose(person, wanted)
        messages.success(request, _("Your choice was saved."))
        return redirect("account-notices")
    groups = [(topic.label, list(kinds)) for topic, kinds in groupby(choices, lambda choice: choice.kind.topic)]
    return _page(request, "account-notices", groups=groups, is_mailing=settings.MAIL_IS_SET_UP, email=person.email)


@require_GET
@person_page
def data(request: HttpRequest, person: Person) -> HttpResponse:
    """What is kept about the person."""
    return _page(request, "account-data", person=person)


@require_POST
@person_page
def data_export(request: HttpRequest, person: Person) -> HttpResponse:
    """The same, as a file."""
    answer = JsonResponse(take_data(person), json_dumps_params={"indent": 2, "ensure_ascii": False})
    answer["Content-Disposition"] = 'attachment; filename="my-data.json"'
    return answer


@require_POST
@person_page
def ask_erasure(request: HttpRequest, person: Person) -> HttpResponse:
    """Ask the operators to erase the person."""
    ask_for_erasure(person)
    messages.success(request, _("The operator was asked to erase your data and will write to you within a month."))
    return redirect("account-data")


def _page(request: HttpRequest, name: str, **shown: Any) -> HttpResponse:
    template = f"console/account/{name.removeprefix('account-')}.html"
    return render(request, template, {"tabs": TABS, "tab": name} | shown)
