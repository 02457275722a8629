"""The tier that a tenant takes by itself: up at once, down from its next month. The operator is told, not asked.

Up is a tier of which nothing that the contract brings is lower than now: neither the cap nor a limit. A tier by
agreement, and leaving prices or a tier that were agreed, take the operator's word. One that is prepaid is ordered
together with its credit, and begins when the payment is recorded (`billing/credit/moves.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import OuterRef, Subquery
from django.utils.translation import gettext as _

from billing.clock import database_now
from billing.contracts.contracts import Terms, card_of, contract_in_force, start_contract, terms_brought
from billing.contracts.terms import told_beside
from billing.credit.orders import order_tier, to_pay_for
from billing.models import Contract, CreditOrder, RateCard, Tier, TierChoice
from identity import audit
from identity.access import Caller
from identity.errors import Conflict, Invalid
from identity.models import Tenant
from identity.notices import notify
from identity.permissions import Permission

ACTOR = audit.Actor.system("billing")
STARTED_AT_ONCE = 200  # a call of the worker's: some seconds


class Hindrance(StrEnum):
    """Why a tenant cannot take a tier by itself."""

    SAME = "same"
    BY_AGREEMENT = "by_agreement"
    AGREED_NOW = "agreed_now"
    NOT_OFFERED = "not_offered"
    NO_CONTRACT = "no_contract"


@dataclass(frozen=True, slots=True)
class Chosen:
    """What became of a choice: in force since, or from, `starts_at`; None: when `order`, its credit, is paid."""

    tier: Tier
    starts_at: datetime | None
    is_in_force: bool
    order: CreditOrder | None = None


class NextTier(NamedTuple):
    """A tier that was chosen and begins later."""

    code: str
    name: str
    starts_at: datetime


def contract_and_next(tenant: Tenant) -> tuple[Contract | None, NextTier | None]:
    """The contract in force and the tier that follows it, where one was chosen; in one query.

    The contract has its tenant's terms as `terms_told` (`billing.contracts.terms.read_told`).
    """
    choices = TierChoice.objects.filter(tenant=OuterRef("tenant"), closed_at=None)
    found = (
        Contract.objects.filter(tenant=tenant, ends_at=None)
        .select_related("tier", "rate_card", "agreement")
        .annotate(
            next_code=Subquery(choices.values("tier__code")),
            next_name=Subquery(choices.values("tier__name")),
            next_starts_at=Subquery(choices.values("starts_at")),
            terms_told=told_beside("tenant"),
        )
        .first()
    )
    if found is None or found.next_code is None:
        return found, None
    return found, NextTier(found.next_code, found.next_name, found.next_starts_at)


def choice_open(tenant: Tenant) -> TierChoice | None:
    """The tier that begins later, where one was chosen."""
    return TierChoice.objects.select_related("tier").filter(tenant=tenant, closed_at=None).first()


def hindrance_of(running: Contract | None, tier: Tier, reference: RateCard | None) -> Hindrance | None:
    """Why the tenant with that contract cannot take the tier by itself; None: it can.

    reference: the reference price list, so that nothing is read
    """
    if running is None:
        return Hindrance.NO_CONTRACT
    usual = running.tier.rate_card_id or (reference.pk if reference else None)
    found = {
        Hindrance.SAME: running.tier_id == tier.pk,
        Hindrance.NOT_OFFERED: tier.withdrawn_at is not None or not (tier.rate_card_id or reference),
        # Of one that is planned the contract knows when it turns.
        Hindrance.AGREED_NOW: running.tier.by_agreement
        or running.rate_card_id != usual
        or running.agreement_id is not None
        or running.turns_at is not None,
        Hindrance.BY_AGREEMENT: tier.by_agreement,
    }
    return next((one for one, is_so in found.items() if is_so), None)


class Prospect(NamedTuple):
    """Whether a tenant can take a tier by itself, and when it would begin; None: at once.

    to_pay_nano_eur: what has to be paid before, as prepaid credit; 0: nothing
    """

    hindrance: Hindrance | None
    starts_at: datetime | None
    to_pay_nano_eur: int = 0


def prospect_of(tenant: Tenant, tier: Tier) -> Prospect:
    """What comes of it if the tenant takes the tier now. Reads only."""
    reference = RateCard.objects.filter(is_reference=True).first()
    hindrance = hindrance_of(contract_in_force(tenant), tier, reference)
    starts_at = None if is_up(terms_brought(tenant), tier) else next_month(tenant, database_now())
    return Prospect(hindrance, starts_at, to_pay_for(tenant, tier))


def is_up(terms: Terms, tier: Tier) -> bool:
    """Whether neither the cap nor a limit of the tier is lower than what the contract brought."""
    cap = tier.monthly_cap_nano_eur
    if cap is not None and (terms.cap_nano_eur is None or cap < terms.cap_nano_eur):
        return False
    known = {(limit["what"], limit["window"]): limit["amount"] for limit in terms.limits}
    return all(
        (one["what"], one["window"]) in known and one["amount"] >= known[one["what"], one["window"]]
        for one in tier.limits
    )


def next_month(tenant: Tenant, now: datetime) -> datetime:
    """When the tenant's next month begins, by its time zone."""
    zone = ZoneInfo(tenant.time_zone)
    first = now.astimezone(zone).date().replace(day=1)
    return datetime.combine((first + timedelta(days=32)).replace(day=1), time(), zone)


def choose_tier(*, by: Caller, tier: Tier) -> Chosen:
    """Take another tier: at once where it is up, else from the next month. It replaces what was chosen for later.

    One that is prepaid, and whose credit is not there, is ordered: it begins when the payment is recorded. Raises
    `Forbidden`, `Conflict` where the tenant is suspended, `Invalid` where it takes the operator's word.
    """
    by.require(Permission.TIER_CHOOSE)
    with transaction.atomic():
        tenant = Tenant.objects.select_for_update(no_key=True).get(pk=by.tenant.pk)
        if tenant.status != Tenant.Status.ACTIVE:
            raise Conflict(_("The organisation is suspended."))
        tier = Tier.objects.select_related("rate_card").get(pk=tier.pk)
        running = contract_in_force(tenant)
        prospect = prospect_of(tenant, tier)
        if prospect.hindrance is not None or running is None:
            raise Invalid("tier", sentence_of(prospect.hindrance or Hindrance.NO_CONTRACT))
        now = database_now()
        if prospect.to_pay_nano_eur:
            order = order_tier(by=by, tenant=tenant, tier=tier, amount_nano_eur=prospect.to_pay_nano_eur)
            return Chosen(tier, None, is_in_force=False, order=order)
        if prospect.starts_at is None:
            start_contract(tenant=tenant, tier=tier, rate_card=card_of(tier), actor=by.actor)
            _tell_of_start(tenant, running.tier, tier)
            chosen = Chosen(tier, now, is_in_force=True)
        else:
            chosen = Chosen(tier, prospect.starts_at, is_in_force=False)
            _plan_for_later(by, tenant, chosen, now)
        told = {"organisation": tenant.name, "tier": tier.name, "before": running.tier.name}
        notify(None, "tier.chosen", context=told | {"from_at": (chosen.starts_at or now).isoformat()})
    return chosen


def withdraw_choice(*, by: Caller) -> bool:
    """Stay on the tier in force. False where nothing was chosen for later. Raises `Forbidden`."""
    by.require(Permission.TIER_CHOOSE)
    with transaction.atomic():
        Tenant.objects.select_for_update(no_key=True).get(pk=by.tenant.pk)
        found = choice_open(by.tenant)
        if found is None:
            return False
        TierChoice.objects.filter(pk=found.pk).update(closed_at=database_now())
        detail = {"tier": found.tier.code}
        target = audit.Target("contract", "", "")
        audit.record(actor=by.actor, action="contract.change_withdrawn", target=target, tenant=by.tenant, detail=detail)
    return True


def start_chosen_tiers() -> int:
    """Start the contracts whose time has come, each in a transaction of its own; how many began. For the worker.

    A tier that is not offered any more does not begin, and the tenant is told.
    """
    due = TierChoice.objects.filter(closed_at=None, starts_at__lte=database_now()).order_by("starts_at")
    return sum(_start(pk) for pk in due.values_list("pk", flat=True)[:STARTED_AT_ONCE])


def sentence_of(hindrance: Hindrance) -> str:
    """Why, for people."""
    words: Mapping[Hindrance, str] = {
        Hindrance.SAME: _("It is the tier in force."),
        Hindrance.NOT_OFFERED: _("It is not offered any more."),
        Hindrance.AGREED_NOW: _("Your contract was agreed with the operator: ask there for another one."),
        Hindrance.BY_AGREEMENT: _("It is by agreement: ask the operator."),
        Hindrance.NO_CONTRACT: _("No contract is in force: ask the operator."),
    }
    return words[hindrance]


def _start(choice_id: int) -> bool:
    with transaction.atomic():
        found = TierChoice.objects.select_related("tenant", "tier__rate_card").get(pk=choice_id)
        tenant = Tenant.objects.select_for_update(no_key=True).get(pk=found.tenant_id)
        # Closed meanwhile, by another worker or an owner: nothing is left to do.
        if not TierChoice.objects.filter(pk=choice_id, closed_at=None).update(closed_at=database_now()):
            return False
        if found.tier.withdrawn_at is not None:
            notify(tenant, "contract.change_lapsed", context={"tier": found.tier.name})
            return False
        running = contract_in_force(tenant)
        start_contract(tenant=tenant, tier=found.tier, rate_card=card_of(found.tier), actor=ACTOR)
        if running is not None and running.tier_id != found.tier_id:
            _tell_of_start(tenant, running.tier, found.tier)
    return True


def _plan_for_later(by: Caller, tenant: Tenant, chosen: Chosen, now: datetime) -> None:
    assert chosen.starts_at is not None
    TierChoice.objects.filter(tenant=tenant, closed_at=None).update(closed_at=now)
    TierChoice.objects.create(tenant=tenant, tier=chosen.tier, starts_at=chosen.starts_at)
    detail: dict[str, Any] = {"tier": chosen.tier.code, "starts_at": chosen.starts_at.isoformat()}
    target = audit.Target("contract", "", chosen.tier.name)
    audit.record(actor=by.actor, action="contract.change_scheduled", target=target, tenant=tenant, detail=detail)
    context = {"tier": chosen.tier.name, "by": by.actor.name, "from_at": chosen.starts_at.isoformat()}
    notify(tenant, "contract.change_scheduled", context=context)


def _tell_of_start(tenant: Tenant, before: Tier, tier: Tier) -> None:
    notify(tenant, "contract.changed", context={"tier": tier.name, "before": before.name})
