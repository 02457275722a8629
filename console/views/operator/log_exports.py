"""The operator's collectors: which there are, how far each is, a new one, a change, a try, the end."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from console.forms.log_exports import LogExportForm
from console.pages import operator_page
from console.refusals import show_at_form
from identity import audit_shipping, log_shipping
from identity.errors import Conflict, Invalid
from identity.log_exports import add_export, change_export, export_by_id, remove_export, try_export
from identity.models import LogExport, Person
from identity.operators import operator_for_person
from identity.permissions import OperatorPermission


@require_http_methods(["GET", "POST"])
@operator_page(OperatorPermission.PLATFORM_OPERATE)
def log_exports(request: HttpRequest, operator: Person) -> HttpResponse:
    """All collectors, and a form for a new one."""
    form = LogExportForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        beginning = form.cleaned_data["from_beginning"]
        try:
            add_export(by=operator_for_person(operator), settings=form.settings(), from_beginning=beginning)
        except (Invalid, Conflict) as error:
            show_at_form(form, error)
        else:
            messages.success(request, _("The collector is added. Send it a test record."))
            return redirect("operator-exports")
    events, lines = audit_shipping.how_far_behind(), log_shipping.how_far_behind()
    exports = [
        (export, events.get(export.pk, 0), lines.get(export.pk, 0), _state(export))
        for export in LogExport.objects.order_by("pk")
    ]
    return render(request, "console/operator/settings/exports.html", {"form": form, "exports": exports})


@require_http_methods(["GET", "POST"])
@operator_page(OperatorPermission.PLATFORM_OPERATE)
def log_export(request: HttpRequest, operator: Person, export_id: int) -> HttpResponse:
    """Change a collector."""
    by = operator_for_person(operator)
    export = export_by_id(by, export_id)
    form = LogExportForm(request.POST or None, export=export)
    if request.method == "POST" and form.is_valid():
        try:
            change_export(by=by, export_id=export_id, settings=form.settings())
        except (Invalid, Conflict) as error:
            show_at_form(form, error)
        else:
            messages.success(request, _("Saved. It goes on where it was."))
            return redirect("operator-exports")
    return render(request, "console/operator/settings/export.html", {"form": form, "export": export})


@require_POST
@operator_page(OperatorPermission.PLATFORM_OPERATE)
def log_export_try(request: HttpRequest, operator: Person, export_id: int) -> HttpResponse:
    """Send a test record."""
    outcome = try_export(by=operator_for_person(operator), export_id=export_id)
    if outcome.is_delivered and not outcome.fault:
        messages.success(request, _("The receiver took the test record."))
    else:
        messages.error(request, str(outcome.fault.label) + (f" ({outcome.status})" if outcome.status else ""))
    return redirect("operator-exports")


@require_POST
@operator_page(OperatorPermission.PLATFORM_OPERATE)
def log_export_remove(request: HttpRequest, operator: Person, export_id: int) -> HttpResponse:
    """Send nothing there any more."""
    remove_export(by=operator_for_person(operator), export_id=export_id)
    messages.success(request, _("The collector gets nothing any more."))
    return redirect("operator-exports")


def _state(export: LogExport) -> str:
    if export.attempts:
        return "failing"
    return "well" if export.went_well_at else "waiting_for_first"
