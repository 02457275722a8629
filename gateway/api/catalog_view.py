"""The catalog as one key sees it: prices, engines and permission beside each model, in a fixed number of queries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import NamedTuple

from django.db.models import Q

from billing.clock import database_now
from billing.contracts import contract_in_force
from billing.models import PriceVersion
from billing.models.prices import Mode
from gateway.pools.models import Replica
from identity.models import ApiKey
from models_catalog.lifecycle import Lifecycle, lifecycle_of
from models_catalog.models import LanguageModel, ModelAlias


class Price(NamedTuple):
    """The price in force of a model in a mode: nano-EUR per million units by meter."""

    mode: str
    version_id: int
    valid_from: datetime
    nano_eur_per_million: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class CatalogView:
    """What else there is to say of the models, by their ids. `aliases` are everybody's, `own_aliases` the tenant's."""

    key: ApiKey
    today: date
    served: frozenset[int]
    prices: Mapping[int, Sequence[Price]]
    aliases: Mapping[int, Sequence[str]]
    own_aliases: Mapping[int, Sequence[str]]

    def lifecycle(self, model: LanguageModel) -> Lifecycle:
        """Where the model stands today."""
        return lifecycle_of(model, self.today)

    def is_callable(self, model: LanguageModel) -> bool:
        """Whether the gateway would let the key call the model now, budgets and limits aside."""
        allowed = set(self.key.allowed_models)
        return (
            model.pk in self.served
            and any(price.mode == Mode.STANDARD for price in self.prices.get(model.pk, ()))
            and self.lifecycle(model) is not Lifecycle.RETIRED
            and (not allowed or model.name in allowed or not allowed.isdisjoint(self.aliases.get(model.pk, ())))
        )


def catalog_view(key: ApiKey, models: Sequence[LanguageModel]) -> CatalogView:
    """What the key's tenant pays for the models, and which of them are served."""
    now = database_now()
    ids = [model.pk for model in models]
    served = Replica.objects.filter(state=Replica.State.READY, pool__model__in=ids).values_list(
        "pool__model", flat=True
    )
    aliases: dict[int, list[str]] = {}
    own: dict[int, list[str]] = {}
    known = ModelAlias.objects.filter(Q(tenant=key.tenant_id) | Q(tenant=None), model__in=ids)
    for alias in known.order_by("alias"):
        (own if alias.tenant_id else aliases).setdefault(alias.model_id, []).append(alias.alias)
    return CatalogView(key, now.astimezone(UTC).date(), frozenset(served), _prices(key, ids, now), aliases, own)


def _prices(key: ApiKey, model_ids: Sequence[int], now: datetime) -> dict[int, list[Price]]:
    contract = contract_in_force(key.tenant)
    if contract is None:
        return {}
    versions = (
        PriceVersion.objects.filter(rate_card=contract.rate_card_id, model__in=model_ids, valid_from__lte=now)
        .order_by("model", "mode", "-valid_from")
        .distinct("model", "mode")
        .prefetch_related("prices")
    )
    prices: dict[int, list[Price]] = {}
    for version in versions:
        amounts = {price.meter: price.nano_eur_per_million for price in version.prices.all()}
        prices.setdefault(version.model_id, []).append(Price(version.mode, version.pk, version.valid_from, amounts))
    return prices
