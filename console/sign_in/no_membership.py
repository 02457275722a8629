"""Signed in, but a member of no organisation: whom to ask, and the request."""

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods

from console.pages import person_page
from console.sign_in.sessions import ASKED_TENANT
from identity import access, access_requests
from identity.errors import Conflict, Invalid
from identity.models import Person


class RequestForm(forms.Form):
    """What the administrators should know."""

    message = forms.CharField(
        label=_("What do you need it for?"),
        required=False,
        max_length=access_requests.MESSAGE_LENGTH_MAX,
        help_text=_("The administrators read this with your name and address."),
        widget=forms.Textarea(attrs={"class": "form-control", "rows": 3}),
    )


@require_http_methods(["GET", "HEAD", "POST"])
@person_page
def no_membership(request: HttpRequest, person: Person) -> HttpResponse:
    """Who has become a member meanwhile goes on."""
    if access.tenants_of(person).exists():
        return redirect("front")
    tenant = access_requests.tenant_to_ask(person, str(request.session.get(ASKED_TENANT, "")))
    form = RequestForm(request.POST or None)
    if request.method == "POST" and tenant is not None and form.is_valid():
        try:
            access_requests.ask(person=person, tenant=tenant, message=form.cleaned_data["message"])
        except Invalid:
            form.add_error("message", _("Write it without control characters and without keys."))
        except Conflict as conflict:
            form.add_error(None, str(conflict))
        else:
            messages.success(request, _("Your request is with the administrators."))
            return redirect("no-membership")
    shown = {
        "form": form,
        "tenant": tenant,
        "waiting": access_requests.open_request_of(person, tenant) if tenant else None,
        "to_ask": access_requests.people_to_ask(tenant) if tenant else [],
    }
    return render(request, "console/sign_in/no_membership.html", shown)
