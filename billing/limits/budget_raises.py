"""A budget raised for a time: it ends by itself, by the database's clock, within seconds (a gateway's sweeper puts it
in force), whether or not the worker runs. The worker only tells of it.

Whoever changes the limit meanwhile ends the raise. Amounts are nano-EUR.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from django.db import transaction
from django.utils.translation import gettext as _

from billing.clock import database_now
from billing.limits.budgets import HIGHEST_LIMIT, set_limit_of
from billing.limits.places import Place, Source
from billing.models import Budget, BudgetRaise, Scope
from identity import audit
from identity.budget_duties import people_answering
from identity.errors import Conflict, Invalid, NotFound
from identity.models import Tenant
from identity.notice_kinds import KINDS
from identity.notices import notify

LONGEST = timedelta(days=366)
TOLD_AT_ONCE = 500


def raise_budget(*, budget: Budget, limit_nano_eur: int, until: datetime, actor: audit.Actor) -> BudgetRaise:
    """Let the budget have that limit until then; a raise that runs is replaced, and its base stays the base.

    Raises `Invalid`; also for a budget that the contract brings, and one that only alerts.
    """
    if budget.source != Source.SET:
        raise Invalid("budget", _("It comes with the contract and changes with it."))
    place = Place.of_row(budget)
    with transaction.atomic():
        place.lock()
        fresh, running = Budget.objects.get(pk=budget.pk), running_raises([budget.pk]).get(budget.pk)
        base = running.base_nano_eur if running else fresh.limit_nano_eur
        now = database_now()
        if not fresh.is_active:
            raise Conflict(_("The budget is ended."))
        if not fresh.is_hard:
            raise Invalid("budget", _("It only tells: nothing has to be raised."))
        if type(limit_nano_eur) is not int or not base < limit_nano_eur <= HIGHEST_LIMIT:
            raise Invalid("limit_nano_eur", _("More than the budget is without it."))
        if not now < until <= now + LONGEST:
            raise Invalid("until", _("After now, and within a year."))
        set_limit_of(fresh, limit_nano_eur)
        made = BudgetRaise.objects.create(
            budget_id=fresh.pk, base_nano_eur=base, raised_nano_eur=limit_nano_eur, raised_until=until,
            actor_kind=actor.kind.value, actor=actor.name,
        )  # fmt: skip
        detail = {"scope": place.scope.value, "period": fresh.period, "until": until.isoformat()}
        before = {"limit_nano_eur": running.raised_nano_eur if running else base}
        after = {"limit_nano_eur": limit_nano_eur}
        audit.record(
            actor=actor, action="budget.raised_until", target=fresh, tenant=place.tenant, detail=detail,
            before=before, after=after,
        )  # fmt: skip
    return made


def end_raise(*, budget: Budget, actor: audit.Actor) -> bool:
    """End the budget's raise now. False where none runs."""
    place = Place.of_row(budget)
    with transaction.atomic():
        place.lock()
        running = running_raises([budget.pk]).get(budget.pk)
        if running is None:
            return False
        set_limit_of(budget, running.base_nano_eur)
        detail = {"scope": place.scope.value, "period": budget.period}
        before, after = {"limit_nano_eur": running.raised_nano_eur}, {"limit_nano_eur": running.base_nano_eur}
        audit.record(
            actor=actor, action="budget.raise_ended", target=budget, tenant=place.tenant, detail=detail,
            before=before, after=after,
        )  # fmt: skip
    return True


def budget_of_tenant(tenant: Tenant, budget_id: int) -> Budget:
    """An active budget that somebody set on the tenant or one of its projects. Raises `NotFound`."""
    found = Budget.objects.filter(pk=budget_id, tenant_id=tenant.pk, is_active=True, source=Source.SET.value)
    budget = found.exclude(scope=Scope.KEY).first()
    if budget is None:
        raise NotFound("budget")
    return budget


def running_raises(budget_ids: Iterable[int]) -> Mapping[int, BudgetRaise]:
    """By budget, those that run."""
    found = BudgetRaise.objects.filter(budget_id__in=list(budget_ids), ended_at=None)
    return {one.budget_id: one for one in found}


def tell_of_ended_raises() -> int:
    """Tell of the raises that ended by themselves, and keep the audit; how many. For the worker."""
    due = BudgetRaise.objects.filter(ended_at__isnull=False, told_at=None).order_by("ended_at")
    return sum(_tell(pk) for pk in due.values_list("pk", flat=True)[:TOLD_AT_ONCE])


def _tell(raise_id: int) -> bool:
    with transaction.atomic():
        ended = BudgetRaise.objects.select_for_update().get(pk=raise_id)
        if ended.told_at is not None:
            return False
        BudgetRaise.objects.filter(pk=raise_id).update(told_at=database_now())
        budget = Budget.objects.get(pk=ended.budget_id)
        tenant = Place.of_row(budget).tenant
        context = {"base_nano_eur": ended.base_nano_eur, "raised_nano_eur": ended.raised_nano_eur}
        kind, people = "budget.raise_ended", people_answering([budget.pk]).values()
        notify(tenant, kind, context=context, roles=KINDS[kind].roles, people=people, once_key=f"raise:{raise_id}")
        audit.record(
            actor=audit.Actor.system("billing"), action="budget.raise_ended", target=budget, tenant=tenant,
            detail={"scope": budget.scope, "period": budget.period},
            before={"limit_nano_eur": ended.raised_nano_eur}, after={"limit_nano_eur": ended.base_nano_eur},
        )  # fmt: skip
    return True
