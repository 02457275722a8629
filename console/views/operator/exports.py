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
from billing.exports.of_all import ask_export_of_all, cancel_export_of_all, download_of_all, exports_of_all
from console.forms.exports import SAID_OF_ALL, ExportOfAllForm
from console.pages import is_partial, operator_page
from console.refusals import show_at_form
from console.views.exports import listed
from gateway.api.export_files import export_file
from identity.errors import Conflict, Invalid
from identity.models import Person
from identity.operators import operator_for_person
from identity.permissions import OperatorPermission


@operator_page(OperatorPermission.USAGE_EXPORT)
@require_GET
def exports(request: HttpRequest, operator: Person) -> HttpResponse:
    """The files, newest first; htmx asks again while one is being made."""
    template = "console/exports/_list.html" if is_partial(request) else "console/operator/billing/exports.html"
    return render(request, template, _listed(operator))


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
    kinds = [(kind.value, label, SAID_OF_ALL[kind]) for kind, label in form.kinds]
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


def _listed(operator: Person) -> dict[str, Any]:
    def address(what: str, file_id: UUID | None) -> str:
        name = f"operator-billing-export-{what}" if what else "operator-billing-exports"
        return reverse(name, kwargs={"file_id": file_id} if file_id else {})

    return listed(exports_of_all(operator_for_person(operator)), address)
