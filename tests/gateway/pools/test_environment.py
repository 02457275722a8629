"""Engines that the environment names: registered, probed and, no longer named, removed."""

import socket
import threading
from urllib.parse import quote

import pytest
from django.core.management import CommandError, call_command

from billing.prices.price_book import load_prices, price_in_force, prices_of, reference_rate_card
from gateway.pools.environment import register_engines, wanted_engines
from gateway.pools.models import Replica
from gateway.pools.registry import key_of, register_pool, register_replica
from identity.errors import Invalid
from models_catalog.models import LanguageModel, ModelAlias
from tests.gateway.pools.conftest import KEY, OPERATOR, StartEngine
from tests.support.ledger import make_model, unique


def register(*texts: str, wait_seconds: float = 0) -> tuple[int, list[str]]:
    told: list[str] = []
    with_key = [text.replace("http://", f"http://:{quote(KEY)}@") for text in texts]
    ready = register_engines(wanted_engines(with_key), wait_seconds=wait_seconds, tell=told.append)
    return ready, told


@pytest.fixture
def model(database: None) -> LanguageModel:
    return make_model()


def test_engines_of_a_known_model_become_its_replicas(model: LanguageModel, start_engine: StartEngine) -> None:
    engines = [start_engine({model.name: "chat"}) for _ in range(2)]
    texts = [f"{model.name}={engine.url}" for engine in engines]
    ready, told = register(*texts)
    assert (ready, told[:2]) == (2, [f"{model.name} at {engine.url}: ready" for engine in engines])
    replicas = Replica.objects.filter(pool__model=model)
    assert {(replica.url, replica.state, replica.source) for replica in replicas} == {
        (engine.url, "ready", "environment") for engine in engines
    }
    assert all(key_of(replica) == KEY for replica in replicas)
    ids = set(replicas.values_list("pk", flat=True))
    assert register(*texts)[0] == 2
    assert set(replicas.values_list("pk", flat=True)) == ids


def test_engines_no_longer_named_are_removed_and_the_operators_stay(
    model: LanguageModel, start_engine: StartEngine
) -> None:
    old, new = (start_engine({model.name: "chat"}) for _ in range(2))
    register(f"{model.name}={old.url}")
    pool = register_pool(model=model, served_name=model.name, actor=OPERATOR)
    own = register_replica(pool=pool, url="http://127.0.0.1:9", actor=OPERATOR)
    _, told = register(f"{model.name}={new.url}")
    assert f"{model.name} at {old.url}: removed, it is not named any more" in told
    assert set(Replica.objects.filter(pool__model=model).values_list("url", flat=True)) == {new.url, own.url}


def test_a_model_that_the_catalog_lacks_gets_a_demo_entry_at_the_reference_prices(
    database: None, start_engine: StartEngine
) -> None:
    load_prices(actor=OPERATOR)
    name = unique("somebody/model")
    engine = start_engine({name: "chat"}, "--max-model-len=1024")
    assert register(f"{name}={engine.url}")[0] == 1
    model = LanguageModel.objects.get(name=name)
    assert (model.kind, model.context_window, model.default_max_output, model.is_demo) == ("chat", 1024, 512, True)
    assert 64 < model.template_overhead_tokens < 1024
    version = price_in_force(rate_card=reference_rate_card(), model=model)
    assert version is not None
    assert dict(prices_of(version).nano_eur_per_million) == {
        "input": 900_000_000,
        "output": 4_000_000_000,
        "reasoning": 21_000_000_000,
    }


def test_an_engine_may_know_the_model_by_its_publishers_name(model: LanguageModel, start_engine: StartEngine) -> None:
    alias = unique("org/name")
    ModelAlias.objects.create(model=model, alias=alias)
    engine = start_engine({alias: "chat", "something/else": "embedding"})
    assert register(f"{model.name}={engine.url}")[0] == 1
    assert Replica.objects.get(pool__model=model).pool.served_name == alias


def test_an_engine_with_one_model_serves_what_it_is_named_for(model: LanguageModel, start_engine: StartEngine) -> None:
    engine = start_engine({"./weights": "chat"})
    assert register(f"{model.name}={engine.url}")[0] == 1
    assert Replica.objects.get(pool__model=model).pool.served_name == "./weights"


def test_an_engine_that_serves_others_is_refused_in_words(model: LanguageModel, start_engine: StartEngine) -> None:
    engine = start_engine({"a": "chat", "b": "chat"})
    ready, told = register(f"{model.name}={engine.url}")
    assert ready == 0
    assert f"{model.name} at {engine.url}: It does not serve {model.name}, but a, b." in told


def test_an_engine_that_is_still_starting_is_waited_for(model: LanguageModel, start_engine: StartEngine) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    starter = threading.Timer(0.5, start_engine, [{model.name: "chat"}, f"--port={port}"])
    starter.start()
    ready, told = register(f"{model.name}=http://127.0.0.1:{port}", wait_seconds=20)
    starter.join()
    assert ready == 1
    assert told[0].endswith("Waiting.")


def test_one_that_does_not_come_is_registered_for_the_worker_to_go_on_probing(model: LanguageModel) -> None:
    ready, _ = register(f"{model.name}=http://127.0.0.1:9")
    assert ready == 0
    replica = Replica.objects.get(pool__model=model)
    assert replica.state == "failed"
    assert "does not answer" in replica.state_reason


def test_an_engine_that_stops_answering_keeps_the_pool_that_it_proved(
    model: LanguageModel, start_engine: StartEngine
) -> None:
    engine = start_engine({"./weights": "chat"})
    text = f"{model.name}={engine.url}"
    register(text)
    engine.process.terminate()
    engine.process.wait(10)
    assert register(text)[0] == 0
    replica = Replica.objects.get(pool__model=model)
    assert (replica.pool.served_name, replica.state) == ("./weights", "failed")


@pytest.mark.parametrize("text", ["model", "=http://engine", "a b=http://engine", "model=engine:8000"])
def test_what_is_no_engine_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        wanted_engines([text])


def test_the_command_reads_the_environment_and_fails_when_nothing_is_ready(
    model: LanguageModel,
    start_engine: StartEngine,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    engine = start_engine({model.name: "chat"})
    monkeypatch.setenv("BEFFROI_ENGINES", f"{model.name}=http://:{KEY.replace(' ', '%20')}@127.0.0.1:{engine.port}, ")
    call_command("register_engines", "--wait=0")
    assert f"{model.name} at {engine.url}: ready" in capsys.readouterr().out
    monkeypatch.setenv("BEFFROI_ENGINES", f"{model.name}=http://127.0.0.1:9")
    with pytest.raises(CommandError, match="None of the engines became ready"):
        call_command("register_engines", "--wait=0")
    monkeypatch.setenv("BEFFROI_ENGINES", "nonsense")
    with pytest.raises(CommandError, match="is not model="):
        call_command("register_engines")
    monkeypatch.delenv("BEFFROI_ENGINES")
    call_command("register_engines")
    assert "No engine is named" in capsys.readouterr().out
