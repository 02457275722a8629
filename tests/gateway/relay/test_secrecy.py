"""I5: prompts and answers are written nowhere: a word that only they hold is looked for wherever we write."""

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_django import DjangoDbBlocker

from billing.models import Refusal
from tests.gateway.relay.bills import key_with_budget
from tests.gateway.simulated_engine.process import EngineProcess, eventually, read_until
from tests.support.gateway import GatewayProcess, serve
from tests.support.ledger import House, make_house
from tests.support.outage import OwnPostgres

CANARY = "Xanthippe0Kanarienvogel"
LABEL = "a-label-that-is-kept"
PATH = "/v1/chat/completions"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("secrecy")


@pytest.fixture(scope="module")
def house(
    own_postgres: OwnPostgres, relay_engine: EngineProcess, django_db_blocker: DjangoDbBlocker
) -> Iterator[House]:
    with django_db_blocker.unblock(), own_postgres.used_by_django():
        house = make_house()
        serve(house.model, relay_engine)
        yield house


@pytest.fixture(scope="module")
def gateway(house: House, own_postgres: OwnPostgres, folder: Path) -> Iterator[GatewayProcess]:
    limits = "heartbeat_s=0.3,checkpoint_s=0.2,first_byte_s=1"
    environment = own_postgres.environment | {"TMPDIR": str(folder)}
    with GatewayProcess(folder, limits, **environment) as gateway:
        yield gateway


def bodies(model: str) -> list[Any]:
    """The word wherever a client may put it, in requests that succeed and in all that fail in a way of their own."""
    said = [{"role": "user", "content": f"Say {CANARY}", "name": CANARY}]
    good = {
        "model": model,
        "messages": said,
        "max_tokens": 4,
        "user": CANARY,
        "metadata": {"who": CANARY},
        "stop": [CANARY],
    }
    echo = {"chunk_text": CANARY}  # the engine answers with it
    tool = {"type": "function", "function": {"name": "f", "description": CANARY, "parameters": {}}}
    return [
        good,
        good | {"simulate": echo},
        good | {"simulate": echo, "stream": True, "stream_options": {"include_usage": True}},
        good | {"tools": [tool], CANARY: CANARY, "response_format": {"type": "json_object"}},
        *[
            good | {"simulate": fault}
            for fault in ({"status": 400}, {"status": 500}, {"garbage": "json"}, {"close_before": True})
        ],
        good | {"simulate": {"hang_before": True}},
        good | {"simulate": echo | {"close_after": 2}, "stream": True},
        good | {"simulate": echo | {"event_error_after": 2}, "stream": True},
        good | {"model": CANARY},
        good | {"messages": [{"role": "user", "content": [{"type": CANARY}]}]},
        good | {"messages": [{"role": CANARY, "content": CANARY * 4_000}]},
        good | {CANARY: json.loads("[" * 150 + "]" * 150)},
        good | {"max_tokens": CANARY},
        good | {"kv_transfer_params": {CANARY: CANARY}},
        json.dumps(good).encode() + CANARY.encode(),
        b'{"model":"' + CANARY.encode() + b"\\u0000",
    ]


def test_I5_what_was_said_is_written_nowhere(
    house: House, gateway: GatewayProcess, own_postgres: OwnPostgres, folder: Path, django_db_blocker: DjangoDbBlocker
) -> None:
    with django_db_blocker.unblock():
        key = key_with_budget(house, gateway)
        sent = bodies(house.model.name)
        statuses = {
            gateway.post(PATH, body, key.text, idempotency_key=f"{CANARY} {number}", x_beffroi_label=LABEL).status
            for number, body in enumerate(sent)
        }
        assert {200, 400, 404, 502} <= statuses
        gateway.post("/v1/completions", {"model": house.model.name, "prompt": CANARY, "max_tokens": 3}, key.text)
        gateway.post("/v1/estimate", sent[0], key.text)
        gateway.get(f"/v1/models/{CANARY}", key.text)
        gateway.get(f"/v1/{CANARY}?q={CANARY}", key.text)
        gateway.post(PATH, sent[0], CANARY)
        stream = gateway.open_stream(
            house.model.name, key.text, CANARY, max_tokens=99, simulate={"tokens_per_second": 10, "chunk_text": CANARY}
        )
        read_until(stream, lambda received: received.count(CANARY.encode()) > 4)  # longer than a checkpoint
        assert eventually(lambda: Refusal.objects.filter(key_id=key.row.pk).count() >= 5, 5)
        stream.close()
    gateway.stop()
    assert found(LABEL, own_postgres.data), "the search does not find even what is there"
    for place in (own_postgres.data, own_postgres.log, gateway.log, folder):
        assert not found(CANARY, place)
    assert not list(Path(tempfile.gettempdir()).glob("core*"))
    assert not list(Path.cwd().glob("core.[0-9]*"))


def found(text: str, place: Path) -> list[str]:
    """The files in which a text stands: data, WAL, logs."""
    files = (
        [Path(folder) / name for folder, _, names in os.walk(place) for name in names] if place.is_dir() else [place]
    )
    return [str(file) for file in files if text.encode() in file.read_bytes()]


def test_I5_a_gateway_leaves_no_core(gateway: GatewayProcess) -> None:
    gateway.start()
    try:
        gateway.wait_until_ready()
        limits = Path(f"/proc/{gateway.process.pid}/limits").read_text().splitlines()
        [core] = [line.split() for line in limits if line.startswith("Max core file size")]
        assert core[4:6] == ["1", "1"]
    finally:
        gateway.stop()
