"""A house whose model is served by a fast simulated engine behind a gateway."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from pytest_django import DjangoDbBlocker

from identity.scopes import Scope
from tests.gateway.relay.bills import house_served_by
from tests.gateway.simulated_engine.process import EngineProcess
from tests.support.gateway import GatewayProcess, running_gateway, serve
from tests.support.ledger import HeldKey, House, make_house
from tests.support.outage import OwnPostgres

MODELS = {"demo/chat": "chat", "demo/embed": "embedding", "demo/rerank": "rerank"}


@dataclass(frozen=True)
class Scene:
    """What most tests of the relay need. The engine answers at once and keeps a journal."""

    house: House
    gateway: GatewayProcess
    engine: EngineProcess

    def key(self, *scopes: Scope, **policy: Any) -> HeldKey:
        """A new key of the house that the gateway knows."""
        key = self.house.key(*scopes, **policy)
        self.gateway.await_key(key.text)
        return key

    @property
    def model(self) -> str:
        return self.house.model.name


@pytest.fixture(scope="session")
def relay_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    """One engine for all tests that leave it as it was."""
    journal = tmp_path_factory.mktemp("relay-engine") / "journal.jsonl"
    with EngineProcess(
        MODELS, journal, "engine-key", "--tokens-per-second=0", "--first-token-ms=0", "--max-model-len=8192"
    ) as engine:
        yield engine


@pytest.fixture(scope="session")
def own_postgres(django_db_setup: None) -> Iterator[OwnPostgres]:
    """A PostgreSQL that tests may stop, freeze and search; the next one finds it running."""
    with OwnPostgres() as postgres:
        yield postgres


@pytest.fixture(scope="session")
def relay_gateway(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """One gateway for all tests that leave it as it was."""
    with GatewayProcess(tmp_path_factory.mktemp("relay-gateway")) as gateway:
        yield gateway
        gateway.stop()
        print(gateway.log.read_text())  # pytest shows it with a failure


@pytest.fixture(scope="session")
def served_house(django_db_setup: None, django_db_blocker: DjangoDbBlocker, relay_engine: EngineProcess) -> House:
    """A tenant whose model the engine serves."""
    with django_db_blocker.unblock():
        house = make_house()
        serve(house.model, relay_engine)
        return house


@pytest.fixture
def scene(database: None, served_house: House, relay_gateway: GatewayProcess, relay_engine: EngineProcess) -> Scene:
    """The shared house, gateway and engine."""
    return Scene(served_house, relay_gateway, relay_engine)


@pytest.fixture(scope="session")
def impatient(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway that gives an engine a second, and rests a sick one for no time worth the name."""
    limits = "first_byte_s=1,silence_s=1,ejected_s=0.01,ejected_most_s=2"
    with running_gateway(tmp_path_factory.mktemp("impatient"), limits) as gateway:
        yield gateway


@pytest.fixture
def faulty(scene: Scene, impatient: GatewayProcess) -> Scene:
    """A house of its own behind the impatient gateway: its replica is judged by this test alone."""
    return Scene(house_served_by(impatient, scene.engine), impatient, scene.engine)
