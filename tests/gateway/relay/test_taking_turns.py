"""Where all places at a model's engines are taken, requests wait in line with their holds, and tenants take turns."""

import http.server
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from billing.models import Hold, UsageRecord
from gateway.metrics.from_gateways import gateway_figures
from gateway.pools.models import Pool, Replica
from gateway.pools.registry import register_pool, register_replica, set_state
from tests.gateway.relay.bills import assert_exact, await_model, house_served_by, key_with_budget, records_of
from tests.gateway.relay.conftest import MODELS, Scene
from tests.gateway.relay.leaving import close
from tests.gateway.simulated_engine.process import EngineProcess, eventually, read_to_end, read_until
from tests.support.gateway import GatewayProcess, error_of, running_gateway
from tests.support.ledger import House, make_house
from tests.support.people import TESTS

PLACES = 1  # a gateway has one at least, however many others live while tests run
LENGTH = 12  # tokens of an answer that takes 0.6 s
LIMITS = "waiting_for_engine=12,engine_wait_s=4,keep_alive_s=1"


@pytest.fixture(scope="module")
def orderly(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway with a short line."""
    folder = tmp_path_factory.mktemp("orderly")
    with running_gateway(folder, LIMITS, BEFFROI_METRICS_FOLDER=str(folder / "counts")) as gateway:
        yield gateway


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[EngineProcess]:
    """An engine that takes its time."""
    flags = ("--tokens-per-second=20", "--first-token-ms=10", "--max-model-len=8192")
    with EngineProcess(MODELS, tmp_path / "slow.jsonl", "engine-key", *flags) as engine:
        yield engine


@pytest.fixture
def narrow(scene: Scene, orderly: GatewayProcess, slow: EngineProcess) -> House:
    """A house whose model has one place at its engine."""
    house = house_served_by(orderly, slow)
    bound(house, PLACES)
    return house


def bound(house: House, places: int | None) -> None:
    """So many places at each engine from now on; the news of it comes at once."""
    Pool.objects.filter(model=house.model).update(requests_at_once=places)
    time.sleep(0.5)


def flood(gateway: GatewayProcess, house: House, key: str, count: int) -> list[socket.socket]:
    streams = [
        gateway.open_stream(house.model.name, key, f"Flood {number}", max_tokens=LENGTH) for number in range(count)
    ]
    assert eventually(lambda: Hold.objects.filter(model_id=house.model.pk).count() == count, 5)
    return streams


def end(streams: list[socket.socket]) -> list[bytes]:
    """What each was told, to its end."""
    told = []
    for stream in streams:
        stream.settimeout(20)
        told.append(read_until(stream, lambda received: received.endswith(b"0\r\n\r\n") or b"\r\n\r\n{" in received))
        stream.close()
    return told


def test_a_flood_of_one_tenant_does_not_starve_another(
    orderly: GatewayProcess, narrow: House, slow: EngineProcess
) -> None:
    loud = key_with_budget(narrow, orderly)
    quiet_house = make_house(narrow.model)
    quiet = key_with_budget(quiet_house, orderly)
    streams = flood(orderly, narrow, loud.text, 5)
    assert slow.metric("num_requests_running") == PLACES
    assert orderly.chat(narrow.model.name, quiet.text, max_tokens=2).status == 200
    begun = [line["id"] for line in slow.journal() if line["e"] == "start"]
    [served] = records_of(quiet.row)
    assert str(served.request_id) in begun[: 2 * PLACES + 1]  # behind those that had places, not behind the line
    assert all(b"[DONE]" in told for told in end(streams))
    assert_exact(narrow, loud.row)
    assert_exact(quiet_house, quiet.row)


def waiting(gateway: GatewayProcess, model: str) -> float | None:
    """How many requests for the model wait, as `/metrics` tells; None: it tells nothing of it."""
    figures = gateway_figures(gateway.log.parent / "counts")
    name = "beffroi_gateway_waiting_for_engine"
    return next((one.total for one in figures if (one.name, one.labels) == (name, (model,))), None)


def test_how_many_wait_is_told_by_model(orderly: GatewayProcess, narrow: House) -> None:
    key, model = key_with_budget(narrow, orderly), narrow.model.name
    streams = flood(orderly, narrow, key.text, 8)
    assert eventually(lambda: 3 <= (waiting(orderly, model) or 0) <= 7, 4)
    end(streams)
    assert eventually(lambda: waiting(orderly, model) == 0, 4)


def test_an_engine_never_has_more_than_its_places(orderly: GatewayProcess, narrow: House, slow: EngineProcess) -> None:
    key = key_with_budget(narrow, orderly)
    streams = flood(orderly, narrow, key.text, 5)
    seen = []
    while Hold.objects.filter(model_id=narrow.model.pk).exists():
        seen.append(slow.metric("num_requests_running"))
        time.sleep(0.05)
    assert max(seen) == PLACES
    assert all(b"[DONE]" in told for told in end(streams))
    assert_exact(narrow, key.row)


def test_who_waits_keeps_its_hold_and_whoever_leaves_frees_its_place(
    orderly: GatewayProcess, narrow: House, slow: EngineProcess
) -> None:
    key = key_with_budget(narrow, orderly)
    streams = flood(orderly, narrow, key.text, 6)
    for stream in streams[PLACES:]:
        close(stream)
    assert eventually(lambda: Hold.objects.filter(model_id=narrow.model.pk).count() == PLACES, 1)
    assert all(b"[DONE]" in told for told in end(streams[:PLACES]))
    assert len([line for line in slow.journal() if line["e"] == "start"]) == PLACES
    records = records_of(key.row)
    assert sorted(record.status for record in records) == ["client_left"] * 5 + ["completed"]
    assert sum(record.cost_nano_eur for record in records if record.status == "client_left") == 0
    assert_exact(narrow, key.row)


def test_a_full_line_turns_away_whoever_filled_it(orderly: GatewayProcess, narrow: House) -> None:
    loud = key_with_budget(narrow, orderly)
    quiet = key_with_budget(make_house(narrow.model), orderly)
    streams = flood(orderly, narrow, loud.text, PLACES + 12)
    late = orderly.chat(narrow.model.name, loud.text, max_tokens=2)
    assert (late.status, error_of(late)["code"]) == (503, "overloaded")
    assert int(late.headers["retry-after"]) > 0
    assert orderly.chat(narrow.model.name, quiet.text, max_tokens=2).status == 200
    refused = [told for told in end(streams) if b"HTTP/1.1 503" in told or b"overloaded" in told]
    assert refused
    free = [record for record in records_of(loud.row) if record.status != "completed"]
    assert {(record.status, record.http_status, record.cost_nano_eur) for record in free} == {("engine_failed", 503, 0)}
    assert_exact(narrow, loud.row)


def test_who_waited_for_too_long_is_told_so(orderly: GatewayProcess, narrow: House) -> None:
    """As a stream it was kept alive meanwhile: then it is told in-band."""
    key = key_with_budget(narrow, orderly)
    busy = [orderly.open_stream(narrow.model.name, key.text, simulate={"hang_after": 3}) for _ in range(PLACES)]
    assert eventually(lambda: Hold.objects.filter(model_id=narrow.model.pk).count() == PLACES, 5)
    waiting = orderly.open_stream(narrow.model.name, key.text, max_tokens=2)
    waiting.settimeout(20)
    asked_at = time.monotonic()
    whole = orderly.chat(narrow.model.name, key.text, max_tokens=2)
    assert (whole.status, error_of(whole)["code"]) == (503, "overloaded")
    assert 3 < time.monotonic() - asked_at < 10
    assert b": keep-alive" in read_until(waiting, lambda received: b"overloaded" in received)
    for stream in (*busy, waiting):
        close(stream)
    assert eventually(lambda: not Hold.objects.filter(model_id=narrow.model.pk).exists(), 5)
    assert_exact(narrow, key.row)


def test_a_bound_that_is_lifted_lets_everybody_through(
    orderly: GatewayProcess, narrow: House, slow: EngineProcess
) -> None:
    key = key_with_budget(narrow, orderly)
    streams = flood(orderly, narrow, key.text, 10)
    bound(narrow, None)
    assert eventually(lambda: slow.metric("num_requests_running") > PLACES, 4)
    assert all(b"[DONE]" in told for told in end(streams))
    assert_exact(narrow, key.row)


def test_an_engine_taken_out_of_service_leaves_nobody_waiting(orderly: GatewayProcess, narrow: House) -> None:
    key = key_with_budget(narrow, orderly)
    streams = flood(orderly, narrow, key.text, 5)
    set_state(
        replica=Replica.objects.get(pool__model=narrow.model), state=Replica.State.DRAINING, reason="", actor=TESTS
    )
    told = end(streams)
    assert [b"[DONE]" in each for each in told] == [True] * PLACES + [False] * (5 - PLACES)
    assert all(b"no_replica" in each for each in told[PLACES:])
    assert_exact(narrow, key.row)


def test_what_waits_when_the_gateway_stops_is_told_and_free(scene: Scene, slow: EngineProcess, tmp_path: Path) -> None:
    with running_gateway(tmp_path, "drain_s=1") as gateway:
        house = house_served_by(gateway, slow)
        bound(house, PLACES)
        key = key_with_budget(house, gateway)
        streams = flood(gateway, house, key.text, 6)
        gateway.stop()
    told = []
    for stream in streams:
        told.append(read_to_end(stream))
        stream.close()
    assert sum(b'"stopping"' in each for each in told) >= 3
    costs = {record.status: record.cost_nano_eur for record in UsageRecord.objects.filter(key_id=key.row.pk)}
    assert costs.pop("engine_failed", 0) == 0
    assert set(costs) <= {"completed", "gateway_lost", "undelivered"}
    assert_exact(house, key.row)


# ---- whom an engine may serve from its cache


@contextmanager
def listening_engine() -> Iterator[tuple[str, list[dict[str, object]]]]:
    """An engine that keeps the bodies it is sent: its address, and they."""
    bodies: list[dict[str, object]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            choice = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
            usage = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}
            answer = json.dumps({"id": "x", "object": "chat.completion", "choices": [choice], "usage": usage}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", bodies
    finally:
        server.shutdown()
        server.server_close()


def test_equal_prompts_of_two_tenants_are_sent_with_different_salts(scene: Scene, orderly: GatewayProcess) -> None:
    """Engines share what they computed for a prompt only between requests of one salt."""
    one = make_house()
    other = make_house(one.model)
    with listening_engine() as (url, bodies):
        pool = register_pool(model=one.model, served_name="m", actor=TESTS)
        replica = register_replica(pool=pool, url=url, actor=TESTS)
        set_state(replica=replica, state=Replica.State.READY, reason="", actor=TESTS)
        await_model(orderly, one)
        for house in (one, one, other):
            key = key_with_budget(house, orderly)
            assert orderly.chat(one.model.name, key.text, "The same words", cache_salt="mine").status == 200
    salts = [body["cache_salt"] for body in bodies]
    assert salts[0] == salts[1] != salts[2]
    assert all(len(str(salt)) >= 43 for salt in salts)  # 256 bits
    assert "mine" not in salts
