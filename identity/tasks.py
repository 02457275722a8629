"""What the worker does for identity. A task may run twice, or late: it looks at the rows and writes what it found."""

import time

from celery import shared_task
from django.utils import timezone

from identity.audit_refusals import close_hours
from identity.audit_signing import checkpoint_chains
from identity.audit_trail import verify_and_keep
from identity.key_reminders import remind_of_expiry
from identity.models import Tenant
from identity.notice_delivery import deliver_due, forget_old_notices
from identity.shipping import ship

# A sweep begins no batch after so long; with the slowest batch it ends before the next but one sweep begins, so that
# receivers that hang never take all of the worker's threads.
SWEEP_SECONDS = 8.0


@shared_task(name="identity.checkpoint_audit_chains", ignore_result=True)  # type: ignore[untyped-decorator]
def checkpoint_audit_chains() -> None:
    """Sign every audit chain that grew, after the refusals of the hours that are over were added up in it."""
    close_hours()
    checkpoint_chains()


@shared_task(name="identity.verify_audit_chain", ignore_result=True)  # type: ignore[untyped-decorator]
def verify_audit_chain(tenant_id: int | None) -> None:
    """Verify a chain that is too long for a page to wait for."""
    verify_and_keep(Tenant.objects.get(pk=tenant_id) if tenant_id is not None else None)


@shared_task(name="identity.deliver_notices", ignore_result=True)  # type: ignore[untyped-decorator]
def deliver_notices() -> None:
    """Send what is due, batch by batch."""
    begun = time.monotonic()
    while deliver_due() and time.monotonic() - begun < SWEEP_SECONDS:
        pass


@shared_task(name="identity.forget_notices", ignore_result=True)  # type: ignore[untyped-decorator]
def forget_notices() -> None:
    """Remove notices that are older than they are kept."""
    forget_old_notices()


@shared_task(name="identity.remind_of_keys", ignore_result=True)  # type: ignore[untyped-decorator]
def remind_of_keys() -> None:
    """Tell tenants of the keys that are about to expire."""
    remind_of_expiry(timezone.now())


@shared_task(name="identity.ship_audit", ignore_result=True)  # type: ignore[untyped-decorator]
def send_to_collectors() -> None:
    """Send the operator's collectors what they lack of the audit and of the processes' logs."""
    ship(seconds=SWEEP_SECONDS)
