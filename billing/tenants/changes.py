"""What operators change of a tenant that there is: its name and time zone, and its contract, with what that changes.

Another contract is in force at once, never later: what is used and spent in windows and periods that both have stays
counted. Money is nano-EUR.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from billing.contracts.contracts import (
    Terms,
    card_of,
    card_with,
    contract_in_force,
    start_contract,
    terms_brought,
    terms_with,
)
from billing.models import Agreement, Contract, RateCard, Tier
from billing.prices.visibility import agreed_models
from identity import audit
from identity.errors import Conflict, Invalid
from identity.models import Tenant
from identity.operators import Operator, setting_up
from identity.permissions import OperatorPermission
from identity.tenants import change_tenant, require_external_id
from models_catalog.models import LanguageModel


@dataclass(frozen=True, slots=True)
class LimitChange:
    """A limit that the contract brings, before and after; None: there is none."""

    what: str
    window: str
    before: int | None
    after: int | None


@dataclass(frozen=True, slots=True)
class ContractChange:
    """What another contract would change. Caps in nano-EUR, None: no cap.

    is_same: tier, price list and version are those in force
    ending: what was agreed and ends with the contract of before
    gained, lost: names of the published models that the organisation begins, or ceases, to see by its tier
    """

    is_same: bool
    before: Contract | None
    tier: Tier
    rate_card: RateCard
    cap_before: int | None
    cap_after: int | None
    limits: Sequence[LimitChange]
    gained: Sequence[str]
    lost: Sequence[str]
    ending: Agreement | None = None

    @property
    def changed_limits(self) -> list[LimitChange]:
        """Those that differ."""
        return [limit for limit in self.limits if limit.before != limit.after]


def change_details(*, by: Operator, tenant: Tenant, name: str, time_zone: str, external_id: str) -> bool:
    """Change what the tenant is called, here and in the operator's systems, and its time zone. False where all is so.

    A period of a budget that runs ends when it was cut to end. Raises `Forbidden`, `Invalid`, `Conflict` (an external
    id that is taken).
    """
    by.require(OperatorPermission.TENANT_CREATE)
    if external_id:
        require_external_id(external_id)
    with transaction.atomic():
        fresh = Tenant.objects.select_for_update(no_key=True).get(pk=tenant.pk, is_platform=False)
        before = _details(fresh)
        change_tenant(by=setting_up(fresh, by), name=name, time_zone=time_zone)
        _call_it(fresh, external_id)
        fresh.refresh_from_db()
        after = _details(fresh)
        if before == after:
            return False
        differs = [member for member, value in after.items() if value != before[member]]
        audit.record(
            actor=by.actor,
            action="tenant.changed",
            target=fresh,
            before={member: before[member] for member in differs},
            after={member: after[member] for member in differs},
        )
    tenant.refresh_from_db()
    return True


def contract_change(*, tenant: Tenant, tier: Tier, rate_card: RateCard | None = None) -> ContractChange:
    """What a contract of that tier, at those prices (None: the tier's), would change. Reads only.

    Of the tier in force, what was agreed stays, its own prices too, unless others are given.
    """
    running = contract_in_force(tenant)
    agreed = running.agreement if running and running.tier_id == tier.pk else None
    card = rate_card or (running.rate_card if running and agreed else card_of(tier))
    if running is None or card.pk != running.rate_card_id:
        agreed = None
    change = _change(tenant, running, tier, card, terms_with(tier, agreed))
    return replace(change, ending=running.agreement if running and not agreed else None)


def agreement_change(*, running: Contract, agreement: Agreement | None) -> ContractChange:
    """What the agreement (None: that there is none any more) would change of the contract in force. Reads only."""
    tier, card = running.tier, card_with(running, agreement)
    return _change(running.tenant, running, tier, card, terms_with(tier, agreement))


def _change(tenant: Tenant, running: Contract | None, tier: Tier, card: RateCard, after: Terms) -> ContractChange:
    terms = terms_brought(tenant)
    kinds_before, kinds_after = _by_kind(terms.limits), _by_kind(after.limits)
    old_tier = running.tier_id if running else 0
    return ContractChange(
        is_same=running is not None
        and (running.tier_id, running.rate_card_id, running.tier_version) == (tier.pk, card.pk, tier.version),
        before=running,
        tier=tier,
        rate_card=card,
        cap_before=terms.cap_nano_eur,
        cap_after=after.cap_nano_eur,
        limits=[
            LimitChange(what, window, kinds_before.get((what, window)), kinds_after.get((what, window)))
            for what, window in dict.fromkeys([*kinds_before, *kinds_after])
        ],
        gained=_only_seen_by(tenant, tier.pk, old_tier) if tier.pk != old_tier else [],
        lost=_only_seen_by(tenant, old_tier, tier.pk, agreed_models(tenant)) if tier.pk != old_tier else [],
    )


def move_tenant(*, by: Operator, tenant: Tenant, tier: Tier, rate_card: RateCard | None = None) -> bool:
    """Start a contract of that tier, now, at those prices (None: the tier's); of the tier and prices in force, bring
    what the tier is now. False where all is so already.

    Raises `Forbidden`, `Invalid` for a tier that is not offered any more.
    """
    by.require(OperatorPermission.CONTRACT_UPDATE)
    with transaction.atomic():
        Tenant.objects.select_for_update(no_key=True).get(pk=tenant.pk, is_platform=False)
        change = contract_change(tenant=tenant, tier=tier, rate_card=rate_card)
        if change.is_same:
            return False
        is_new = change.before is None or change.before.tier_id != tier.pk
        if is_new and tier.withdrawn_at is not None:
            raise Invalid("tier", _("is not offered any more"))
        start_contract(tenant=tenant, tier=tier, rate_card=change.rate_card, actor=by.actor)
        running = change.before
        before = {"tier": running.tier.code, "rate_card": running.rate_card.name} if running else {"tier": ""}
        after = {"tier": tier.code, "rate_card": change.rate_card.name}
        audit.record(actor=by.actor, action="tenant.changed", target=tenant, before=before, after=after)
    return True


def _by_kind(limits: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], int]:
    return {(str(limit["what"]), str(limit["window"])): int(limit["amount"]) for limit in limits}


def _details(tenant: Tenant) -> dict[str, str]:
    return {"name": tenant.name, "time_zone": tenant.time_zone, "external_id": tenant.external_id or ""}


def _call_it(tenant: Tenant, external_id: str) -> None:
    try:
        with transaction.atomic():
            Tenant.objects.filter(pk=tenant.pk).update(external_id=external_id or None)
    except IntegrityError:
        raise Conflict(_("another organisation has this external id")) from None


def _only_seen_by(tenant: Tenant, tier_id: int, other_id: int, agreed: Sequence[int] = ()) -> list[str]:
    """Published models that the one tier, or what is agreed beside it, shows to the tenant and the other does not."""
    by_contract = Q(visible_tiers__contains=[tier_id]) | Q(pk__in=agreed)
    chosen = LanguageModel.objects.filter(
        by_contract, visibility=LanguageModel.Visibility.CHOSEN, published_at__isnull=False
    )
    found = chosen.exclude(visible_tiers__contains=[other_id]).exclude(visible_tenants__contains=[tenant.pk])
    return list(found.order_by("name").values_list("name", flat=True))
