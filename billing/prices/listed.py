"""What stands on a price list: of each model and mode what is in force, what is scheduled, what was. Reads only.

Prices are nano-EUR per million units, by meter.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import OuterRef, Q, QuerySet, Subquery

from billing.clock import database_now
from billing.models import PriceVersion, RateCard, WithdrawnPrice
from billing.pricing import METERS
from models_catalog.models import LanguageModel


@dataclass(frozen=True, slots=True)
class ListedVersion:
    """A price version with its prices, in the order of the meters."""

    id: int
    valid_from: datetime
    prices: Mapping[str, int]
    reason: str = ""
    audio_by_started_minute: bool = False


@dataclass(frozen=True, slots=True)
class ListedPrice:
    """A model's prices in a mode. `coming`: the next first; `earlier`: the newest first."""

    model: LanguageModel
    mode: str
    in_force: ListedVersion | None
    coming: Sequence[ListedVersion] = ()
    earlier: Sequence[ListedVersion] = ()


def prices_on_list(card: RateCard) -> list[ListedPrice]:
    """All models that have a price on the list or will have one, by name and mode, without the earlier prices.

    Three queries.
    """
    now = database_now()
    versions = PriceVersion.objects.filter(rate_card=card)
    begun = versions.filter(valid_from__lte=now).order_by("model_id", "mode", "-valid_from")
    newest = begun.distinct("model_id", "mode").values("pk")
    return _listed(_read(versions.filter(Q(valid_from__gt=now) | Q(pk__in=newest))), now)


def prices_of_model(card: RateCard, model: LanguageModel) -> list[ListedPrice]:
    """All that the model's prices on the list were, are and will be, by mode. Three queries."""
    return _listed(_read(PriceVersion.objects.filter(rate_card=card, model=model)), database_now())


def versions_of(card: RateCard) -> QuerySet[PriceVersion]:
    """All versions on the list by id, those of the past included; each with `valid_until`, None where none follows."""
    same = {"rate_card": OuterRef("rate_card"), "model": OuterRef("model"), "mode": OuterRef("mode")}
    following = PriceVersion.objects.filter(**same, valid_from__gt=OuterRef("valid_from")).order_by("valid_from")
    found = PriceVersion.objects.filter(rate_card=card).select_related("model").prefetch_related("prices")
    return found.annotate(valid_until=Subquery(following.values("valid_from")[:1])).order_by("pk")


def withdrawn_prices(card: RateCard, model: LanguageModel) -> list[WithdrawnPrice]:
    """What was scheduled for the model on the list and never came into force, the newest first."""
    found = WithdrawnPrice.objects.filter(rate_card_id=card.pk, model_id=model.pk)
    return list(found.order_by("-withdrawn_at"))


def models_without_price(card: RateCard, *, most: int) -> list[LanguageModel]:
    """At most `most` models of the catalogue that the list says nothing of, by name."""
    listed = PriceVersion.objects.filter(rate_card=card).values("model")
    return list(LanguageModel.objects.exclude(pk__in=listed).order_by("name")[:most])


def meters_of(listed: Iterable[ListedPrice]) -> list[str]:
    """The meters for which one of these asks, or will ask, money; in their order."""
    versions = [version for one in listed for version in (one.in_force, *one.coming, *one.earlier) if version]
    return [meter for meter in METERS if any(version.prices.get(meter) for version in versions)]


def _read(versions: QuerySet[PriceVersion]) -> list[PriceVersion]:
    return list(versions.select_related("model").prefetch_related("prices"))


def _listed(versions: Iterable[PriceVersion], now: datetime) -> list[ListedPrice]:
    found: dict[tuple[str, str], list[PriceVersion]] = defaultdict(list)
    for version in versions:
        found[version.model.name, version.mode].append(version)
    # "standard" before "batch"
    keys = sorted(found, key=lambda key: (key[0], key[1] != "standard"))
    return [_one(sorted(found[key], key=lambda version: version.valid_from), now) for key in keys]


def _one(versions: Sequence[PriceVersion], now: datetime) -> ListedPrice:
    """versions: of one model and mode, in the order of time"""
    begun = [_version(version) for version in versions if version.valid_from <= now]
    return ListedPrice(
        versions[0].model,
        versions[0].mode,
        in_force=begun[-1] if begun else None,
        coming=[_version(version) for version in versions if version.valid_from > now],
        earlier=begun[-2::-1],
    )


def _version(version: PriceVersion) -> ListedVersion:
    given = {price.meter: price.nano_eur_per_million for price in version.prices.all()}
    prices = {meter: given[meter] for meter in METERS if meter in given}
    by_minute = version.audio_by_started_minute
    return ListedVersion(version.pk, version.valid_from, prices, version.reason, by_minute)
