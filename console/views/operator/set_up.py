"""The set-up list: always under Settings, and the first page of an empty installation."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from console.pages import operator_page
from console.set_up_list import set_up_lines, try_line
from identity.models import Person
from identity.permissions import OperatorPermission

# Pages that have a line's button, too.
_BACK = ("operator-identity", "operator-mail")


@require_GET
@operator_page(OperatorPermission.PLATFORM_READ)
def set_up(request: HttpRequest, operator: Person) -> HttpResponse:
    """What is done, missing or broken."""
    return render(request, "console/operator/settings/set_up.html", {"lines": set_up_lines()})


@require_POST
@operator_page(OperatorPermission.PLATFORM_OPERATE)
def set_up_try(request: HttpRequest, operator: Person, line: str) -> HttpResponse:
    """Try a line, for real."""
    trial = try_line(line, operator=operator)
    tell = messages.success if trial.is_good else messages.error
    for sentence in trial.told:
        tell(request, sentence)
    if trial.is_good and not trial.told:
        messages.success(request, _("It works."))
    return redirect(back if (back := request.POST.get("back")) in _BACK else "operator-set-up")
