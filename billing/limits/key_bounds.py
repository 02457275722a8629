"""A key made together with bounds of its own: all of it, or nothing."""

from dataclasses import dataclass, field

from django.db import transaction
from django.db.models import QuerySet

from billing.limits.budgets import remove_budget, set_budget
from billing.limits.limits import remove_limit, set_limit
from billing.limits.places import Source
from billing.models import Budget, Limit, Scope
from identity.access import Caller
from identity.api_keys import mint_api_key
from identity.keep import Keep
from identity.key_changes import change_api_key
from identity.key_policy import KeyPolicy
from identity.models import ApiKey, Person, Project
from identity.permissions import Permission


@dataclass(frozen=True, slots=True)
class KeyBounds:
    """What a key may use at most, beside what its project and organisation may.

    budget_nano_eur: a `period`, None for no budget of its own
    limits: by (what, window), None for none
    """

    budget_nano_eur: int | None = None
    period: str = Budget.Period.MONTH
    limits: dict[tuple[str, str], int | None] = field(default_factory=dict)


def make_bounded_key(
    *,
    maker: Caller,
    project: Project,
    name: str,
    policy: KeyPolicy,
    bounds: KeyBounds,
    owner: Person | None = None,
    responsible: Person | None = None,
) -> tuple[ApiKey, str]:
    """As `mint_api_key`; who may make a key may bind it more than it would be."""
    with transaction.atomic():
        key, text = mint_api_key(
            maker=maker, project=project, name=name, policy=policy, owner=owner, responsible=responsible
        )
        _bind(key, bounds, maker)
    return key, text


def change_bounded_key(
    key: ApiKey,
    *,
    by: Caller,
    name: str,
    policy: KeyPolicy,
    bounds: KeyBounds | None,
    responsible: Person | Keep | None = Keep.KEEP,
) -> None:
    """As `change_api_key`. What was consumed stays counted. `bounds` None: as they are; they take BUDGET_UPDATE."""
    with transaction.atomic():
        change_api_key(key, by=by, name=name, policy=policy, responsible=responsible)
        if bounds is not None and bounds != bounds_of(key):
            by.require(Permission.BUDGET_UPDATE)
            _bind(key, bounds, by)


def bounds_of(key: ApiKey) -> KeyBounds:
    """The key's own budget and limits, as somebody set them."""
    budget = _budgets(key).order_by("pk").first()
    limits: dict[tuple[str, str], int | None] = {(limit.what, limit.window): limit.amount for limit in _limits(key)}
    if budget is None:
        return KeyBounds(limits=limits)
    return KeyBounds(budget.limit_nano_eur, budget.period, limits)


def _bind(key: ApiKey, bounds: KeyBounds, by: Caller) -> None:
    for budget in _budgets(key):
        if bounds.budget_nano_eur is None or budget.period != bounds.period:
            remove_budget(budget=budget, actor=by.actor)
    if bounds.budget_nano_eur is not None:
        _set_budget(key, bounds.budget_nano_eur, bounds.period, by)
    known = {(limit.what, limit.window): limit for limit in _limits(key)}
    for (what, window), amount in bounds.limits.items():
        limit = known.get((what, window))
        if amount is None and limit is not None:
            remove_limit(limit=limit, actor=by.actor)
        elif amount is not None and (limit is None or limit.amount != amount):
            set_limit(on=key, what=what, window=window, amount=amount, actor=by.actor)


def _set_budget(key: ApiKey, limit_nano_eur: int, period: str, by: Caller) -> None:
    known = _budgets(key).filter(period=period).first()
    if known is None or known.limit_nano_eur != limit_nano_eur:
        set_budget(on=key, period=period, limit_nano_eur=limit_nano_eur, actor=by.actor)


def _budgets(key: ApiKey) -> QuerySet[Budget]:
    return Budget.objects.filter(
        scope=Scope.KEY, scope_id=key.pk, tenant_id=key.tenant_id, source=Source.SET, is_active=True
    )


def _limits(key: ApiKey) -> QuerySet[Limit]:
    return Limit.objects.filter(
        scope=Scope.KEY, scope_id=key.pk, tenant_id=key.tenant_id, source=Source.SET, is_active=True
    )
