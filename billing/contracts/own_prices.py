"""Prices of some models for one organisation: a price list of its own, and the agreement that names it, in one act.

The list begins as a copy of the one in force, so that every other model costs what it costs now. A later change of the
copied list does not reach it, nor does a model that comes later: the operator prices it there.
"""

from collections.abc import Sequence

from django.db import transaction
from django.utils.translation import gettext as _

from billing.contracts.agreements import put_agreement, wish_of
from billing.contracts.contracts import contract_in_force, turn_contract
from billing.models import Contract, RateCard, Tier
from billing.prices.changes import (
    Outcome,
    PricePlan,
    PriceWish,
    ShortNotice,
    checked_reason,
    plan_prices,
    put_prices,
    require_reason,
    short_notice,
)
from billing.prices.price_lists import NAME_LENGTH_MAX, make_price_list
from identity.errors import Conflict, Invalid
from identity.models import Tenant
from identity.operators import Operator
from identity.permissions import OperatorPermission


def plan_own_prices(
    *, by: Operator, tenant: Tenant, wishes: Sequence[PriceWish]
) -> tuple[list[PricePlan], ShortNotice | None]:
    """What would come of each, beside what it costs now, and whether it takes a reason.

    Raises `Forbidden`, `Invalid`, `Conflict`.
    """
    _require(by, wishes)
    card = _running(tenant).rate_card
    plans = plan_prices(by=by, rate_card=card, wishes=wishes)
    return plans, short_notice(card, plans)


def put_own_prices(*, by: Operator, tenant: Tenant, wishes: Sequence[PriceWish], reason: str = "") -> list[PricePlan]:
    """Let the models cost this for the organisation, from now and as long as what is agreed counts; all or none.

    A price list that is the organisation's alone gets the prices; else one is made and is part of what is agreed, whose
    other values stay. It is told. Raises `Forbidden`, `Invalid`, also where a price rises without a reason, `Conflict`
    where no contract is in force.
    """
    _require(by, wishes)
    reason = checked_reason(reason)
    with transaction.atomic():
        tenant = Tenant.objects.select_for_update(no_key=True).get(pk=tenant.pk, is_platform=False)
        turn_contract(tenant.pk)
        running = _running(tenant)
        plans = plan_prices(by=by, rate_card=running.rate_card, wishes=wishes)
        if not any(plan.outcome == Outcome.ADDED for plan in plans):
            return plans
        if any(plan.outcome == Outcome.REFUSED for plan in plans):
            return plans
        require_reason(short_notice(running.rate_card, plans), reason)
        if _is_own(running):
            return put_prices(by=by, rate_card=running.rate_card, wishes=wishes, reason=reason)
        card = make_price_list(by=by, name=_free_name(tenant), copy_of=running.rate_card)
        put_prices(by=by, rate_card=card, wishes=wishes, reason=reason)
        put_agreement(by=by, tenant=tenant, wish=wish_of(running.agreement, tenant, rate_card=card.name))
    return plans


def _require(by: Operator, wishes: Sequence[PriceWish]) -> None:
    by.require(OperatorPermission.PRICE_UPDATE)
    by.require(OperatorPermission.CONTRACT_UPDATE)
    if not wishes:
        raise Invalid("prices", _("Give a price at least."))
    if any(wish.valid_from is not None for wish in wishes):
        raise Invalid("valid_from", _("They count from now, with what is agreed."))


def _running(tenant: Tenant) -> Contract:
    found = contract_in_force(tenant)
    if found is None:
        raise Conflict(_("No contract is in force: start one first."))
    return found


def _is_own(running: Contract) -> bool:
    """Whether the price list is agreed and nobody else has or gets it."""
    if running.agreement is None or running.agreement.rate_card_id != running.rate_card_id:
        return False
    others = Contract.objects.filter(rate_card=running.rate_card).exclude(tenant=running.tenant)
    is_offered = Tier.objects.filter(rate_card=running.rate_card).exists() or running.rate_card.is_reference
    return not is_offered and not others.exists()


def _free_name(tenant: Tenant) -> str:
    """A name that no list has: the organisation's short name, and a number from the second on."""
    base = _("Prices of %(name)s") % {"name": tenant.slug}
    taken = set(RateCard.objects.filter(name__startswith=base[: NAME_LENGTH_MAX - 8]).values_list("name", flat=True))
    names = (base[: NAME_LENGTH_MAX - 8] + (f" {number}" if number > 1 else "") for number in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)
