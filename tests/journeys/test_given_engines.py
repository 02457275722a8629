"""BEFFROI_ENGINES: engines of one's own instead of the simulated ones, also of a model that no catalog knows."""

from pathlib import Path

import pytest
from openai import OpenAI

from tests.gateway.simulated_engine.process import EngineProcess
from tests.journeys.bill import Bill
from tests.support.installation import Installation

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]

MODEL, EMBEDDING = "journeys/unheard-of:1b", "bge-m3:567m"


def test_an_unknown_model_is_served_at_the_reference_prices(tmp_path: Path) -> None:
    with (
        EngineProcess({"own-name": "chat"}, tmp_path / "chat", "secret-1", "--max-model-len=2048") as chat_engine,
        EngineProcess({EMBEDDING: "embedding"}, tmp_path / "embeddings", "secret-2") as embedding_engine,
    ):
        engines = [
            f"{MODEL}=http://:{chat_engine.key}@127.0.0.1:{chat_engine.port}",
            f"{EMBEDDING}=http://:{embedding_engine.key}@127.0.0.1:{embedding_engine.port}",
        ]
        with Installation(BEFFROI_ENGINES=",".join(engines)) as beffroi:
            assert beffroi.demo["models"] == {"chat": MODEL, "embedding": EMBEDDING}
            assert "engine" not in beffroi.demo["pids"]
            assert f"{MODEL} at http://127.0.0.1:{chat_engine.port}: ready" in beffroi.terminal.read_text()
            assert "secret" not in beffroi.said()
            with OpenAI(base_url=beffroi.base_url, api_key=beffroi.demo["api_key"]) as client:
                ask_everything(client, beffroi)


def ask_everything(client: OpenAI, beffroi: Installation) -> None:
    """Each model answers and costs what the reference price list says; no other is listed."""
    bill = Bill(beffroi)
    models = {model.id: model.to_dict() for model in client.models.list()}
    assert set(models) == {MODEL, EMBEDDING}
    assert models[MODEL]["max_model_len"] == 2048
    answer = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Hello!"}])
    assert answer.choices[0].message.content
    bill.show_usage(answer._request_id, answer.usage, model=MODEL)
    vectors = client.embeddings.create(model=EMBEDDING, input="A bell")
    bill.show_usage(vectors._request_id, vectors.usage)
    bill.close()
