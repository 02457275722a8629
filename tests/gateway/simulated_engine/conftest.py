"""Real engine processes on ports of the kernel's choice."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.gateway.simulated_engine.process import EngineProcess

MODELS = {"demo/chat": "chat", "demo/embed": "embedding", "demo/rerank": "rerank", "demo/voice": "transcription"}
KEY = "engine-key"

StartEngine = Callable[..., EngineProcess]


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    """One fast engine with a key, a journal and a small window, shared by every test that leaves it as it was."""
    journal = tmp_path_factory.mktemp("engine") / "journal.jsonl"
    with EngineProcess(
        MODELS, journal, KEY, "--tokens-per-second=0", "--first-token-ms=0", "--max-model-len=2000"
    ) as own:
        yield own


@pytest.fixture
def start_engine(tmp_path: Path) -> Iterator[StartEngine]:
    """Starts further engines with flags of their own."""
    with contextlib.ExitStack() as stack:
        yield lambda *flags: stack.enter_context(EngineProcess(MODELS, tmp_path / "journal.jsonl", KEY, *flags))
