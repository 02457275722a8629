"""Budgets: an amount a period on an organisation, a project or a key. Amounts are nano-EUR.

People edit `limit`; what binds is the cap of the current period, which PostgreSQL keeps (I3): a limit below what is
spent and held stops the holder now, and the cap sinks to it as holds are released. What a tier brings (source "tier")
and what somebody set (source "set") stand side by side; the lower binds.
"""

from collections.abc import Sequence
from typing import Any

from django.db import connection, transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from billing.limits.places import Holder, Place, Source, place_of
from billing.models import Budget, BudgetRaise
from identity import audit
from identity.budget_duties import put_duty
from identity.errors import Invalid, NotFound

HIGHEST_LIMIT = 10**18  # nano-EUR: a thousand million euros
ALERTS_MAX = 10


def set_budget(
    *,
    on: Holder,
    period: str,
    limit_nano_eur: int,
    is_hard: bool = True,
    may_lower_output: bool = False,
    alert_percents: Sequence[int] | None = None,
    actor: audit.Actor,
) -> Budget:
    """Set a budget, or change the one set on that holder for that period; what is spent and held stays counted.

    `is_hard` false: it alerts and never refuses. `may_lower_output`: where money is short, a client's own output limit
    may be lowered too. `alert_percents`: of the limit, spent, at which people are told; None: as it was, or 80 and 100.
    Raises Invalid for a budget that makes no sense.
    """
    _check(period, limit_nano_eur)
    alerts = None if alert_percents is None else _checked_alerts(alert_percents)
    place = place_of(on)
    with transaction.atomic():
        place.lock()
        earlier = Budget.objects.filter(
            scope=place.scope, scope_id=place.scope_id, period=period, source=Source.SET.value, is_active=True
        ).first()
        before = _told(earlier) if earlier else None
        budget = put_budget(
            place,
            period=period,
            limit_nano_eur=limit_nano_eur,
            source=Source.SET,
            is_hard=is_hard,
            may_lower_output=may_lower_output,
        )
        if alerts is not None:
            Budget.objects.filter(pk=budget.pk).update(alert_percents=alerts)
        budget.refresh_from_db(fields=["alert_percents"])
        audit.record(
            actor=actor,
            action="budget.set",
            target=budget,
            tenant=place.tenant,
            detail={"scope": place.scope.value, "period": period},
            before=before,
            after=_told(budget),
        )
    return budget


def change_limit(*, budget: Budget, limit_nano_eur: int, actor: audit.Actor) -> None:
    """Raise or lower a budget that somebody set. Raises Invalid; also for one that the contract brings."""
    _check(budget.period, limit_nano_eur)
    _refuse_contracts(budget)
    place = Place.of_row(budget)
    with transaction.atomic():
        place.lock()
        before = Budget.objects.get(pk=budget.pk).limit_nano_eur
        set_limit_of(budget, limit_nano_eur)
        action = "budget.raised" if limit_nano_eur > before else "budget.lowered"
        audit.record(
            actor=actor,
            action=action,
            target=budget,
            tenant=place.tenant,
            detail={"scope": place.scope.value, "period": budget.period},
            before={"limit_nano_eur": before},
            after={"limit_nano_eur": limit_nano_eur},
        )


def remove_budget(*, budget: Budget, actor: audit.Actor) -> None:
    """End a budget that somebody set: it binds no request admitted from now on. Raises Invalid for a contract's."""
    _refuse_contracts(budget)
    place = Place.of_row(budget)
    with transaction.atomic():
        _forget_raise(budget)
        Budget.objects.filter(pk=budget.pk).update(is_active=False, ended_at=Now())
        put_duty(place.tenant, budget.pk, None, None)
        detail = {"scope": place.scope.value, "period": budget.period}
        audit.record(
            actor=actor,
            action="budget.removed",
            target=budget,
            tenant=place.tenant,
            detail=detail,
            before=_told(budget),
        )


def budget_on(holder: Holder, budget_id: int) -> Budget:
    """An active budget of the holder. Raises NotFound, also for one of another holder."""
    place = place_of(holder)
    found = Budget.objects.filter(pk=budget_id, scope=place.scope, scope_id=place.scope_id, is_active=True).first()
    if found is None:
        raise NotFound("budget")
    return found


def put_budget(
    place: Place,
    *,
    period: str,
    limit_nano_eur: int,
    source: Source,
    is_hard: bool = True,
    may_lower_output: bool = False,
) -> Budget:
    """The active budget of that source with that limit. The caller checks, locks the place and keeps the audit."""
    budget, is_new = Budget.objects.update_or_create(
        scope=place.scope,
        scope_id=place.scope_id,
        period=period,
        source=source.value,
        is_active=True,
        defaults={"tenant_id": place.tenant.pk, "is_hard": is_hard, "may_lower_output": may_lower_output},
        create_defaults={
            "tenant_id": place.tenant.pk,
            "is_hard": is_hard,
            "may_lower_output": may_lower_output,
            "limit_nano_eur": limit_nano_eur,
        },
    )
    if not is_new:
        set_limit_of(budget, limit_nano_eur)
    return budget


def set_limit_of(budget: Budget, limit_nano_eur: int) -> None:
    """The budget's limit and the current period's cap, in one step that admissions cannot come between. A raise for a
    time is over with it. The caller checks, locks the place and keeps the audit.
    """
    _forget_raise(budget)
    with connection.cursor() as cursor:
        cursor.execute("select set_budget_limit_v1(%s, %s)", [budget.pk, limit_nano_eur])
    budget.limit_nano_eur = limit_nano_eur


def _forget_raise(budget: Budget) -> None:
    """What ends with it is told by whatever ends it."""
    BudgetRaise.objects.filter(budget_id=budget.pk, ended_at=None).update(ended_at=Now(), told_at=Now())


def _check(period: str, limit_nano_eur: int) -> None:
    if period not in Budget.Period.values:
        raise Invalid("period", _("One of %(choices)s.") % {"choices": ", ".join(Budget.Period.values)})
    if type(limit_nano_eur) is not int or not 0 <= limit_nano_eur <= HIGHEST_LIMIT:
        raise Invalid(
            "limit_nano_eur", _("A whole number of nano-EUR from 0 to %(highest)s.") % {"highest": HIGHEST_LIMIT}
        )


def _checked_alerts(percents: Sequence[int]) -> list[int]:
    if len(percents) > ALERTS_MAX or any(type(one) is not int or not 1 <= one <= 100 for one in percents):
        raise Invalid("alert_percents", _("At most %(count)s whole numbers from 1 to 100.") % {"count": ALERTS_MAX})
    return sorted(set(percents))


def _told(budget: Budget) -> dict[str, Any]:
    """What of a budget may change, for the audit."""
    members = ("limit_nano_eur", "is_hard", "may_lower_output", "alert_percents")
    return {name: getattr(budget, name) for name in members}


def _refuse_contracts(budget: Budget) -> None:
    if budget.source != Source.SET:
        raise Invalid("budget", _("It comes with the contract and changes with it."))
