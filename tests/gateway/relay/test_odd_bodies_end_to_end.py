"""The whole corpus of odd bodies through the front door: no engine ever runs what the ledger did not hold (I3)."""

import http.client
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django import DjangoDbBlocker

from billing.models import Hold, UsageRecord
from gateway.relay.fields import Endpoint
from models_catalog.models import LanguageModel, ModelAlias
from tests.gateway.relay.bills import await_model
from tests.gateway.relay.conftest import MODELS
from tests.gateway.relay.odd_bodies import odd_bodies
from tests.gateway.relay.odd_body import EMBEDDING_MODEL, MODEL, RERANK_MODEL, OddBody
from tests.gateway.simulated_engine.process import Answered, EngineProcess, eventually
from tests.support.gateway import GatewayProcess, serve
from tests.support.ledger import HeldKey, House, make_house, make_model, make_price

KINDS = {
    MODEL: LanguageModel.Kind.CHAT,
    EMBEDDING_MODEL: LanguageModel.Kind.EMBEDDING,
    RERANK_MODEL: LanguageModel.Kind.RERANK,
}
PRICES = {"input": 150_000_000, "output": 600_000_000, "reasoning": 900_000_000, "documents": 2_000_000_000}


class Front:
    """The gateway's front door, for one key."""

    def __init__(self, port: int, key: HeldKey) -> None:
        self.port, self._key = port, key
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def send(self, odd: OddBody) -> Answered:
        headers = self._key.header | {"content-type": "application/json"}
        try:
            self._connection.request("POST", odd.endpoint.paths[0], odd.body, headers)
            response = self._connection.getresponse()
            told = {name.lower(): value for name, value in response.getheaders()}
            return Answered(response.status, told, response.read())
        finally:
            self._connection.close()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    """An engine whose journal holds nothing but the corpus."""
    journal = tmp_path_factory.mktemp("odd") / "journal.jsonl"
    flags = ("--tokens-per-second=0", "--first-token-ms=0", "--max-model-len=8192")
    with EngineProcess(MODELS, journal, "engine-key", *flags) as engine:
        yield engine


@pytest.fixture(scope="module")
def front(
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
    engine: EngineProcess,
    relay_gateway: GatewayProcess,
) -> Iterator[tuple[Front, House, HeldKey]]:
    """A house that may call one model of each kind, under the names that the corpus uses."""
    with django_db_blocker.unblock():
        house = make_house(make_model(template_overhead_tokens=64))
        for name, kind in KINDS.items():
            model = house.model if name == MODEL else make_model(kind=kind, template_overhead_tokens=64)
            ModelAlias.objects.create(model=model, alias=name, tenant=house.tenant)
            if model is not house.model:
                make_price(house.price_version.rate_card, model, PRICES)
            serve(model, engine, name)
        await_model(relay_gateway, house)
        key = house.key()
        relay_gateway.await_key(key.text)
        known = {"demo/chat", "demo/embed", "demo/rerank"}
        assert eventually(lambda: known <= aliases(relay_gateway, key), 5)
        yield Front(relay_gateway.port, key), house, key


def aliases(gateway: GatewayProcess, key: HeldKey) -> set[str]:
    return {alias for model in gateway.get("/v1/models", key.text).json["data"] for alias in model["aliases"]}


def test_I3_no_engine_runs_what_the_ledger_did_not_hold(
    front: tuple[Front, House, HeldKey], engine: EngineProcess
) -> None:
    door, _, key = front
    ran = 0
    answers = {odd.name: (odd, door.send(odd)) for odd in odd_bodies()}
    records = {str(record.request_id): record for record in UsageRecord.objects.filter(key_id=key.row.pk)}
    starts = started(engine)
    for name, (odd, answered) in answers.items():
        request_id = answered.headers["x-request-id"]
        is_unknown = odd.code is None and answered.status == 404  # a name that nobody has here
        if odd.code is not None or is_unknown:
            assert 400 <= answered.status < 500, (name, answered.status)
            assert answered.json["error"]["code"] == (odd.code or "model_not_found"), name
            assert request_id not in records, name
            assert request_id not in starts, name
        else:
            assert answered.status in (200, 400), (name, answered.status, answered.body)
            record = records[request_id]
            assert record.uncharged_nano_eur == 0, name
            for start in starts.get(request_id, []):
                ran += 1
                assert_held(name, odd, record, start)
    assert ran > 50
    assert set(starts) <= set(records)
    assert all(record.cost_nano_eur > 0 for record in records.values() if record.status == "completed")
    assert not Hold.objects.filter(key_id=key.row.pk).exists()


def started(engine: EngineProcess) -> dict[str, list[dict[str, Any]]]:
    """What the engine began to work on, by the id that the gateway gave it."""
    found: dict[str, list[dict[str, Any]]] = {}
    for line in engine.journal():
        if line["e"] == "start" and line["id"]:
            found.setdefault(line["id"], []).append(line)
    return found


def assert_held(name: str, odd: OddBody, record: UsageRecord, start: dict[str, Any]) -> None:
    """The engine was given the limit that is in the record, in both members, and used no more than it."""
    if odd.endpoint in (Endpoint.EMBEDDINGS, Endpoint.RERANK):
        assert record.max_tokens_given is None, name
        assert record.output_quantity == 0, name
        return
    assert start["max_tokens"] == record.max_tokens_given, name
    if start["endpoint"] == Endpoint.CHAT.engine_path:
        assert start["max_completion_tokens"] == record.max_tokens_given, name
    sequences = start["n"] * start["prompts"]
    assert record.max_tokens_given is not None
    assert record.output_quantity + record.reasoning_quantity <= record.max_tokens_given * sequences, name
    asked = odd.decided.get("max_output_asked")
    if asked is not None:
        assert record.max_tokens_given <= asked, name
    if "sequences" in odd.decided:
        assert sequences == odd.decided["sequences"], name


def test_what_an_odd_body_holds_is_never_less_than_its_worst_case(
    front: tuple[Front, House, HeldKey], engine: EngineProcess
) -> None:
    """While it runs: the hold, against the journal's prompt tokens and the whole output limit of all its sequences."""
    door, house, _ = front
    bodies: list[dict[str, Any]] = [
        {"n": 5, "max_tokens": 50},
        {"n": 3},
        {"max_completion_tokens": 8_000},
        {"max_tokens": 10**9},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}], "max_tokens": 7},
        {"messages": [{"role": "user", "content": "\u0dddﷺ" * 50}], "max_tokens": 7},
        {"messages": [{"role": "user", "content": "word " * 3_000}]},
        {"chat_template_kwargs": {"enable_thinking": True}, "max_tokens": 90},
    ]
    for members in bodies:
        key = house.key()
        own_door = Front(door.port, key)
        body = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], "stream": True} | members
        body["simulate"] = {"first_token_ms": 400}
        assert eventually(lambda own_door=own_door: own_door.send(odd_of({"model": "x"})).status != 401, 5)  # type: ignore[misc]
        thread = threading.Thread(target=own_door.send, args=(odd_of(body),))
        thread.start()
        assert eventually(lambda key=key: Hold.objects.filter(key_id=key.row.pk).exists(), 5)  # type: ignore[misc]
        hold = Hold.objects.get(key_id=key.row.pk)
        assert eventually(lambda hold=hold: str(hold.request_id) in started(engine), 5)  # type: ignore[misc]
        [start] = started(engine)[str(hold.request_id)]
        worst = start["prompt_tokens"] * 150 + start["n"] * min(start["max_tokens"], 8_192) * 600
        assert hold.amount_nano_eur >= min(worst, start["n"] * 8_192 * 600), members
        thread.join(20)
        assert UsageRecord.objects.get(key_id=key.row.pk).uncharged_nano_eur == 0


def odd_of(body: dict[str, Any]) -> OddBody:
    return OddBody("", Endpoint.CHAT, json.dumps(body).encode(), None, {})
