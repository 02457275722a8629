"""The fixtures of the contract: `engine` runs every test on the simulated engine and on a real vLLM.

`pytest tests/engine_contract -m "not real_engine"` needs nothing; `-m real_engine` needs
`python -m tests.engine_contract.vllm_on_cpu prepare` first. Where the two differ, the real one is right.
"""

from collections.abc import Iterator

import pytest

from tests.engine_contract import vllm_on_cpu
from tests.engine_contract.client import Endpoint
from tests.engine_contract.engines import REAL, Engine, RealVllm, SimulatedEngine


@pytest.fixture(scope="session", params=["simulated", REAL])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The engine under test; started once for all tests."""
    logs = tmp_path_factory.mktemp("engine")
    running: Engine = SimulatedEngine(logs) if request.param == "simulated" else RealVllm(logs)
    yield running
    running.stop()


@pytest.fixture
def chat(engine: Engine) -> Endpoint:
    """A model that answers."""
    return engine.endpoint("chat")


@pytest.fixture
def embedding(engine: Engine) -> Endpoint:
    """A model that makes vectors."""
    return engine.endpoint("embedding")


@pytest.fixture
def reranker(engine: Engine) -> Endpoint:
    """A cross-encoder that scores pairs."""
    return engine.endpoint("reranker")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test of a real engine also waits for its start."""
    for item in items:
        if item.get_closest_marker("real_engine"):
            item.add_marker(pytest.mark.timeout(vllm_on_cpu.START_PATIENCE + 60))
