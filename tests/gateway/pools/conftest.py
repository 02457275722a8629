"""Real (simulated) engines, each test with models of its own."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest

from gateway.pools.models import Replica
from gateway.pools.registry import register_pool, register_replica
from identity.audit import Actor
from tests.gateway.simulated_engine.process import EngineProcess
from tests.support.ledger import make_model

KEY = "an engine's key"
OPERATOR = Actor.system("test")

StartEngine = Callable[..., EngineProcess]
AddReplica = Callable[..., Replica]


@pytest.fixture
def start_engine(tmp_path: Path) -> Iterator[StartEngine]:
    """Starts an engine: `start_engine({"id": "chat"}, "--fault=no_usage")`."""
    with ExitStack() as running:

        def start(models: dict[str, str], *flags: str, key: str = KEY) -> EngineProcess:
            quick = ("--tokens-per-second=0", "--first-token-ms=0")
            engine = EngineProcess(models, tmp_path / f"{uuid4().hex}.jsonl", key, *quick, *flags)
            return running.enter_context(engine)

        yield start


@pytest.fixture
def add_replica(database: None, start_engine: StartEngine) -> AddReplica:
    """Starts an engine for a new model and registers it: `add_replica("chat", "--fault=no_usage")`."""

    def add(kind: str, *flags: str, api_key: str = KEY) -> Replica:
        model = make_model(kind=kind)
        engine = start_engine({model.name: kind}, *flags)
        pool = register_pool(model=model, served_name=model.name, actor=OPERATOR)
        return register_replica(pool=pool, url=engine.url, api_key=api_key, actor=OPERATOR)

    return add
