"""What a gateway knows by heart: keys, tenants, models, prices, replicas. Never asked for in a request's way.

The ledger decides in the end: an admission decided on an old row is answered `stale`, and the row is read again.
"""

from bisect import bisect_right
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from billing.pricing import Prices
from gateway.relay.input_bound import ModelFacts
from gateway.relay.keys import Key, KeyTable
from gateway.relay.routing import Replica


class Tenant(NamedTuple):
    """A tenant as the relay needs it; `rate_card_id` and `tier_id` are those of its contract in force, 0 for none.

    `models_of_projects`: the only models that a project's keys may call, for the projects that list some.
    `agreed_models`: model, from and until (Unix seconds; None: no end) of what it sees by agreement, now or later.
    """

    id: int
    version: int
    is_active: bool
    rate_card_id: int
    tier_id: int
    is_platform: bool
    archived_projects: frozenset[int]
    models_of_projects: Mapping[int, frozenset[str]]
    agreed_models: Sequence[tuple[int, float, float | None]]
    cache_salt: str


class Caller(NamedTuple):
    """Whose request it is: a key that was verified, its tenant, and the browser origin that it may be used from.

    secret: the stored digest that fitted, the key's or that of the secret before
    """

    key: Key
    tenant: Tenant
    origin: bytes | None
    secret: bytes


class Audience(NamedTuple):
    """Who sees a model that not everybody sees: tenants with a contract of these tiers, and these tenants, by id.
    `is_somebody` False: nobody, as it is not published or was hidden.
    """

    is_somebody: bool
    tiers: frozenset[int]
    tenants: frozenset[int]


@dataclass(frozen=True, slots=True)
class PriceList:
    """The versions of a price, oldest first: `starts` in Unix seconds beside their prices."""

    starts: tuple[float, ...]
    prices: tuple[Prices, ...]

    def at(self, now: float) -> Prices | None:
        """The price in force at `now` (Unix seconds, the database's clock)."""
        place = bisect_right(self.starts, now)
        return self.prices[place - 1] if place else None


@dataclass(frozen=True, slots=True)
class Model:
    """A language model, what bounds a request to it, and who serves it."""

    id: int
    name: str
    kind: str
    facts: ModelFacts
    default_max_output: int
    kwh_per_million_tokens: str | None
    released_at: int
    publisher: str
    deprecated_on: date | None
    retired_on: date | None
    successor: str
    has_engines: bool  # some are registered or wanted, ready or not
    wakes: bool  # without an engine it gets one when somebody asks: requests wait for it
    is_stuck: bool  # it was asked, and nothing can be started now
    audience: Audience | None  # None: everybody
    aliases: tuple[str, ...]
    replicas: tuple[Replica, ...]
    prices: Mapping[tuple[int, str], PriceList]  # by (rate card, mode)

    def is_visible_to(self, tenant: Tenant, now: float) -> bool:
        """Whether the model exists for the tenant at `now` (Unix seconds, the database's clock). The platform's own
        account sees what somebody sees.
        """
        audience = self.audience
        if audience is None:
            return True
        if tenant.is_platform:
            return audience.is_somebody
        if tenant.id in audience.tenants or tenant.tier_id in audience.tiers:
            return True
        return audience.is_somebody and any(
            model_id == self.id and begins <= now and (ends is None or now < ends)
            for model_id, begins, ends in tenant.agreed_models
        )

    def is_retired(self, today: date) -> bool:
        """Whether its life is over."""
        return self.retired_on is not None and self.retired_on <= today


@dataclass(slots=True)
class Snapshot:
    """Everything, replaced part by part. `loaded` once all of it was read."""

    keys: KeyTable = field(default_factory=KeyTable)
    tenants: dict[int, Tenant] = field(default_factory=dict)
    models: dict[str, Model] = field(default_factory=dict)
    tenant_aliases: dict[tuple[int, str], Model] = field(default_factory=dict)
    loaded: bool = False

    @property
    def origins(self) -> Container[str]:
        """The browser origins that some key lists."""
        return self.keys.origins

    def model(self, name: str, tenant: Tenant, now: float) -> Model | None:
        """The model of that name or alias; a tenant's own alias comes first. What it may not see now is not there."""
        model = self.tenant_aliases.get((tenant.id, name)) or self.models.get(name)
        return model if model is not None and model.is_visible_to(tenant, now) else None

    def successor(self, model: Model, tenant: Tenant, now: float) -> str:
        """The name of the model that takes over, "" where there is none or the tenant may not see it."""
        return model.successor if model.successor and self.model(model.successor, tenant, now) is not None else ""

    def aliases_of_tenant(self, tenant_id: int) -> dict[int, list[str]]:
        """By model, the names that only this tenant gave it."""
        own: dict[int, list[str]] = {}
        for (owner, alias), model in self.tenant_aliases.items():
            if owner == tenant_id:
                own.setdefault(model.id, []).append(alias)
        return own
