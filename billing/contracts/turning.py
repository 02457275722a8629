"""Agreements that begin and end by themselves: for organisations without requests, and to tell of what happened.

For money nothing here matters: the database turns a contract at the first request after its instant (decision 0017).
"""

from datetime import timedelta

from django.db import transaction
from django.db.models.functions import Now

from billing.clock import database_now
from billing.contracts.agreements import named, target_of, told_of
from billing.contracts.contracts import contract_in_force, turn_contract
from billing.models import Agreement
from identity import audit
from identity.models import Tenant
from identity.notices import notify

ACTOR = audit.Actor.system("billing")
AT_ONCE = 200  # a call of the worker's: some seconds
REMINDED_DAYS = (7, 30)  # before the end; the nearest first, so that who comes late is told once


def turn_due_contracts() -> int:
    """Turn the contracts whose time has come, each in a transaction of its own; how many did. For the worker."""
    due = Agreement.objects.filter(
        closed_at=None, tenant__contracts__ends_at=None, tenant__contracts__turns_at__lte=Now()
    )
    tenants = due.order_by("tenant_id").values_list("tenant_id", flat=True).distinct()
    return sum(turn_contract(tenant_id) for tenant_id in tenants[:AT_ONCE])


def tell_of_turns() -> int:
    """Write what turned into the audit and tell the people of it, each once; how many were told of. For the worker."""
    untold = Agreement.objects.filter(is_told=False).order_by("pk").values_list("pk", flat=True)
    return sum(_tell(pk) for pk in untold[:AT_ONCE])


def remind_of_ends() -> int:
    """Tell organisations and operators of agreements in force that end within 30 and within 7 days, once each; how many
    end so. For the worker.
    """
    now = database_now()
    soon = Agreement.objects.filter(
        closed_at=None,
        begun_at__isnull=False,
        ends_at__gt=now,
        ends_at__lte=now + timedelta(days=max(REMINDED_DAYS)),
        tenant__closed_at=None,
    )
    found = list(soon.select_related("tenant").order_by("pk"))
    for agreement in found:
        assert agreement.ends_at is not None
        days = next(days for days in REMINDED_DAYS if agreement.ends_at <= now + timedelta(days=days))
        with transaction.atomic():
            _remind(agreement, days)
    return len(found)


def _remind(agreement: Agreement, days: int) -> None:
    assert agreement.ends_at is not None
    running = contract_in_force(agreement.tenant)
    if running is None or running.agreement_id != agreement.pk:
        return
    once = f"agreement:{agreement.pk}:{days}"
    context = {"reference": named(agreement), "ends_at": agreement.ends_at.isoformat()}
    notify(agreement.tenant, "contract.agreement_ends", context=context | {"tier": running.tier.name}, once_key=once)
    told = {"organisation": agreement.tenant.name, "slug": agreement.tenant.slug}
    notify(None, "agreement.ends", context=context | told, once_key=once)


def _tell(agreement_id: int) -> bool:
    with transaction.atomic():
        agreement = Agreement.objects.select_related("tenant", "rate_card").get(pk=agreement_id)
        tenant = Tenant.objects.select_for_update(no_key=True).get(pk=agreement.tenant_id)
        if not Agreement.objects.filter(pk=agreement_id, is_told=False).update(is_told=True):
            return False  # another worker did
        agreement.refresh_from_db(fields=["closed_at"])
        action = "contract.agreement_begun" if agreement.closed_at is None else "contract.agreement_ended"
        at = {"at": (agreement.closed_at or agreement.starts_at).isoformat()}
        audit.record(
            actor=ACTOR,
            action=action,
            target=target_of(agreement),
            tenant=tenant,
            detail=at,
            after=told_of(agreement) if agreement.closed_at is None else None,
        )
        running = contract_in_force(tenant)
        notify(tenant, action, context={"reference": named(agreement), "tier": running.tier.name if running else "–"})
    return True
