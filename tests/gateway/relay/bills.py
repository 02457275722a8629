"""What became of a request, read from the ledger's rows."""

import time
from uuid import UUID

from billing.models import Budget, BudgetPeriod, Hold, UsageRecord
from billing.models import Scope as Holder
from billing.pricing import Quantities, price_of
from identity.models import ApiKey
from models_catalog.models import LanguageModel
from tests.gateway.simulated_engine.process import EngineProcess, eventually
from tests.support.gateway import GatewayProcess, serve
from tests.support.ledger import HeldKey, House, make_house

PLENTY = 10**12


def record_of(request_id: str, within: float = 5.0) -> UsageRecord:
    """The one record of a request, once it is there."""
    assert eventually(lambda: UsageRecord.objects.filter(request_id=UUID(request_id)).exists(), within), "no record"
    return UsageRecord.objects.get(request_id=UUID(request_id))


def records_of(key: ApiKey) -> list[UsageRecord]:
    """All records of a key, oldest first, once nothing of it is under way."""
    assert eventually(lambda: not Hold.objects.filter(key_id=key.pk).exists(), 5), "a hold stays"
    return list(UsageRecord.objects.filter(key_id=key.pk).order_by("request_id"))


def only_record_of(key: ApiKey, within: float = 5.0) -> UsageRecord:
    """The record of a key that made one request."""
    assert eventually(lambda: UsageRecord.objects.filter(key_id=key.pk).exists(), within), "no record"
    [record] = records_of(key)
    return record


def key_with_budget(house: House, gateway: GatewayProcess, limit_nano_eur: int = PLENTY) -> HeldKey:
    """A new key with a budget of its own, known to the gateway."""
    key = house.key()
    house.budget(Holder.KEY, key.row.pk, limit_nano_eur)
    gateway.await_key(key.text)
    return key


def assert_exact(house: House, key: ApiKey) -> None:
    """The key's budget says what its records say, nothing is held, and each record is priced by the price list."""
    records = records_of(key)
    for record in records:
        quantities = Quantities(
            record.input_quantity,
            record.cached_quantity,
            record.output_quantity,
            record.reasoning_quantity,
            record.audio_ms_quantity,
            record.documents_quantity,
            record.images_quantity,
        )
        assert record.cost_nano_eur + record.uncharged_nano_eur == price_of(quantities, house.prices)[0]
    for period in BudgetPeriod.objects.filter(budget_id__in=budget_ids(key)):
        assert (period.spent_nano_eur, period.held_nano_eur) == (sum(record.cost_nano_eur for record in records), 0)


def budget_ids(key: ApiKey) -> list[int]:
    """The budgets on a key."""
    return list(Budget.objects.filter(scope=Holder.KEY, scope_id=key.pk).values_list("pk", flat=True))


def house_served_by(gateway: GatewayProcess, *engines: EngineProcess, served_name: str = "demo/chat") -> House:
    """A new house whose model these engines serve, known to the gateway."""
    house = make_house()
    for engine in engines:
        serve(house.model, engine, served_name)
    await_model(gateway, house)
    return house


def await_model(gateway: GatewayProcess, house: House) -> None:
    """Until the gateway offers the house's model."""
    await_offer(gateway, house.model, house.key().text)


def await_offer(gateway: GatewayProcess, model: LanguageModel, key: str) -> None:
    """Until the gateway offers the model to the key's holder."""
    gateway.await_key(key)
    deadline = time.monotonic() + 15
    while gateway.get(f"/v1/models/{model.name}", key).status != 200:
        assert time.monotonic() < deadline, "the gateway does not offer the model"
        time.sleep(0.02)
