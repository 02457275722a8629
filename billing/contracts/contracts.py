"""Contracts: what an organisation agreed to. Exactly one is in force; it brings its tier's limits and monthly cap, and
in their place what was agreed otherwise (`billing/contracts/agreements.py`).
"""

import json
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.db.models import Min, Value

from billing.clock import database_now
from billing.credit.budget import begin_credit, end_credit
from billing.limits.places import Source, place_of
from billing.models import Agreement, Budget, Contract, Limit, RateCard, Scope, Tier, TierChoice
from billing.prices.price_book import reference_rate_card
from identity import audit
from identity.models import Tenant

_CAP = "cap"  # beside what limits are of


def contract_in_force(tenant: Tenant) -> Contract | None:
    """The tenant's contract; without one its requests are refused."""
    found = Contract.objects.filter(tenant=tenant, ends_at=None)
    return found.select_related("tenant", "tier__rate_card", "rate_card", "agreement__rate_card").first()


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


def terms_with(tier: Tier, agreement: Agreement | None) -> Terms:
    """What a contract of the tier brings: the tier's values, and in their place what was agreed."""
    if agreement is None:
        return Terms(tier.monthly_cap_nano_eur, tier.limits)
    kinds = agreed_kinds(agreement)
    kept = [limit for limit in tier.limits if (limit["what"], limit["window"]) not in kinds]
    own = [limit for limit in agreement.limits if limit["amount"] is not None]
    cap = agreement.monthly_cap_nano_eur if agreement.is_cap_agreed else tier.monthly_cap_nano_eur
    return Terms(cap, [*kept, *own])


def agreed_kinds(agreement: Agreement | None) -> set[tuple[str, str]]:
    """The kinds of limits, what and window, about which something was agreed."""
    return {(limit["what"], limit["window"]) for limit in agreement.limits} if agreement else set()


def card_with(running: Contract, agreement: Agreement | None) -> RateCard:
    """The price list of the contract with the agreement: its own, or the one that there is without."""
    if agreement is not None and agreement.rate_card is not None:
        return agreement.rate_card
    has_own = running.agreement is not None and running.agreement.rate_card_id is not None
    return card_of(running.tier) if has_own else running.rate_card


def start_contract(*, tenant: Tenant, tier: Tier, rate_card: RateCard | None = None, actor: audit.Actor) -> Contract:
    """End the contract in force and start one of that tier, now, at those prices (None: those of the tier).

    The tier's limits and cap replace the old tier's; what is used and spent in windows and periods that both have stays
    counted. What members set themselves stays. A tier that was chosen for later is forgotten, and an agreement that was
    part of the contract ends with it. The same tier and prices again: the contract goes on with what was agreed, its
    limits are renewed. On a tier that is prepaid, requests are paid from the credit.
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
            if running is not None and running.agreement is not None:
                close_agreement(running.agreement, now)
            contract = _follow(tenant, tier, card, None, now)
            tier.refresh_from_db(fields=["prepaid_nano_eur"])  # it changes no more now that the contract refers to it
        bring_terms(tenant, terms_with(tier, contract.agreement))
        if tier.prepaid_nano_eur is not None:
            begin_credit(place)
        else:
            end_credit(place)
        audit.record(
            actor=actor,
            action="contract.renewed" if contract is running else "contract.started",
            target=contract,
            tenant=tenant,
            before={"tier": running.tier.code, "rate_card": running.rate_card.name} if running else None,
            after={"tier": tier.code, "rate_card": card.name},
        )
    return contract


def start_agreed(*, running: Contract, agreement: Agreement | None, now: datetime) -> Contract:
    """Let a contract follow that has the agreement (None: none any more) in place of the one of before, from now.

    The caller holds the tenant's row, made the agreement, and keeps the audit.
    """
    tenant = running.tenant
    if running.agreement is not None and running.agreement.closed_at is None:
        close_agreement(running.agreement, now)
    contract = _follow(tenant, running.tier, card_with(running, agreement), agreement, now)
    bring_terms(tenant, terms_with(running.tier, agreement))
    return contract


def close_agreement(agreement: Agreement, now: datetime) -> None:
    """It ends, or never begins."""
    Agreement.objects.filter(pk=agreement.pk, closed_at=None).update(closed_at=now)
    agreement.closed_at = now


def turn_of(tenant: Tenant, agreement: Agreement | None) -> datetime | None:
    """When a contract with that agreement turns by itself: as it ends, or as one that is planned begins."""
    planned = Agreement.objects.filter(tenant=tenant, begun_at=None, closed_at=None).aggregate(at=Min("starts_at"))[
        "at"
    ]
    ends = [at for at in (planned, agreement.ends_at if agreement else None) if at is not None]
    return min(ends) if ends else None


def turn_contract(tenant_id: int) -> bool:
    """End and begin the tenant's agreements that are due, with a contract of its own each. False where none was.

    Gateways do the same at the first request after that instant, so this is never too late for money.
    """
    with connection.cursor() as cursor:
        cursor.execute("select turn_contract_v1(%s)", [tenant_id])
        turned: bool = cursor.fetchone()[0]
    return turned


def bring_terms(tenant: Tenant, terms: Terms) -> None:
    """Let cap and limits bind in place of those that the contract before brought. The caller holds the tenant's row."""
    limits = [{"what": one["what"], "window": one["window"], "amount": one["amount"]} for one in terms.limits]
    with connection.cursor() as cursor:
        cursor.execute("select bring_terms_v1(%s, %s, %s::jsonb)", [tenant.pk, terms.cap_nano_eur, json.dumps(limits)])


def _follow(tenant: Tenant, tier: Tier, card: RateCard, agreement: Agreement | None, now: datetime) -> Contract:
    """The next contract; the one before ends, and so does a choice for later."""
    Contract.objects.filter(tenant=tenant, ends_at=None).update(ends_at=now)
    TierChoice.objects.filter(tenant=tenant, closed_at=None).update(closed_at=now)
    return Contract.objects.create(
        tenant=tenant,
        tier=tier,
        tier_version=tier.version,
        rate_card=card,
        agreement=agreement,
        turns_at=turn_of(tenant, agreement),
        starts_at=now,
    )
