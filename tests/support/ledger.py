"""Money that really moves, for tests: tenants with money, and a gateway that calls the ledger as the relay does.

Nothing here is rolled back or removed: each test makes a house of its own.
"""

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
from django.utils import timezone

from billing.models import Budget, Contract, Limit, MeterPrice, PriceVersion, RateCard, Tier
from billing.models import Scope as Holder
from billing.models.prices import Meter
from billing.pricing import METERS, Prices, Quantities, price_of, upper_bound
from gateway.relay.ids import new_request_id
from identity.models import ApiKey, Project, Tenant
from identity.projects import create_project
from identity.scopes import Scope
from models_catalog.models import LanguageModel
from tests.support.people import TESTS, default_project, make_key, make_tenant

_numbers = itertools.count(1)
# Nano-EUR per million units: 0.15 EUR for input, a third of that for cached input, 0.60 EUR for output.
PRICES = {"input": 150_000_000, "cached": 50_000_000, "output": 600_000_000}
# At these prices 45,000 nano-EUR.
A_CHAT = Quantities(input=100, output=50)


def unique(word: str) -> str:
    """A name that no other test has."""
    return f"{word}-{uuid4().hex[:8]}-{next(_numbers)}"


@dataclass(frozen=True)
class HeldKey:
    """A key and its text, which only its creation shows."""

    row: ApiKey
    text: str

    @property
    def header(self) -> dict[str, str]:
        """What a client sends."""
        return {"Authorization": f"Bearer {self.text}"}


@dataclass(frozen=True)
class House:
    """A tenant with a contract, one priced model and a project."""

    tenant: Tenant
    project: Project
    model: LanguageModel
    price_version: PriceVersion
    prices: Prices

    def key(self, *scopes: Scope, project: Project | None = None, **policy: Any) -> HeldKey:
        """A new key of the project, for inference unless told otherwise; `policy` as `make_key` takes it."""
        wanted = scopes or (Scope.INFERENCE,)
        return HeldKey(*make_key(self.tenant, project=project or self.project, scopes=wanted, **policy))

    def project_called(self, name: str) -> Project:
        """Another project of the tenant."""
        return create_project(self.tenant, name, actor=TESTS)

    def budget(self, scope: Holder, scope_id: int, limit_nano_eur: int, **changes: Any) -> Budget:
        """A budget on the tenant, a project or a key."""
        values: dict[str, Any] = {"tenant_id": self.tenant.pk, "scope": scope, "scope_id": scope_id}
        return Budget.objects.create(**(values | {"limit_nano_eur": limit_nano_eur} | changes))

    def limit(self, scope: Holder, scope_id: int, what: str, window: str, amount: int) -> Limit:
        """A limit on the tenant, a project or a key."""
        return Limit.objects.create(
            tenant_id=self.tenant.pk, scope=scope, scope_id=scope_id, what=what, window=window, amount=amount
        )


def make_model(**changes: Any) -> LanguageModel:
    """A language model of 8,192 tokens that no other test has."""
    name = unique("model")
    values: dict[str, Any] = {
        "name": name,
        "title": name,
        "kind": LanguageModel.Kind.CHAT,
        "publisher": "Atelier",
        "family": "Atelier",
        "context_window": 8_192,
        "default_max_output": 1_024,
        "licence": "Apache-2.0",
    }
    return LanguageModel.objects.create(**(values | changes))


def make_price(
    rate_card: RateCard,
    model: LanguageModel,
    prices: dict[str, int] = PRICES,
    starts: timedelta = timedelta(days=-1),
) -> PriceVersion:
    """A price in force since a day, or as `starts` says from now; `prices` in nano-EUR per million units by meter."""
    version = PriceVersion.objects.create(rate_card=rate_card, model=model, valid_from=timezone.now() + starts)
    for meter, price in prices.items():
        MeterPrice.objects.create(version=version, meter=Meter(meter), nano_eur_per_million=price)
    return version


def make_house(model: LanguageModel | None = None, time_zone: str = "Europe/Paris") -> House:
    """A tenant that may call one model at `PRICES`; no budget, no limit and no key yet."""
    tenant = make_tenant()
    Tenant.objects.filter(pk=tenant.pk).update(time_zone=time_zone)
    tenant.refresh_from_db()
    return house_of(tenant, model)


def house_of(tenant: Tenant, model: LanguageModel | None = None) -> House:
    """The tenant with a contract and one priced model."""
    rate_card = RateCard.objects.create(name=unique("card"))
    tier = Tier.objects.create(code=unique("tier")[:32], name="Test")
    Contract.objects.create(tenant=tenant, tier=tier, rate_card=rate_card, starts_at=timezone.now())
    model = model or make_model()
    version = make_price(rate_card, model)
    return House(tenant, default_project(tenant), model, version, Prices(version.pk, PRICES))


@dataclass(frozen=True)
class Verdict:
    """What `admit_v1` said of one request."""

    request_id: UUID
    verdict: str
    detail: dict[str, Any] | None


@dataclass
class LedgerGateway:
    """One incarnation of a gateway: calls the ledger's functions as the gateway's role, each in a transaction."""

    connection: psycopg.Connection[tuple[Any, ...]]
    incarnation: UUID = field(default_factory=uuid4)

    def begin(self) -> None:
        """Announce the incarnation; without it the ledger refuses every call."""
        self.connection.execute("select begin_incarnation_v1(%s, 'test', 1)", [self.incarnation])

    def admit(
        self, house: House, key: ApiKey, *, input_tokens: int = 1_000, output_tokens: int = 1_000, **told: Any
    ) -> Verdict:
        """Ask for one request. `told` changes what the usage record will say (endpoint, stream, label) or its id."""
        request_id = told.pop("request_id", None) or new_request_id()
        key.refresh_from_db()
        tenant = Tenant.objects.get(pk=key.tenant_id)
        bound = upper_bound(input_tokens, output_tokens, 1, house.model.context_window, house.prices)
        request = {
            "position": 0,
            "request_id": str(request_id),
            "key_id": key.pk,
            "key_version": key.policy_version,
            "tenant_version": tenant.policy_version,
            "model_id": house.model.pk,
            "mode": "standard",
            "price_version_id": house.price_version.pk,
            "amount": bound,
            "tokens": input_tokens + output_tokens,
            "output_tokens": output_tokens,
            "description": _description(house.model) | told,
        }
        row = self._one("select request_id, verdict, detail from admit_v1(%s, %s::jsonb)", request)
        return Verdict(row[0], row[1], row[2])

    def settle(self, house: House, request_id: UUID, quantities: Quantities, **outcome: Any) -> int:
        """Charge one admitted request; its cost in nano-EUR. `outcome` changes the status, finish reason or times."""
        _, amounts = price_of(quantities, house.prices)
        settlement = {
            "request_id": str(request_id),
            "status": "completed",
            "http_status": 200,
            "finish_reason": "stop",
            "pool": "",
            "replica": "",
            "node": "",
            "site": "",
            "ttft_ms": 12,
            "duration_ms": 345,
        }
        for meter, quantity, amount in zip(METERS, quantities, amounts, strict=True):
            settlement |= {f"{meter}_quantity": quantity, f"{meter}_nano_eur": amount}
        row = self._one("select verdict, cost_nano_eur from settle_v1(%s, %s::jsonb)", settlement | outcome)
        assert row[0] == "settled", row
        return int(row[1])

    def complete(self, house: House, key: ApiKey, quantities: Quantities = A_CHAT, **told: Any) -> UUID:
        """A whole request, admitted and settled at once; answers its id."""
        admitted = self.admit(house, key, **told)
        assert admitted.verdict == "admitted", admitted
        self.settle(house, admitted.request_id, quantities)
        return admitted.request_id

    def refuse(self, house: House, key: ApiKey, code: str, limit_name: str = "") -> UUID:
        """Note a refused request as the relay does."""
        request_id = new_request_id()
        refusal = {
            "request_id": str(request_id),
            "tenant_id": key.tenant_id,
            "project_id": key.project_id,
            "key_id": key.pk,
            "at": timezone.now().isoformat(),
            "code": code,
            "limit_name": limit_name,
            "model": house.model.name,
        }
        self.connection.execute("select refuse_v1(%s::jsonb)", [json.dumps([refusal])])
        return request_id

    def _one(self, query: str, member: dict[str, Any]) -> tuple[Any, ...]:
        row = self.connection.execute(query, [self.incarnation, json.dumps([member])]).fetchone()
        assert row is not None
        return row


@contextmanager
def ledger_gateway(gateway_database_url: str) -> Iterator[LedgerGateway]:
    """A gateway with a connection of its own, ended properly."""
    with psycopg.connect(gateway_database_url, autocommit=True) as connection:
        gateway = LedgerGateway(connection)
        gateway.begin()
        try:
            yield gateway
        finally:
            connection.execute("select end_incarnation_v1(%s)", [gateway.incarnation])


def _description(model: LanguageModel) -> dict[str, Any]:
    return {
        "model": model.name,
        "alias": model.name,
        "endpoint": "/v1/chat/completions",
        "door": "api",
        "stream": False,
        "guardrail": "",
        "label": "",
        "max_tokens_asked": None,
        "max_tokens_given": model.default_max_output,
    }
