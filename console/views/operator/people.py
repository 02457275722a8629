"""Who runs the platform: roles given and taken, and everybody's support sessions."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from console.forms.operator_people import AppointForm
from console.pages import operator_page
from console.refusals import sentence_of, show_at_form
from identity import operator_people, support_sessions
from identity.errors import Conflict, Invalid, NotFound
from identity.models import OperatorRole, Person
from identity.operators import Operator, operator_for_person
from identity.permissions import OperatorPermission

_SHOWN = 200


@require_http_methods(["GET", "POST"])
@operator_page(OperatorPermission.OPERATOR_APPOINT)
def people(request: HttpRequest, operator: Person) -> HttpResponse:
    """Operators, the sessions that run and those that are over; the form appoints."""
    by = operator_for_person(operator)
    form = AppointForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            is_new = operator_people.take_on(by=by, **form.cleaned_data)
        except (Invalid, Conflict) as error:
            show_at_form(form, error)
        else:
            told = _("%(email)s has the role.") if is_new else _("%(email)s has had the role before.")
            messages.success(request, told % {"email": form.cleaned_data["email"]})
            return redirect("operator-people")
    return _page(request, by, form)


@require_POST
@operator_page(OperatorPermission.OPERATOR_APPOINT)
def dismiss(request: HttpRequest, operator: Person, pseudonym: UUID, role: str) -> HttpResponse:
    """Take a role away; who has none left is signed out of this console."""
    if role not in OperatorRole.values:
        raise NotFound("role")
    try:
        operator_people.let_go(by=operator_for_person(operator), pseudonym=pseudonym, role=OperatorRole(role))
    except Conflict as error:
        messages.error(request, sentence_of(error))
    else:
        messages.success(request, _("The role was taken away, from the next click on."))
    return redirect("operator-people")


@require_POST
@operator_page(OperatorPermission.OPERATOR_APPOINT)
def support_stop(request: HttpRequest, operator: Person, support_id: int) -> HttpResponse:
    """End anybody's support session."""
    support_sessions.stop_session(by=operator_for_person(operator), session_id=support_id)
    messages.success(request, _("The support session is over."))
    return redirect("operator-people")


def _page(request: HttpRequest, by: Operator, form: AppointForm) -> HttpResponse:
    after = request.GET.get("after", "")
    before = int(after) if after.isdecimal() and len(after) < 19 else None
    past, further = operator_people.past_sessions(by, before=before)
    shown = {
        "form": form,
        "people": list(operator_people.operators_for(by)[:_SHOWN]),
        "running": list(operator_people.running_sessions(by)[:_SHOWN]),
        "past": past,
        "next": further or "",
        "is_first": before is None,
    }
    return render(request, "console/operator/people/people.html", shown)
