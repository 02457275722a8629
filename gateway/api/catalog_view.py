"""The catalog as a tenant or one of its keys sees it: prices, engines and permission beside each model.

The API and the pages ask here, in a fixed number of queries, so that both say the same of what may be called.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import groupby
from typing import NamedTuple

from django.db.models import F, Q
from django.db.models.functions import Now
from django.db.models.lookups import LessThanOrEqual

from billing.models import Contract, MeterPrice
from billing.models.prices import Mode
from billing.pricing import Prices
from gateway.pools.serving import engines_of
from identity.models import Tenant
from models_catalog.lifecycle import Lifecycle, lifecycle_of
from models_catalog.models import LanguageModel, ModelAlias


class Price(NamedTuple):
    """A price of a model in a mode, in force or to come: nano-EUR per million units by meter."""

    mode: str
    version_id: int
    valid_from: datetime
    nano_eur_per_million: Mapping[str, int]
    audio_by_started_minute: bool

    @property
    def prices(self) -> Prices:
        """In the form that arithmetic takes."""
        return Prices(self.version_id, self.nano_eur_per_million, self.audio_by_started_minute)


@dataclass(frozen=True, slots=True)
class CatalogView:
    """What else there is to say of the models, by their ids. `aliases` are everybody's, `own_aliases` the tenant's;
    `coming` are the prices that follow those in force, by time.

    `lists` of models that may be called, each with one at least: a key's, its project's. `simulated` are served by
    simulated engines only.
    """

    lists: Sequence[frozenset[str]]
    today: date
    served: frozenset[int]
    simulated: frozenset[int]
    prices: Mapping[int, Sequence[Price]]
    coming: Mapping[int, Sequence[Price]]
    aliases: Mapping[int, Sequence[str]]
    own_aliases: Mapping[int, Sequence[str]]

    def lifecycle(self, model: LanguageModel) -> Lifecycle:
        """Where the model stands today."""
        return lifecycle_of(model, self.today)

    def standard_price(self, model: LanguageModel) -> Price | None:
        """What an ordinary request is billed at now."""
        return next((price for price in self.prices.get(model.pk, ()) if price.mode == Mode.STANDARD), None)

    def is_callable(self, model: LanguageModel) -> bool:
        """Whether the gateway would let the key call the model now, budgets and limits aside."""
        names = {model.name, *self.aliases.get(model.pk, ())}
        return (
            model.pk in self.served
            and self.standard_price(model) is not None
            and self.lifecycle(model) is not Lifecycle.RETIRED
            and not any(allowed.isdisjoint(names) for allowed in self.lists)
        )


def catalog_view(tenant: Tenant, models: Sequence[LanguageModel], lists: Iterable[Collection[str]] = ()) -> CatalogView:
    """What the tenant pays for the models, and which are served. `lists`: of the key that asks and of its project; an
    empty one allows any.
    """
    ids = [model.pk for model in models]
    aliases: dict[int, list[str]] = {}
    own: dict[int, list[str]] = {}
    known = ModelAlias.objects.filter(Q(tenant=tenant) | Q(tenant=None), model__in=ids)
    for alias in known.order_by("alias"):
        (own if alias.tenant_id else aliases).setdefault(alias.model_id, []).append(alias.alias)
    prices, coming = _prices(tenant, ids)
    engines = engines_of(ids)
    served = frozenset(model_id for model_id, _ in engines)
    return CatalogView(
        lists=[frozenset(names) for names in lists if names],
        today=datetime.now(UTC).date(),
        served=served,
        simulated=served - {model_id for model_id, is_simulated in engines if not is_simulated},
        prices=prices,
        coming=coming,
        aliases=aliases,
        own_aliases=own,
    )


_ByModel = dict[int, list[Price]]


def _prices(tenant: Tenant, model_ids: Sequence[int]) -> tuple[_ByModel, _ByModel]:
    """Those in force on the price list of the tenant's contract, and those that are scheduled there."""
    contracts = Contract.objects.filter(tenant=tenant, ends_at=None)
    amounts = (
        MeterPrice.objects.filter(version__rate_card__in=contracts.values("rate_card"), version__model__in=model_ids)
        .annotate(has_begun=LessThanOrEqual(F("version__valid_from"), Now()))
        .select_related("version")
        .order_by("version__model", "version__mode", "-version__valid_from", "pk")
    )
    prices: _ByModel = {}
    coming: _ByModel = {}
    for (model_id, mode), of_mode in groupby(amounts, key=lambda row: (row.version.model_id, row.version.mode)):
        for has_begun, rows in groupby(of_mode, key=lambda row: row.has_begun):
            by_version = [_price(mode, list(of_version)) for _, of_version in groupby(rows, key=_version_id)]
            if has_begun:
                prices.setdefault(model_id, []).append(by_version[0])
            else:
                coming.setdefault(model_id, []).extend(reversed(by_version))
    return prices, coming


def _version_id(row: MeterPrice) -> int:
    return row.version_id


def _price(mode: str, rows: Sequence[MeterPrice]) -> Price:
    version = rows[0].version
    given = {row.meter: row.nano_eur_per_million for row in rows}
    return Price(mode, version.pk, version.valid_from, given, version.audio_by_started_minute)
