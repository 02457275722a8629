"""The product on top of the contract: an engine is probed, serves through a gateway, and is billed exactly."""

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from billing.models import UsageRecord
from billing.pricing import Quantities, price_of
from gateway.pools.models import Replica
from gateway.pools.probes import probe_replica
from gateway.pools.registry import register_pool, register_replica
from models_catalog.models import LanguageModel
from tests.engine_contract.client import Endpoint
from tests.gateway.simulated_engine.process import eventually
from tests.support.gateway import GatewayProcess
from tests.support.ledger import House, make_house, make_model
from tests.support.people import TESTS

pytestmark = pytest.mark.usefixtures("database")

Served = Callable[[Endpoint, str], House]


@pytest.fixture(scope="session")
def gateway(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One gateway for these tests."""
    with GatewayProcess(tmp_path_factory.mktemp("gateway")) as running:
        yield running


def served(endpoint: Endpoint, kind: str) -> House:
    """A house whose model the engine serves, once a probe has shown that it can be billed."""
    window = endpoint.window
    model = make_model(kind=kind, context_window=window, default_max_output=min(64, window // 4))
    house = make_house(model)
    pool = register_pool(model=model, served_name=endpoint.model, actor=TESTS)
    url = f"http://127.0.0.1:{endpoint.port}"
    replica = register_replica(pool=pool, url=url, api_key=endpoint.api_key, actor=TESTS)
    probe_replica(replica)
    replica.refresh_from_db()
    assert replica.state == Replica.State.READY, replica.state_reason
    return house


def key_for(house: House, gateway: GatewayProcess) -> str:
    """A key that the gateway knows, and with it the replica: what it heard of that may come a moment later."""
    text = house.key().text
    gateway.await_key(text)
    assert eventually(lambda: house.model.name in str(gateway.get("/v1/models", text).json), 10)
    return text


def is_billed_exactly(house: House, request_id: str, usage: dict[str, Any]) -> UsageRecord:
    """The record says what the engine said, at the price of the house."""
    record = UsageRecord.objects.get(request_id=UUID(request_id))
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    completion = usage.get("completion_tokens") or 0
    cost, _ = price_of(Quantities.from_usage(usage["prompt_tokens"], cached, completion, 0), house.prices)
    assert record.status == "completed"
    assert (record.input_quantity, record.cached_quantity) == (usage["prompt_tokens"] - cached, cached)
    assert record.output_quantity + record.reasoning_quantity == completion
    assert record.cost_nano_eur == cost > 0
    return record


def test_a_chat_is_billed_by_the_engines_own_count(chat: Endpoint, gateway: GatewayProcess) -> None:
    house = served(chat, LanguageModel.Kind.CHAT)
    answered = gateway.chat(house.model.name, key_for(house, gateway), "What rings in a belfry?", max_tokens=12)
    assert answered.status == 200, answered.body
    is_billed_exactly(house, answered.headers["x-request-id"], answered.json["usage"])


def test_a_stream_is_billed_and_shows_its_usage_only_where_asked(chat: Endpoint, gateway: GatewayProcess) -> None:
    house = served(chat, LanguageModel.Kind.CHAT)
    key = key_for(house, gateway)
    quiet = gateway.chat(house.model.name, key, stream=True, max_tokens=12)
    assert quiet.status == 200, quiet.body
    assert b'"usage"' not in quiet.body
    told = gateway.chat(house.model.name, key, stream=True, max_tokens=12, stream_options={"include_usage": True})
    usage = told.events[-1]["usage"]
    record = is_billed_exactly(house, told.headers["x-request-id"], usage)
    assert usage["cost_nano_eur"] == record.cost_nano_eur
    content = [event["choices"][0]["delta"].get("content") for event in told.events if event["choices"]]
    assert "".join(filter(None, content))


def test_an_embedding_is_billed(embedding: Endpoint, gateway: GatewayProcess) -> None:
    house = served(embedding, LanguageModel.Kind.EMBEDDING)
    body = {"model": house.model.name, "input": ["one", "two words"]}
    answered = gateway.post("/v1/embeddings", body, key_for(house, gateway))
    assert answered.status == 200, answered.body
    is_billed_exactly(house, answered.headers["x-request-id"], json.loads(answered.body)["usage"])


def test_a_prompt_too_long_is_the_clients_error_and_costs_nothing(chat: Endpoint, gateway: GatewayProcess) -> None:
    house = served(chat, LanguageModel.Kind.CHAT)
    answered = gateway.chat(house.model.name, key_for(house, gateway), "word " * (2 * chat.window))
    assert answered.status == 400, answered.body
    assert answered.json["error"]["code"] == "context_length_exceeded"
    assert not UsageRecord.objects.filter(tenant_id=house.tenant.pk, cost_nano_eur__gt=0).exists()
