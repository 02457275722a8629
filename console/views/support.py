"""Support sessions, from both sides: an operator opens and leaves one, an owner adds to it or ends it."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from console.member_forms import GrantForm, SupportForm
from console.pages import person_page, tenant_page
from console.refusals import show_at_form
from console.role_words import WHAT_SUPPORT_MAY_GET
from identity import support_sessions
from identity.access import Caller
from identity.errors import Conflict, Invalid, NotFound
from identity.models import Person
from identity.operators import permissions_for_operator
from identity.permissions import OperatorPermission, Permission

_TENANTS_SHOWN = 50
_SESSIONS_SHOWN = 20


@require_http_methods(["GET", "POST"])
@person_page
def support(request: HttpRequest, person: Person) -> HttpResponse:
    """An operator's way into an organisation: which, why, for how long."""
    if OperatorPermission.SUPPORT_OPEN not in permissions_for_operator(person):
        return redirect("front")
    form = SupportForm(request.POST or None, initial={"slug": request.GET.get("organisation", "")[:63]})
    if request.method == "POST" and form.is_valid():
        try:
            session = support_sessions.open_session(
                operator=person,
                slug=form.cleaned_data["slug"],
                reason=form.cleaned_data["reason"],
                duration=form.duration,
            )
        except (Invalid, Conflict) as error:
            show_at_form(form, error)
        else:
            return redirect("overview", slug=session.tenant.slug)
    return _support_page(request, person, form)


@require_POST
@person_page
def support_leave(request: HttpRequest, person: Person, support_id: int) -> HttpResponse:
    """An operator is done."""
    support_sessions.leave_session(operator=person, session_id=support_id)
    messages.success(request, _("The support session is over."))
    return redirect("support")


@require_POST
@tenant_page(Permission.SUPPORT_END)
def support_end(request: HttpRequest, caller: Caller, support_id: int) -> HttpResponse:
    """The organisation ends a session."""
    support_sessions.end_session(by=caller, session_id=support_id)
    messages.success(request, _("The support session is over."))
    return redirect("members", slug=caller.tenant.slug)


@require_http_methods(["GET", "POST"])
@tenant_page(Permission.SUPPORT_GRANT)
def support_grant(request: HttpRequest, caller: Caller, support_id: int) -> HttpResponse:
    """An owner adds named permissions to a session, for a time."""
    session = support_sessions.sessions_for(caller).filter(pk=support_id).first()
    if session is None:
        raise NotFound("support session")
    form = GrantForm(request.POST or None, initial={"permissions": session.granted})
    if request.method == "POST" and form.is_valid():
        try:
            support_sessions.grant(
                by=caller,
                session_id=support_id,
                permissions=form.cleaned_data["permissions"],
                duration=form.duration,
            )
        except Conflict as error:
            show_at_form(form, error)
        else:
            messages.success(request, _("The support session may do what you chose, and nothing else."))
            return redirect("members", slug=caller.tenant.slug)
    words = dict(WHAT_SUPPORT_MAY_GET)
    shown = {
        "form": form,
        "session": session,
        "is_live": support_sessions.is_live(session, timezone.now()),
        "granted": [words[Permission(value)] for value in session.granted if value in set(words)],
    }
    return render(request, "console/support/grant.html", shown)


def _support_page(request: HttpRequest, person: Person, form: SupportForm) -> HttpResponse:
    text = request.GET.get("q", "")[:200].strip()
    tenants = support_sessions.tenants_to_support(person)
    if text:
        tenants = tenants.filter(name__icontains=text)
    now = timezone.now()
    mine = [(one, support_sessions.is_live(one, now)) for one in support_sessions.sessions_of(person)[:_SESSIONS_SHOWN]]
    chosen = request.POST.get("slug") or request.GET.get("organisation", "")
    shown = {
        "text": text,
        "tenants": list(tenants[:_TENANTS_SHOWN]),
        "chosen": support_sessions.tenants_to_support(person).filter(slug=chosen).first() if chosen else None,
        "form": form,
        "live": [session for session, live in mine if live],
        "past": [session for session, live in mine if not live],
        "most": _TENANTS_SHOWN,
    }
    return render(request, "console/support/support.html", shown)
