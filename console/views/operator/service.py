"""The service as its people know it: name, logo, support, legal identity, languages, seller or chargeback."""

from django import forms
from django.contrib import messages
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from console.forms.operator_service import FORMS, LogoForm, filled
from console.pages import operator_page
from console.refusals import show_at_form
from identity.errors import Invalid, NotFound
from identity.models import Person
from identity.operators import operator_for_person
from identity.permissions import OperatorPermission
from identity.service import change_service, read_service
from identity.service_logo import BYTES_MAX, remove_logo, set_logo


@require_GET
@operator_page(OperatorPermission.PLATFORM_READ)
def service_page(request: HttpRequest, operator: Person) -> HttpResponse:
    """All of it, a form a subject."""
    return _page(request)


@require_POST
@operator_page(OperatorPermission.PLATFORM_OPERATE)
def service_change(request: HttpRequest, operator: Person, part: str) -> HttpResponse:
    """Change what one of the forms holds."""
    if part not in FORMS:
        raise NotFound("part")
    form = FORMS[part](request.POST, auto_id=f"{part}_%s")
    if form.is_valid():
        try:
            change_service(by=operator_for_person(operator), **form.cleaned_data)
        except Invalid as error:
            show_at_form(form, error)
        else:
            messages.success(request, _("The settings are kept."))
            return redirect("operator-service")
    return _page(request, part, form)


@require_POST
@operator_page(OperatorPermission.PLATFORM_OPERATE)
def service_logo(request: HttpRequest, operator: Person) -> HttpResponse:
    """Show another picture."""
    form = LogoForm(request.POST, request.FILES)
    if form.is_valid():
        try:
            set_logo(by=operator_for_person(operator), content=_content(form.cleaned_data["logo"]))
        except Invalid as error:
            show_at_form(form, error)
        else:
            messages.success(request, _("The logo is shown from now on."))
            return redirect("operator-service")
    return _page(request, "logo", form)


@require_POST
@operator_page(OperatorPermission.PLATFORM_OPERATE)
def service_logo_remove(request: HttpRequest, operator: Person) -> HttpResponse:
    """Show our own picture again."""
    remove_logo(by=operator_for_person(operator))
    messages.success(request, _("The logo was taken away."))
    return redirect("operator-service")


def _content(file: "UploadedFile[bytes]") -> bytes:
    """What was sent, a byte more than may be at most."""
    return bytes(file.read(BYTES_MAX + 1))


def _page(request: HttpRequest, part: str = "", form: forms.Form | None = None) -> HttpResponse:
    """With what is; the form that was refused as it was sent."""
    known = read_service()
    shown = {one: filled(one, known) for one in FORMS} | {"logo": LogoForm(auto_id="logo_%s")}
    if form is not None:
        shown[part] = form
    return render(request, "console/operator/settings/service.html", {"known": known, "forms": shown})
