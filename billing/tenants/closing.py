"""An organisation that was made by mistake is closed: it leaves every list, its address and external id are free again,
and its chain of audit stays. What was used once has a bill, what was agreed or ordered will
have one: it is suspended instead.
"""

from django.db import connection, transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from billing.models import Contract
from identity import audit
from identity.errors import Conflict, NotFound
from identity.models import Invitation, Tenant
from identity.operators import Operator
from identity.permissions import OperatorPermission
from identity.wording import clean_name

# A budget, a limit or a member alone is no use: they came with the organisation.
_USED = """
    select exists (select from billing_usage_day where tenant_id = %(tenant)s)
        or exists (select from billing_hold where tenant_id = %(tenant)s)
        or exists (select from billing_ledger_entry where tenant_id = %(tenant)s)
        or exists (
            select from identity_apikey k join identity_keyuse u on u.key_id = k.id where k.tenant_id = %(tenant)s
        )
        or exists (select from billing_closing where tenant_id = %(tenant)s and state = 'issued')
        or exists (select from billing_contractterm where tenant_id = %(tenant)s and withdrawn_at is null)
        or exists (
            select from billing_agreement
            where tenant_id = %(tenant)s and rate_card_id is not null and closed_at is null
        )
        or exists (select from billing_creditorder where tenant_id = %(tenant)s and state = 'open')
        or exists (select from identity_groupfeed where tenant_id = %(tenant)s)
        or exists (select from identity_scimtoken where tenant_id = %(tenant)s)
        or exists (select from identity_identityprovider where tenant_id = %(tenant)s)
"""


def may_be_closed(tenant: Tenant) -> bool:
    """Whether nothing of it was ever used or closed (no request, entry of the ledger or key), nothing is agreed (a term
    of its bill, a price list of its own) or ordered, and no directory feeds it.
    """
    with connection.cursor() as cursor:
        cursor.execute(_USED, {"tenant": tenant.pk})
        return not cursor.fetchone()[0]


def close_tenant(tenant: Tenant, *, by: Operator, reason: str) -> bool:
    """Close it, for good: its keys are refused within a second, its people and invited ones find nothing any more.

    Raises `Forbidden`, `NotFound` (closed before), `Invalid` for the reason, `Conflict` where something was used.
    """
    by.require(OperatorPermission.TENANT_SUSPEND)
    reason = clean_name(reason, "reason")
    with transaction.atomic():
        open_ones = Tenant.objects.select_for_update(no_key=True).filter(is_platform=False, closed_at=None)
        fresh = open_ones.filter(pk=tenant.pk).first()
        if fresh is None:
            raise NotFound("tenant")
        if not may_be_closed(fresh):
            text = _("It was used, something is agreed or ordered, or a directory feeds it. Suspend it instead.")
            raise Conflict(text)
        Invitation.objects.filter(tenant=fresh, accepted_at=None, withdrawn_at=None).update(withdrawn_at=Now())
        Contract.objects.filter(tenant=fresh, ends_at=None).update(ends_at=Now())
        detail = {"reason": reason, "slug": fresh.slug, "external_id": fresh.external_id or ""}
        # In both chains, the tenant's first: the order that all writers keep.
        audit.record(tenant=fresh, actor=by.actor, action="tenant.closed", target=fresh, detail=detail)
        audit.record(actor=by.actor, action="tenant.closed", target=fresh, detail=detail)
        Tenant.objects.filter(pk=fresh.pk).update(
            status=Tenant.Status.SUSPENDED,
            suspended_at=Now(),
            suspended_reason=reason,
            closed_at=Now(),
            slug=f"closed-{fresh.pk}",
            external_id=None,
        )
    return True
