"""An engine's own counters and the bills of what it served, through a gateway: equal to the token."""

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from billing.clock import database_now
from billing.models import UsageRecord
from gateway.pools.counters import sample_replica
from gateway.pools.models import Replica
from gateway.pools.reconciliation import PoolResult, reconcile
from models_catalog.models import LanguageModel
from tests.engine_contract.client import SAMPLED, Endpoint
from tests.engine_contract.test_behind_the_gateway import gateway, key_for, served
from tests.gateway.simulated_engine.process import eventually, read_until
from tests.support.gateway import GatewayProcess
from tests.support.ledger import PRICES, House, make_price

__all__ = ["gateway"]  # the fixture
pytestmark = pytest.mark.usefixtures("database")

A_MOMENT = 1.5  # seconds: vLLM publishes what it counted a moment after it answered


@dataclass
class Scene:
    """An engine behind a gateway, sampled; `since` is just after that."""

    house: House
    key: str
    gateway: GatewayProcess
    replica: Replica
    since: datetime

    def result(self) -> PoolResult:
        """The pool since `since`, by one more sample."""
        time.sleep(A_MOMENT)
        sample_replica(self.replica)
        [result] = [each for each in reconcile(self.since, database_now()) if each.pool == self.replica.pool.name]
        return result


def scene_of(endpoint: Endpoint, kind: str, gateway: GatewayProcess) -> Scene:
    house = served(endpoint, kind)
    key = key_for(house, gateway)
    assert eventually(lambda: gateway.get(f"/v1/models/{house.model.name}", key).status == 200, 5)
    replica = Replica.objects.select_related("pool").get(pool__model=house.model)
    time.sleep(A_MOMENT)  # the probe that made it ready
    sample_replica(replica)
    return Scene(house, key, gateway, replica, database_now())


@pytest.fixture
def chat_scene(chat: Endpoint, gateway: GatewayProcess) -> Scene:
    return scene_of(chat, LanguageModel.Kind.CHAT, gateway)


def assert_equal(result: PoolResult) -> None:
    """To the token, without any excuse."""
    assert min(result.prompt.charged, result.prompt.engine) > 0
    assert (result.prompt.difference, result.generation.difference) == (0, 0)
    assert result.causes == ()


def test_what_was_charged_is_what_the_engine_counted(chat_scene: Scene) -> None:
    name, key = chat_scene.house.model.name, chat_scene.key
    asked: tuple[dict[str, Any], ...] = ({}, {"stream": True}, {"stop": "e"}, {"reasoning_effort": "low"})
    for members in asked:
        assert chat_scene.gateway.chat(name, key, "What rings in a belfry?", max_tokens=11, **members).status == 200
    prompts = {"model": name, "prompt": ["a belfry", "and its bells"], "max_tokens": 5}
    assert chat_scene.gateway.post("/v1/completions", prompts, key).status == 200
    assert_equal(chat_scene.result())


def test_a_prompt_of_several_choices_is_explained_to_the_token(chat_scene: Scene) -> None:
    name, key = chat_scene.house.model.name, chat_scene.key
    answered = chat_scene.gateway.chat(name, key, "Hello", max_tokens=6, n=3, **SAMPLED)
    result = chat_scene.result()
    prompt = answered.json["usage"]["prompt_tokens"]
    assert (result.prompt.difference, result.generation.difference) == (2 * prompt, 0)
    assert [(cause.name, cause.requests, cause.most_prompt) for cause in result.causes] == [
        ("several choices", 2, 2 * prompt)
    ]
    assert (result.prompt.unexplained, result.generation.unexplained) == (0, 0)


def test_a_stream_that_was_left_is_explained_by_what_the_engine_did_not_finish(chat_scene: Scene) -> None:
    name, key = chat_scene.house.model.name, chat_scene.key
    chat_scene.gateway.chat(name, key, max_tokens=5)
    stream = chat_scene.gateway.open_stream(name, key, max_tokens=2000, ignore_eos=True)
    received = read_until(stream, lambda data: data.count(b"data: ") >= 4)
    request_id = received.partition(b"x-request-id: ")[2].partition(b"\r\n")[0].decode()
    stream.close()
    left = UsageRecord.objects.filter(request_id=UUID(request_id))
    assert eventually(left.exists, 10)
    assert left.get().status == "client_left"
    result = chat_scene.result()
    assert result.prompt.difference == 0
    [cause] = result.causes
    assert (cause.name, cause.requests) == ("cut streams", 1)
    assert cause.most_generation == result.generation.difference >= 0
    assert result.generation.unexplained == 0


def test_use_behind_the_gateways_back_stays_unexplained(chat_scene: Scene, chat: Endpoint) -> None:
    usage = chat.chat(max_tokens=8).usage
    result = chat_scene.result()
    assert (result.prompt.unexplained, result.generation.unexplained) == (
        usage["prompt_tokens"], usage["completion_tokens"],
    )  # fmt: skip


def test_embeddings_are_charged_by_what_the_engine_counted(embedding: Endpoint, gateway: GatewayProcess) -> None:
    scene = scene_of(embedding, LanguageModel.Kind.EMBEDDING, gateway)
    body = {"model": scene.house.model.name, "input": ["one", "two words", "and three words"]}
    assert gateway.post("/v1/embeddings", body, scene.key).status == 200
    assert_equal(scene.result())


def test_reranking_is_charged_with_the_tokens_that_the_engine_counted(
    reranker: Endpoint, gateway: GatewayProcess
) -> None:
    scene = scene_of(reranker, LanguageModel.Kind.RERANK, gateway)
    make_price(scene.house.price_version.rate_card, scene.house.model, PRICES | {"documents": 1_000_000_000})
    body = {"model": scene.house.model.name, "query": "which bell?", "documents": ["a bell", "a tower", "both"]}
    assert eventually(lambda: gateway.post("/v1/rerank", body, scene.key).status == 200, 5)
    assert_equal(scene.result())
