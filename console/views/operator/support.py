"""Support sessions, from the operator's side: open one, leave it."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from console.member_forms import SupportForm
from console.pages import operator_page
from console.refusals import show_at_form
from identity import support_sessions
from identity.errors import Conflict, Invalid
from identity.models import Person
from identity.permissions import OperatorPermission

_TENANTS_SHOWN = 50
_SESSIONS_SHOWN = 20


@require_http_methods(["GET", "POST"])
@operator_page(OperatorPermission.SUPPORT_OPEN)
def support(request: HttpRequest, operator: Person) -> HttpResponse:
    """An operator's way into an organisation: which, why, for how long."""
    form = SupportForm(request.POST or None, initial={"slug": request.GET.get("organisation", "")[:63]})
    if request.method == "POST" and form.is_valid():
        try:
            session = support_sessions.open_session(
                operator=operator,
                slug=form.cleaned_data["slug"],
                reason=form.cleaned_data["reason"],
                duration=form.duration,
            )
        except (Invalid, Conflict) as error:
            show_at_form(form, error)
        else:
            return redirect("overview", slug=session.tenant.slug)
    return _support_page(request, operator, form)


@require_POST
@operator_page(OperatorPermission.PLATFORM_READ)
def support_leave(request: HttpRequest, operator: Person, support_id: int) -> HttpResponse:
    """An operator is done."""
    support_sessions.leave_session(operator=operator, session_id=support_id)
    messages.success(request, _("The support session is over."))
    return redirect("operator-support")


def _support_page(request: HttpRequest, operator: Person, form: SupportForm) -> HttpResponse:
    text = request.GET.get("q", "")[:200].strip()
    tenants = support_sessions.tenants_to_support(operator)
    if text:
        tenants = tenants.filter(name__icontains=text)
    now = timezone.now()
    mine = [
        (one, support_sessions.is_live(one, now)) for one in support_sessions.sessions_of(operator)[:_SESSIONS_SHOWN]
    ]
    chosen = request.POST.get("slug") or request.GET.get("organisation", "")
    shown = {
        "text": text,
        "tenants": list(tenants[:_TENANTS_SHOWN]),
        "chosen": support_sessions.tenants_to_support(operator).filter(slug=chosen).first() if chosen else None,
        "form": form,
        "live": [session for session, live in mine if live],
        "past": [session for session, live in mine if not live],
        "most": _TENANTS_SHOWN,
    }
    return render(request, "console/operator/support/support.html", shown)
