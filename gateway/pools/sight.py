"""Which models a tenant, or the tenants of a tier, can call, why they see them and at which price. Reads only."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from billing.contracts.contracts import card_of, contract_in_force
from billing.models import RateCard, Tier
from billing.prices.visibility import agreed_models
from gateway.pools.model_state import prices_on
from gateway.pools.serving import served_models
from identity.models import Tenant
from models_catalog.models import LanguageModel

Visibility = LanguageModel.Visibility


class Reason(StrEnum):
    """Why a model is seen."""

    EVERYBODY = "everybody"
    TIER = "tier"
    TENANT = "tenant"
    AGREEMENT = "agreement"


class Hindrance(StrEnum):
    """Why a model that is seen cannot be called now."""

    NO_ENGINE = "no_engine"
    NO_PRICE = "no_price"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Seen:
    """A published model that is seen. `prices`: nano-EUR per million units by meter, on the price list that applies."""

    model: LanguageModel
    reasons: Sequence[Reason]
    prices: Mapping[str, int]
    hindrances: Sequence[Hindrance]

    @property
    def is_callable(self) -> bool:
        """Whether the gateway lets a key call it now, budgets, limits and the key's own list aside."""
        return not self.hindrances


def models_seen_by(tenant: Tenant) -> list[Seen]:
    """The tenant's, what it can call first, then by name; in five queries."""
    contract = contract_in_force(tenant)
    tier_id = contract.tier_id if contract else None
    return _seen(tier_id, tenant.pk, contract.rate_card if contract else None, agreed_models(tenant))


def models_seen_on(tier: Tier) -> list[Seen]:
    """Of every tenant with a contract of the tier, at the tier's price list."""
    try:
        card: RateCard | None = card_of(tier)
    except RateCard.DoesNotExist:
        card = None
    return _seen(tier.pk, None, card)


def _seen(
    tier_id: int | None, tenant_id: int | None, card: RateCard | None, agreed: Collection[int] = ()
) -> list[Seen]:
    published = LanguageModel.objects.filter(published_at__isnull=False).exclude(visibility=Visibility.NOBODY)
    reasons = {model: _reasons(model, tier_id, tenant_id, agreed) for model in published.order_by("name")}
    ids = [model.pk for model, why in reasons.items() if why]
    now = datetime.now(UTC)
    prices = prices_on(card, ids, now) if card else {}
    served = served_models(ids)
    found = []
    for model, why in reasons.items():
        if why:
            price = prices.get(model.pk, {})
            found.append(Seen(model, why, price, _hindrances(model, now, bool(price), model.pk in served)))
    return sorted(found, key=lambda one: not one.is_callable)


def _reasons(model: LanguageModel, tier_id: int | None, tenant_id: int | None, agreed: Collection[int]) -> list[Reason]:
    if model.visibility == Visibility.EVERYBODY:
        return [Reason.EVERYBODY]
    found = {
        Reason.TIER: tier_id in model.visible_tiers,
        Reason.TENANT: tenant_id in model.visible_tenants,
        Reason.AGREEMENT: model.pk in agreed,
    }
    return [reason for reason, is_so in found.items() if is_so]


def _hindrances(model: LanguageModel, now: datetime, has_price: bool, is_served: bool) -> list[Hindrance]:  # noqa: FBT001
    is_over = model.retired_on is not None and model.retired_on <= now.date()
    found = {Hindrance.ENDED: is_over, Hindrance.NO_ENGINE: not is_served, Hindrance.NO_PRICE: not has_price}
    return [one for one, is_so in found.items() if is_so]
