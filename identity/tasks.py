"""What the worker does for identity. A task may run twice, or late: it looks at the rows and writes what it found."""

from celery import shared_task

from identity.audit_refusals import close_hours
from identity.audit_signing import checkpoint_chains
from identity.audit_trail import verify_and_keep
from identity.models import Tenant


@shared_task(name="identity.checkpoint_audit_chains", ignore_result=True)  # type: ignore[untyped-decorator]
def checkpoint_audit_chains() -> None:
    """Sign every audit chain that grew, after the refusals of the hours that are over were added up in it."""
    close_hours()
    checkpoint_chains()


@shared_task(name="identity.verify_audit_chain", ignore_result=True)  # type: ignore[untyped-decorator]
def verify_audit_chain(tenant_id: int | None) -> None:
    """Verify a chain that is too long for a page to wait for."""
    verify_and_keep(Tenant.objects.get(pk=tenant_id) if tenant_id is not None else None)
