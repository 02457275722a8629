"""Contracts: what an organisation agreed to. Exactly one is in force; it brings its tier's limits and monthly cap."""

from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import Value
from django.db.models.functions import Now

from billing.budgets import put_budget
from billing.clock import database_now
from billing.limits import put_limit
from billing.models import Budget, Contract, Limit, RateCard, Scope, Tier, TierChoice
from billing.places import Place, Source, place_of
from billing.price_book import reference_rate_card
from identity import audit
from identity.models import Tenant


def contract_in_force(tenant: Tenant) -> Contract | None:
    """The tenant's contract; without one its requests are refused."""
    return Contract.objects.filter(tenant=tenant, ends_at=None).select_related("tier", "rate_card").first()


_CAP = "cap"  # beside what limits are of


class Terms(NamedTuple):
    """The cap a month (nano-EUR; None: none) and the limits of a contract, each {"what", "window", "amount"}."""

    cap_nano_eur: int | None
    limits: list[dict[str, Any]]


def terms_brought(tenant: Tenant) -> Terms:
    """What the contract in force brought to the tenant; its tier may say something else since. One query."""
    at = {"tenant_id": tenant.pk, "scope": Scope.TENANT, "scope_id": tenant.pk, "source": Source.TIER.value}
    caps = Budget.objects.filter(**at, period=Budget.Period.MONTH, is_active=True)
    limits = Limit.objects.filter(**at, is_active=True).values_list("pk", "what", "window", "amount")
    rows = sorted(limits.union(caps.values_list("pk", Value(_CAP), Value(""), "limit_nano_eur"), all=True))
    cap = next((amount for _pk, what, _window, amount in rows if what == _CAP), None)
    brought = [{"what": what, "window": window, "amount": amount} for _pk, what, window, amount in rows if what != _CAP]
    return Terms(cap, brought)


def card_of(tier: Tier) -> RateCard:
    """The price list of the contracts that start on the tier. Raises RateCard.DoesNotExist before `load_prices` ran."""
    return tier.rate_card or reference_rate_card()


def start_contract(*, tenant: Tenant, tier: Tier, rate_card: RateCard | None = None, actor: audit.Actor) -> Contract:
    """End the contract in force and start one of that tier, now, at those prices (None: those of the tier).

    The tier's limits and cap replace the old tier's; what is used and spent in windows and periods that both have stays
    counted. What members set themselves stays. A tier that was chosen for later is forgotten. The same tier and prices
    again: the contract goes on, its limits are renewed.
    """
    place = place_of(tenant)
    card = rate_card or card_of(tier)
    with transaction.atomic():
        place.lock()
        running = contract_in_force(tenant)
        if running is not None and (running.tier_id, running.rate_card_id) == (tier.pk, card.pk):
            contract = running
            Contract.objects.filter(pk=running.pk).update(tier_version=tier.version)
            contract.tier_version = tier.version
        else:
            now = database_now()
            Contract.objects.filter(tenant=tenant, ends_at=None).update(ends_at=now)
            TierChoice.objects.filter(tenant=tenant, closed_at=None).update(closed_at=now)
            contract = Contract.objects.create(
                tenant=tenant, tier=tier, tier_version=tier.version, rate_card=card, starts_at=now
            )
        _bring_limits(place, tier.limits)
        _bring_cap(place, tier.monthly_cap_nano_eur)
        action = "contract.renewed" if contract is running else "contract.started"
        audit.record(
            actor=actor,
            action=action,
            target=contract,
            tenant=tenant,
            before={"tier": running.tier.code, "rate_card": running.rate_card.name} if running else None,
            after={"tier": tier.code, "rate_card": card.name},
        )
    return contract


def _bring_limits(place: Place, limits: list[dict[str, Any]]) -> None:
    brought = [put_limit(place, **limit, source=Source.TIER).pk for limit in limits]
    others = Limit.objects.filter(scope=place.scope, scope_id=place.scope_id, source=Source.TIER, is_active=True)
    others.exclude(pk__in=brought).update(is_active=False)


def _bring_cap(place: Place, cap_nano_eur: int | None) -> None:
    if cap_nano_eur is None:
        caps = Budget.objects.filter(scope=place.scope, scope_id=place.scope_id, source=Source.TIER, is_active=True)
        caps.update(is_active=False, ended_at=Now())
    else:
        put_budget(place, period=Budget.Period.MONTH, limit_nano_eur=cap_nano_eur, source=Source.TIER)
