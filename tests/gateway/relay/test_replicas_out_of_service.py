"""Draining cuts nothing; ejecting breaks off what is under way, and begins elsewhere what nobody has seen of."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from gateway.pools.models import Replica
from gateway.pools.registry import set_state
from tests.gateway.relay.bills import await_model, only_record_of
from tests.gateway.relay.conftest import Scene
from tests.gateway.simulated_engine.process import EngineProcess, eventually
from tests.support.gateway import serve
from tests.support.ledger import HeldKey, House, make_house
from tests.support.people import TESTS

AT_ONCE_S = 3.0
SLOWLY = {"tokens_per_second": 20, "output_tokens": 40}


@pytest.fixture
def second(tmp_path: Path) -> Iterator[EngineProcess]:
    """Another engine."""
    quick = ("--tokens-per-second=0", "--first-token-ms=0")
    with EngineProcess({"demo/chat": "chat"}, tmp_path / f"{uuid4().hex}.jsonl", "k", *quick) as engine:
        yield engine


@pytest.fixture
def house(scene: Scene) -> House:
    """A tenant whose model one replica serves."""
    house = make_house()
    serve(house.model, scene.engine)
    await_model(scene.gateway, house)
    return house


def replica_of(house: House) -> Replica:
    return Replica.objects.get(pool__model=house.model)


def put(replica: Replica, state: Replica.State) -> None:
    set_state(replica=replica, state=state, reason="A test.", actor=TESTS)


def read_until(stream: socket.socket, mark: bytes) -> bytes:
    told = b""
    while mark not in told and (piece := stream.recv(65536)):
        told += piece
    return told


def known(scene: Scene, house: House) -> HeldKey:
    key = house.key()
    scene.gateway.await_key(key.text)
    return key


def test_a_replica_that_drains_ends_its_stream_and_gets_no_new_request(scene: Scene, house: House) -> None:
    key = known(scene, house)
    with scene.gateway.open_stream(house.model.name, key.text, simulate=SLOWLY, max_tokens=60) as stream:
        assert stream.recv(4096).startswith(b"HTTP/1.1 200")
        put(replica_of(house), Replica.State.DRAINING)
        asked = known(scene, house)
        assert eventually(lambda: scene.gateway.chat(house.model.name, asked.text).status == 503, 4)
        assert b"[DONE]" in read_until(stream, b"[DONE]")
    record = only_record_of(key.row)
    assert (record.status, record.output_quantity) == ("completed", 40)
    put(replica_of(house), Replica.State.READY)
    assert eventually(lambda: scene.gateway.chat(house.model.name, asked.text).status == 200, 4)


def test_a_replica_that_is_ejected_even_while_it_drains_is_cut_and_what_was_reported_is_charged(
    scene: Scene, house: House
) -> None:
    key = known(scene, house)
    long = {"tokens_per_second": 10, "output_tokens": 400}
    with scene.gateway.open_stream(house.model.name, key.text, simulate=long, max_tokens=500) as stream:
        assert stream.recv(4096).startswith(b"HTTP/1.1 200")
        put(replica_of(house), Replica.State.DRAINING)
        time.sleep(1)
        began = time.monotonic()
        put(replica_of(house), Replica.State.EJECTED)
        assert b"engine_failed" in read_until(stream, b"engine_failed")
        assert time.monotonic() - began < AT_ONCE_S
    assert 0 < only_record_of(key.row).output_quantity < 100


def test_what_an_ejected_replica_has_not_begun_to_answer_another_one_does(
    scene: Scene, second: EngineProcess, tmp_path: Path
) -> None:
    with EngineProcess({"demo/chat": "chat"}, tmp_path / "hangs.jsonl", "k", "--fault=hang_before") as hanging:
        house = make_house()
        first = serve(house.model, hanging)
        await_model(scene.gateway, house)
        key = known(scene, house)
        with scene.gateway.open_stream(house.model.name, key.text, max_tokens=3) as stream:
            time.sleep(0.5)
            serve(house.model, second)
            began = time.monotonic()
            put(first, Replica.State.EJECTED)
            assert b"[DONE]" in read_until(stream, b"[DONE]")
            assert time.monotonic() - began < AT_ONCE_S
    assert only_record_of(key.row).status == "completed"
