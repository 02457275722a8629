"""Support sessions, from the organisation's side: an owner adds to one or ends it."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from console.member_forms import GrantForm
from console.pages import tenant_page
from console.refusals import show_at_form
from console.role_words import WHAT_SUPPORT_MAY_GET
from identity import support_sessions
from identity.access import Caller
from identity.errors import Conflict, NotFound
from identity.permissions import Permission


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
