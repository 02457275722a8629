"""Who is gone without a word, client or engine, is noticed in a time that has a name (I8), and the bill is exact."""

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.relay.limits import Limits
from tests.gateway.relay.bills import assert_exact, await_model, key_with_budget, only_record_of
from tests.gateway.relay.conftest import Scene
from tests.gateway.relay.leaving import see_events, vanish
from tests.gateway.relay.streams import chat_chunk, event, usage_of
from tests.gateway.simulated_engine.process import eventually, read_to_end
from tests.support.gateway import GatewayProcess, error_of, serve
from tests.support.ledger import House, make_house
from tests.support.wire import RecordingServer, Wire, chat, read_request

GONE_S = 2.0
SLACK_S = 4.0  # the kernel asks and sends again at times of its own; this machine is busy


@pytest.fixture(scope="module")
def watchful(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway that gives who is silent two seconds; by its other limits nobody would be noticed for minutes."""
    with GatewayProcess(
        tmp_path_factory.mktemp("watchful"), f"gone_s={GONE_S},ejected_s=0.01,look_after_s=60"
    ) as gateway:
        yield gateway


@pytest.fixture
def place(scene: Scene, watchful: GatewayProcess) -> Scene:
    await_model(watchful, scene.house)
    return Scene(scene.house, watchful, scene.engine)


PACED = {"tokens_per_second": 50, "output_tokens": 4_000}
ASKED: dict[str, tuple[bool, dict[str, Any]]] = {
    "in the middle of a stream": (True, PACED),
    "in a pause of a stream": (True, {"hang_after": 3}),
    "before the first byte of a stream": (True, {"first_token_ms": 60_000}),
    "before a whole answer": (False, {"first_token_ms": 60_000}),
}


@pytest.mark.parametrize("asked", ASKED)
def test_I2_b_h_a_client_whose_network_dies_frees_its_engine(place: Scene, asked: str) -> None:
    stream, simulate = ASKED[asked]
    key = key_with_budget(place.house, place.gateway)
    with Wire(place.gateway.connect()) as wire:
        wire.send(chat(place.model, key.text, stream=stream, max_tokens=4_000, simulate=simulate))
        assert eventually(lambda: place.engine.metric("num_requests_running") == 1, 5)
        if "of a stream" in asked and "first" not in asked:
            see_events(wire.socket, 3)
        gone_at = time.time()
        vanish(wire.socket)
        assert eventually(lambda: place.engine.metric("num_requests_running") == 0, GONE_S + SLACK_S)
    record = only_record_of(key.row)
    end = place.engine.story(str(record.request_id))[-1]
    assert end["reason"] == "abort"
    assert GONE_S / 2 < end["t"] - gone_at < GONE_S + SLACK_S
    assert record.status == ("client_left" if stream else "client_left_early")
    assert end["wire"][0] - 1 <= record.output_quantity <= end["wire"][0]  # one may have been under way at the end
    if simulate is PACED:
        assert record.output_quantity > 10  # what was sent until then: nobody could know
    assert_exact(place.house, key.row)


def test_I2_b_a_client_that_takes_nothing_pays_what_it_made_the_engine_do(place: Scene) -> None:
    """It is there, but reads nothing: its window is shut, the buffers fill, the engine is no longer read."""
    key = key_with_budget(place.house, place.gateway)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", place.gateway.port))
    with Wire(connection) as wire:
        wire.send(chat(place.model, key.text, max_tokens=7_000, stream=True, n=8, ignore_eos=True))
        record = only_record_of(key.row, within=60)
        received = read_to_end(wire.socket).count(b'"delta":{"content"')
    end = place.engine.story(str(record.request_id))[-1]
    assert (record.status, end["reason"]) == ("client_left", "abort")
    assert 0 < received <= record.output_quantity <= sum(end["wire"]) < 8 * 7_000
    assert_exact(place.house, key.row)


# ---- the engine's machine


EVENTS = [chat_chunk("", usage=usage_of(9, 0)), *(chat_chunk(usage=usage_of(9, number)) for number in (1, 2, 3))]


def serve_and_vanish(wire: Wire, seen: bytearray) -> None:
    """Take a request, answer as much as it asks for, then lose power."""
    _, _, body = read_request(wire, seen)
    if json.loads(body).get("stream"):
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        data = b"".join(event(chunk) for chunk in EVENTS)
        wire.send(head + b"%x\r\n%b\r\n" % (len(data), data))
        time.sleep(0.2)  # its acknowledgement is let in
    vanish(wire.socket)
    time.sleep(GONE_S + SLACK_S)


@pytest.fixture
def doomed(database: None, watchful: GatewayProcess) -> Iterator[House]:
    """A house whose only engine runs on a machine that loses power with its first request."""
    with RecordingServer.on_port(serve_and_vanish) as engine:
        house = make_house()
        serve(house.model, engine)  # type: ignore[arg-type]  # it has a url and a key
        await_model(watchful, house)
        yield house


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_I2_b_c_an_engine_whose_machine_loses_power_is_not_waited_for(
    watchful: GatewayProcess, doomed: House, *, stream: bool
) -> None:
    key = key_with_budget(doomed, watchful)
    began = time.monotonic()
    answered = watchful.chat(doomed.model.name, key.text, stream=stream, max_tokens=9)
    assert time.monotonic() - began < GONE_S + SLACK_S
    record = only_record_of(key.row)
    if stream:
        assert answered.events[-1]["error"]["code"] == "engine_failed"
        assert b"[DONE]" not in answered.body
        assert (record.status, record.input_quantity, record.output_quantity) == ("engine_died", 9, 3)
    else:
        assert (answered.status, error_of(answered)["code"]) == (502, "engine_failed")
        assert (record.status, record.cost_nano_eur) == ("engine_failed", 0)
    assert_exact(doomed, key.row)


def test_an_engine_that_only_thinks_for_long_is_waited_for(place: Scene) -> None:
    """It is silent, but its machine is there: the kernels talk to each other."""
    key = key_with_budget(place.house, place.gateway)
    pause = {"first_token_ms": (GONE_S + 2) * 1000}
    assert place.gateway.chat(place.model, key.text, max_tokens=3, simulate=pause).status == 200
    assert only_record_of(key.row).output_quantity == 3


def test_the_time_is_a_minute() -> None:
    assert Limits().gone_s == 60
