"""What the worker does by the clock: how each job went last, and running one now."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from console.formats import span
from console.operator_jobs import jobs as all_jobs
from console.operator_jobs import run_now
from console.pages import operator_page
from console.refusals import sentence_of
from identity.errors import Conflict
from identity.models import Person
from identity.permissions import OperatorPermission


@require_GET
@operator_page(OperatorPermission.PLATFORM_READ)
def jobs(request: HttpRequest, operator: Person) -> HttpResponse:
    """All jobs, those in trouble first."""
    language = get_language() or "en"
    rows = [(job, span(int(job.every.total_seconds()), language)) for job in all_jobs()]
    return render(request, "console/operator/settings/jobs.html", {"rows": rows})


@require_POST
@operator_page(OperatorPermission.PLATFORM_OPERATE)
def job_run(request: HttpRequest, operator: Person, job: str) -> HttpResponse:
    """Have the worker run one, beside its schedule."""
    try:
        run_now(job)
    except Conflict as error:
        messages.error(request, sentence_of(error))
    else:
        messages.success(request, _("The worker was asked to run it: look again in a moment."))
    return redirect("operator-jobs")
