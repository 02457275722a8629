"""A month of the demo that is closed: its first organisation's last one, by the verbs that close every month.

Not while the demo is made: adding the ledger up and drawing the statement takes the worker some seconds after it.
"""

from contextlib import suppress
from datetime import date
from zoneinfo import ZoneInfo

from django.utils import timezone

from billing.checks import ledger_checks
from billing.closing.issuing import approve, closing_of, issue
from billing.closing.period import preceding
from billing.closing.previews import ask_previews, make_preview
from billing.models import Closing
from console.demo import TENANTS
from console.demo_past import has_past
from console.operator_jobs import ask_worker
from identity.errors import Conflict
from identity.models import Tenant
from identity.operators import Operator

TASK = "console.close_demo_month"


def ask_to_close() -> None:
    """Have the worker close the month, unless one is closed. It waits with the broker until there is a worker."""
    tenant = Tenant.objects.get(slug=TENANTS[0].slug)
    if Closing.objects.filter(tenant=tenant).exists():
        return
    with suppress(Conflict):  # the next start asks again
        ask_worker(TASK)


def close_demo_month() -> bool:
    """Close the last month of the demo's first organisation, unless one was. False where there is nothing to close.

    Raises `Blocked` where something is in the way.
    """
    tenant = Tenant.objects.filter(slug=TENANTS[0].slug, is_demo=True).first()
    if tenant is None or not has_past() or Closing.objects.filter(tenant=tenant, state=Closing.State.ISSUED).exists():
        return False
    month, by = _last_month(tenant), Operator.system("demo")
    ledger_checks.check_if_due(timezone.now())
    ask_previews(by=by, month=month, tenants=[tenant])
    make_preview(closing_of(tenant, month))
    approve(by=by, tenant=tenant, month=month)
    issue(by=by, tenant=tenant, month=month)
    return True


def _last_month(tenant: Tenant) -> date:
    return preceding(timezone.localdate(timezone=ZoneInfo(tenant.time_zone)))
