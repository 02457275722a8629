"""Tiers side by side: what last month's usage would have cost on each, at the prices of today. Reads only, nano-EUR.

The sums a day (UTC) of the month before this one, at each tier's price list. The ledger rounds each request to a
nano-EUR, this each sum a model and mode, so the two differ by half a nano-EUR a request at most.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from django.db import connection
from django.db.models import Q
from django.db.models.functions import Now

from billing.clock import database_now
from billing.contracts.contracts import terms_brought
from billing.contracts.tier_choice import Hindrance, NextTier, contract_and_next, hindrance_of, is_up, next_month
from billing.contracts.tiers import all_tiers
from billing.models import MeterPrice, PriceVersion, RateCard, Tier
from billing.pricing import METERS, MissingPrice, Prices, Quantities, price_of
from billing.usage.span import Days
from identity.models import Tenant
from models_catalog.models import LanguageModel

_USED = f"""
    select m.id, m.name, u.mode, m.visibility, m.visible_tiers, m.visible_tenants, sum(u.requests)::bigint,
        {", ".join(f"sum(u.{meter}_quantity)::bigint" for meter in METERS)}
    from billing_usage_day u join models_catalog_languagemodel m on m.id = u.model_id
    where u.tenant_id = %(tenant)s and u.day >= %(since)s and u.day < %(until)s group by m.id, u.mode order by m.name
"""  # noqa: S608  # constants of ours


class _Used(NamedTuple):
    model_id: int
    model: str
    mode: str
    visibility: str
    tiers: Sequence[int]
    tenants: Sequence[int]
    requests: int
    quantities: Quantities

    def is_seen(self, tenant: Tenant, tier: Tier, agreed: Collection[int]) -> bool:
        if self.visibility == LanguageModel.Visibility.CHOSEN:
            return tier.pk in self.tiers or tenant.pk in self.tenants or self.model_id in agreed
        return self.visibility == LanguageModel.Visibility.EVERYBODY


@dataclass(frozen=True, slots=True)
class TierOffer:
    """A tier, and last month on it.

    cap_nano_eur: its cap a month, for the one in force what the contract brought; `is_cap_agreed` where that is agreed
    bill_nano_eur: of what it lets the tenant call, at its prices of today
    missing: models that were used and that it does not show, or has no price for
    hindrance: why the tenant cannot take it by itself
    starts_at: when it would begin; None: at once
    """

    tier: Tier
    is_current: bool
    cap_nano_eur: int | None
    is_cap_agreed: bool
    bill_nano_eur: int
    more_nano_eur: int
    missing: Sequence[str]
    hindrance: Hindrance | None
    starts_at: datetime | None

    @property
    def is_over_cap(self) -> bool:
        """Whether last month would have reached its cap."""
        return self.cap_nano_eur is not None and self.bill_nano_eur >= self.cap_nano_eur


@dataclass(frozen=True, slots=True)
class Comparison:
    """Tiers side by side on a month's usage; the one in force first. `next`: the one that was chosen for later."""

    first: date
    last: date
    requests: int
    offers: Sequence[TierOffer]
    next: NextTier | None


def compare_tiers(tenant: Tenant) -> Comparison:
    """The tier in force and all that are offered, on last month's usage. Seven queries."""
    running, following = contract_and_next(tenant)
    now = database_now()
    last = now.astimezone(UTC).date().replace(day=1) - timedelta(days=1)
    used = _used(tenant, last.replace(day=1), last)
    offered = Q(withdrawn_at=None) | Q(pk=running.tier_id if running else 0)
    tiers = list(all_tiers().filter(offered))
    reference = RateCard.objects.filter(is_reference=True).first()
    cards = {tier.pk: tier.rate_card_id or (reference.pk if reference else 0) for tier in tiers}
    if running is not None:
        cards[running.tier_id] = running.rate_card_id
    prices = _prices(set(cards.values()), {one.model_id for one in used})
    agreement = running.agreement if running is not None else None
    agreed = {running.tier_id: agreement.model_ids if agreement else []} if running is not None else {}
    bills = {tier.pk: _bill(tenant, tier, used, prices[cards[tier.pk]], agreed.get(tier.pk, ())) for tier in tiers}
    current = bills[running.tier_id][0] if running and running.tier_id in bills else 0
    terms, later = terms_brought(tenant), next_month(tenant, now)
    offers = [
        TierOffer(
            tier=tier,
            is_current=tier.pk in agreed,
            cap_nano_eur=terms.cap_nano_eur if tier.pk in agreed else tier.monthly_cap_nano_eur,
            is_cap_agreed=tier.pk in agreed and agreement is not None and agreement.is_cap_agreed,
            bill_nano_eur=bills[tier.pk][0],
            more_nano_eur=bills[tier.pk][0] - current,
            missing=bills[tier.pk][1],
            hindrance=hindrance_of(running, tier, reference),
            starts_at=None if is_up(terms, tier) else later,
        )
        for tier in tiers
    ]
    offers.sort(key=lambda offer: (not offer.is_current, offer.tier.by_agreement))
    return Comparison(last.replace(day=1), last, sum(one.requests for one in used), offers, following)


_PriceTable = Mapping[tuple[int, str], Prices]


def _bill(
    tenant: Tenant, tier: Tier, used: Iterable[_Used], prices: _PriceTable, agreed: Collection[int]
) -> tuple[int, list[str]]:
    total = 0
    missing: dict[str, None] = {}
    for one in used:
        found = prices.get((one.model_id, one.mode))
        if found is None or not one.is_seen(tenant, tier, agreed):
            missing[one.model] = None
            continue
        try:
            total += price_of(one.quantities, found)[0]
        except MissingPrice:
            missing[one.model] = None
    return total, list(missing)


def _used(tenant: Tenant, first: date, last: date) -> list[_Used]:
    since, until = Days(first, last, "UTC").bounds()
    with connection.cursor() as cursor:
        cursor.execute(_USED, {"tenant": tenant.pk, "since": since, "until": until})
        return [_Used._make([*row[:7], Quantities._make(row[7:])]) for row in cursor.fetchall()]


def _prices(card_ids: Iterable[int], model_ids: Iterable[int]) -> dict[int, dict[tuple[int, str], Prices]]:
    """By list, then by model and mode: what is in force now. One query."""
    begun = PriceVersion.objects.filter(rate_card__in=card_ids, model__in=model_ids, valid_from__lte=Now())
    newest = begun.order_by("rate_card_id", "model_id", "mode", "-valid_from").distinct(
        "rate_card_id", "model_id", "mode"
    )
    by_version: dict[tuple[int, int, str, int], dict[str, int]] = defaultdict(dict)
    for price in MeterPrice.objects.filter(version__in=newest.values("pk")).select_related("version"):
        version = price.version
        key = (version.rate_card_id, version.model_id, version.mode, version.pk)
        by_version[key][price.meter] = price.nano_eur_per_million
    found: dict[int, dict[tuple[int, str], Prices]] = {card_id: {} for card_id in card_ids}
    for (card_id, model_id, mode, version_id), given in by_version.items():
        found[card_id][model_id, mode] = Prices(version_id, given)
    return found
