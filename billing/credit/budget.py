"""The budget that holds prepaid credit: hard, of the tenant, given once, with the source "credit" (decision 0014).

While it is active, requests are paid from the credit. Its limit follows from the ledger's entries, in SQL and in the
transaction that writes them. A tenant that leaves its prepaid tier keeps what is left; on one again, a new budget has
it.
"""

from django.db import connection
from django.db.models import QuerySet
from django.db.models.functions import Now

from billing.limits.places import Place, Source
from billing.models import Budget, Scope


def begin_credit(place: Place) -> None:
    """Pay the tenant's requests from its credit from now on. The caller locks the place and keeps the audit."""
    if not credit_budgets(place.tenant.pk).filter(is_active=True).exists():
        _make(place, is_active=True)
        fit_credit(place.tenant.pk)


def end_credit(place: Place) -> None:
    """Pay no request admitted from now on from the credit; what is left rests. As `begin_credit`."""
    credit_budgets(place.tenant.pk).filter(is_active=True).update(is_active=False, ended_at=Now())


def make_account(place: Place) -> None:
    """Let the tenant have credit, though requests are not paid from it. As `begin_credit`."""
    if not credit_budgets(place.tenant.pk).exists():
        made = _make(place, is_active=False)
        Budget.objects.filter(pk=made.pk).update(ended_at=Now())


def credit_budgets(tenant_id: int) -> QuerySet[Budget]:
    """All that the tenant ever had; the latest counts."""
    return Budget.objects.filter(tenant_id=tenant_id, source=Source.CREDIT.value).order_by("pk")


def fit_credit(tenant_id: int) -> None:
    """Make the limits follow from the entries."""
    with connection.cursor() as cursor:
        cursor.execute("select fit_credit_v1(%s)", [tenant_id])


def _make(place: Place, *, is_active: bool) -> Budget:
    return Budget.objects.create(
        tenant_id=place.tenant.pk,
        scope=Scope.TENANT,
        scope_id=place.tenant.pk,
        period=Budget.Period.ONCE,
        source=Source.CREDIT.value,
        limit_nano_eur=0,
        alert_percents=[],  # `billing/credit/alerts.py` tells of it
        is_active=is_active,
    )
