"""Exports of all organisations: the files that there are and how far the others are, and a new one."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from billing.exports.exports import KEPT
from billing.exports.of_all import (
    ask_export_of_all,
    cancel_export_of_all,
    download_of_all,
    end_schedule_of_all,
    exports_of_all,
    schedule_export_of_all,
    schedules_of_all,
)
from billing.models import Export
from console.forms.exports import KINDS_SAID_OF_ALL, SAID_OF_ALL, ExportOfAllForm, ScheduleForm
from console.pages import is_partial, operator_page
from console.refusals import show_at_form
from console.views.exports import listed, listed_schedules
from gateway.api.export_files import export_file
from identity.errors import Conflict, Invalid
from identity.models import Person
from identity.operators import operator_for_person
from identity.permissions import OperatorPermission


@operator_page(OperatorPermission.USAGE_EXPORT)
@require_GET
def exports(request: HttpRequest, operator: Person) -> HttpResponse:
    """The files, newest first; htmx asks again while one is being made."""
    if is_partial(request):
        return render(request, "console/exports/_list.html", _listed(operator))
    return _page(request, operator, ScheduleForm(None, KINDS_SAID_OF_ALL))


@operator_page(OperatorPermission.USAGE_EXPORT)
@require_http_methods(["GET", "POST"])
def export_new(request: HttpRequest, operator: Person) -> HttpResponse:
    """Ask for one."""
    form = ExportOfAllForm(request.POST or None, datetime.now(UTC).date())
    if request.method == "POST" and form.is_valid():
        try:
            ask_export_of_all(by=operator_for_person(operator), **form.wanted())
        except (Conflict, Invalid) as error:
            show_at_form(form, error)
        else:
            messages.success(request, _("The export is being made. You are told when it is ready."))
            return redirect("operator-billing-exports")
    kinds = [(kind, label, SAID_OF_ALL[Export.Kind(kind)]) for kind, label in KINDS_SAID_OF_ALL]
    shown = {"form": form, "kinds": kinds, "kept_days": KEPT.days}
    return render(request, "console/operator/billing/export_new.html", shown)


@operator_page(OperatorPermission.USAGE_EXPORT)
@require_GET
def export_download(request: HttpRequest, operator: Person, file_id: UUID) -> HttpResponseBase:
    """The file."""
    return export_file(request, *download_of_all(by=operator_for_person(operator), public_id=file_id))


@operator_page(OperatorPermission.USAGE_EXPORT)
@require_POST
def export_remove(request: HttpRequest, operator: Person, file_id: UUID) -> HttpResponse:
    """Stop making it, or throw the file away."""
    try:
        cancel_export_of_all(by=operator_for_person(operator), public_id=file_id)
    except Conflict:
        messages.info(request, _("The export had ended already."))
    else:
        messages.success(request, _("The export was removed."))
    return redirect("operator-billing-exports")


@operator_page(OperatorPermission.USAGE_EXPORT)
@require_POST
def export_monthly(request: HttpRequest, operator: Person) -> HttpResponse:
    """Have one made every month."""
    form = ScheduleForm(request.POST, KINDS_SAID_OF_ALL)
    if form.is_valid():
        content, file_format = form.chosen()
        try:
            schedule_export_of_all(by=operator_for_person(operator), content=content, file_format=file_format)
        except Conflict as error:
            show_at_form(form, error)
        else:
            messages.success(request, _("It is made of every month from this one on, once the month is over."))
            return redirect("operator-billing-exports")
    return _page(request, operator, form)


@operator_page(OperatorPermission.USAGE_EXPORT)
@require_POST
def export_monthly_end(request: HttpRequest, operator: Person, monthly_id: int) -> HttpResponse:
    """Make it no more."""
    end_schedule_of_all(by=operator_for_person(operator), schedule_id=monthly_id)
    messages.success(request, _("The monthly export was ended. The files that there are stay."))
    return redirect("operator-billing-exports")


def _page(request: HttpRequest, operator: Person, form: ScheduleForm) -> HttpResponse:
    schedules = schedules_of_all(operator_for_person(operator))
    shown = _listed(operator) | {
        "form": form,
        "schedules": listed_schedules(
            schedules, lambda one: reverse("operator-billing-export-monthly-end", kwargs={"monthly_id": one})
        ),
        "schedule_address": reverse("operator-billing-export-monthly"),
    }
    return render(request, "console/operator/billing/exports.html", shown)


def _listed(operator: Person) -> dict[str, Any]:
    def address(what: str, file_id: UUID | None) -> str:
        name = f"operator-billing-export-{what}" if what else "operator-billing-exports"
        return reverse(name, kwargs={"file_id": file_id} if file_id else {})

    return listed(exports_of_all(operator_for_person(operator)), address)
