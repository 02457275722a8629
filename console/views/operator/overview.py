"""The operator's first page: what the platform does now and what is in trouble; while it is empty, what to do first."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from billing.checks.ledger_checks import last_check
from billing.usage.platform_pulse import NEAR_PERCENT, platform_pulse, tenants_near_cap
from console.operator_jobs import jobs
from console.pages import is_partial, operator_page
from console.release import pending_migrations
from console.set_up_list import set_up_lines
from gateway.pools.health import last_reconciliation, models_health
from identity.audit_trail import chains_checked_and_backup
from identity.backups import state_of
from identity.models import Person
from identity.permissions import OperatorPermission
from identity.release import version


@require_GET
@operator_page(OperatorPermission.PLATFORM_READ)
def overview(request: HttpRequest, operator: Person) -> HttpResponse:
    """The whole page; for htmx the figures of the moment alone."""
    now = timezone.now()
    pulse = platform_pulse(now)
    if is_partial(request):
        return render(request, "console/operator/overview/_pulse.html", {"pulse": pulse})
    models = models_health(now)
    if not (models and pulse.tenants):
        return render(request, "console/operator/overview/empty.html", {"lines": set_up_lines()})
    near, how_many = tenants_near_cap()
    troubled = [job for job in jobs() if job.state in ("failing", "late")]
    chains, backup = chains_checked_and_backup()
    shown = {
        "pulse": pulse,
        "backup": backup,
        "backup_state": state_of(backup, now),
        "models": models,
        "near": near,
        "near_count": how_many,
        "near_percent": NEAR_PERCENT,
        "troubled": troubled,
        "reconciled": last_reconciliation(),
        "ledger_check": last_check(),
        "chains": chains,
        "version": version(),
        "pending": pending_migrations(),
    }
    return render(request, "console/operator/overview/overview.html", shown)
