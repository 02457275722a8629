"""What is kept for how long."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from console.forms.operator_service import RetentionForm
from console.pages import operator_page
from console.refusals import show_at_form
from console.retention import kept_rows
from identity.errors import Invalid
from identity.models import Person
from identity.operators import operator_for_person
from identity.permissions import OperatorPermission
from identity.service import change_service, read_service


@require_GET
@operator_page(OperatorPermission.PLATFORM_READ)
def retention(request: HttpRequest, operator: Person) -> HttpResponse:
    """All kinds of rows, and the one that can be set."""
    return _page(request)


@require_POST
@operator_page(OperatorPermission.PLATFORM_OPERATE)
def retention_change(request: HttpRequest, operator: Person) -> HttpResponse:
    """Keep usage records for another time."""
    form = RetentionForm(request.POST)
    if form.is_valid():
        try:
            change_service(by=operator_for_person(operator), **form.cleaned_data)
        except Invalid as error:
            show_at_form(form, error)
        else:
            messages.success(request, _("The settings are kept."))
            return redirect("operator-retention")
    return _page(request, form)


def _page(request: HttpRequest, form: RetentionForm | None = None) -> HttpResponse:
    known = read_service()
    shown = {
        "rows": kept_rows(known),
        "form": form or RetentionForm(initial={"usage_months": known.months_of_usage}),
    }
    return render(request, "console/operator/settings/retention.html", shown)
