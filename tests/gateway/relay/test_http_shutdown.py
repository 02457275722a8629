"""A gateway that stops finishes what is under way and leaves nothing unpaid; another one goes on meanwhile."""

import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest

from billing.models import Hold, UsageRecord
from tests.gateway.relay.conftest import MODELS
from tests.gateway.simulated_engine.process import EngineProcess, eventually
from tests.support.gateway import GatewayProcess, error_of, serve
from tests.support.ledger import House, make_house
from tests.support.wire import Wire, chat, request

ENDED = (0, -signal.SIGTERM)  # uvicorn ends a process by the signal that it got
Start = Callable[[str], GatewayProcess]


@pytest.fixture
def house(database: None, tmp_path: Path) -> Iterator[House]:
    """A house whose engine makes 100 tokens a second."""
    with EngineProcess(
        MODELS, tmp_path / "journal.jsonl", "k", "--tokens-per-second=100", "--first-token-ms=500"
    ) as engine:
        house = make_house()
        serve(house.model, engine)
        yield house


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[GatewayProcess] = []

    def start(limits: str) -> GatewayProcess:
        started.append(GatewayProcess(tmp_path, limits))
        started[-1].wait_until_ready()
        return started[-1]

    yield start
    for gateway in started:
        gateway.close()


def record_of(request_id: str) -> UsageRecord:
    return UsageRecord.objects.get(request_id=UUID(request_id))


def test_what_is_under_way_is_finished_and_what_idles_is_closed(house: House, start: Start) -> None:
    gateway = start("drain_s=20")
    key = house.key().text
    gateway.await_key(key)
    with (
        Wire(gateway.connect()) as stream,
        Wire(gateway.connect()) as whole,
        Wire(gateway.connect()) as idle,
        Wire(gateway.connect()) as late,
        Wire(gateway.connect()) as begun,
    ):
        stream.send(chat(house.model.name, key, stream=True, max_tokens=150, ignore_eos=True))
        headers = stream.head()[1]
        whole.send(chat(house.model.name, key, max_tokens=150, ignore_eos=True))
        idle.send(request("GET", "/health/live"))
        assert idle.answer().status == 200
        data = chat(house.model.name, key, max_tokens=5)
        late.send(data[:-5])  # in the middle of its body
        begun.send(chat(house.model.name, key, stream=True, max_tokens=5))
        time.sleep(0.3)  # no answer of `begun` yet
        gateway.process.send_signal(signal.SIGTERM)
        assert idle.has_ended()
        assert begun.head()[1]["connection"] == "close"
        late.send(data[-5:])
        answered = late.answer()
        assert (answered.status, answered.headers["connection"]) == (200, "close")
        assert stream.until(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        assert stream.has_ended()
        answered = whole.answer()
        assert (answered.status, answered.headers["connection"]) == (200, "close")
        assert whole.has_ended()
    assert gateway.process.wait(10) in ENDED
    assert (
        record_of(headers["x-request-id"]).status == record_of(answered.headers["x-request-id"]).status == "completed"
    )


def test_while_it_drains_it_is_not_ready(house: House, start: Start) -> None:
    gateway = start("drain_s=20")
    key = house.key().text
    gateway.await_key(key)
    with Wire(gateway.connect()) as stream:
        stream.send(chat(house.model.name, key, stream=True, max_tokens=200, ignore_eos=True))
        stream.until(b"data:")
        with Wire(gateway.connect()) as health:
            health.send(b"GET /health/ready HTTP/1.1\r\n")
            time.sleep(0.2)
            gateway.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            health.send(b"host: g\r\n\r\n")
            answered = health.answer()
            assert (answered.status, answered.body, answered.headers["connection"]) == (503, b"stopping\n", "close")


def test_an_idle_connection_may_send_one_more_request(house: House, start: Start) -> None:
    """Its client may be sending it at this very moment, and would get a reset."""
    gateway = start("drain_idle_s=2")
    key = house.key().text
    gateway.await_key(key)
    with Wire(gateway.connect()) as used, Wire(gateway.connect()) as fresh, Wire(gateway.connect()) as idle:
        for wire in (used, idle):
            wire.send(request("GET", "/health/live"))
            assert "connection" not in wire.answer().headers
        gateway.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        for wire in (used, fresh):
            wire.send(chat(house.model.name, key, max_tokens=1))
            answered = wire.answer()
            assert (answered.status, answered.headers["connection"]) == (200, "close")
            assert wire.has_ended()
        assert idle.has_ended()
    assert gateway.process.wait(10) in ENDED


def content_tokens(events: bytes) -> int:
    return sum(b'"content":"' in event and b'"content":""' not in event for event in events.split(b"\n\n"))


def test_what_takes_longer_than_the_drain_is_told_and_charged_by_what_came(house: House, start: Start) -> None:
    gateway = start("drain_s=1")
    key = house.key().text
    gateway.await_key(key)
    with Wire(gateway.connect()) as stream, Wire(gateway.connect()) as whole:
        stream.send(chat(house.model.name, key, stream=True, max_tokens=5000, ignore_eos=True))
        request_id = stream.head()[1]["x-request-id"]
        stream.until(b"data:")
        whole.send(chat(house.model.name, key, max_tokens=5000, ignore_eos=True))
        time.sleep(0.3)
        began = time.monotonic()
        gateway.process.send_signal(signal.SIGTERM)
        events = stream.rest()
        assert b'"code":"stopping"' in events
        assert b"[DONE]" not in events
        assert events.endswith(b"0\r\n\r\n")
        answered = whole.answer()
        assert (answered.status, error_of(answered)["code"], answered.headers["retry-after"]) == (503, "stopping", "1")
        assert gateway.process.wait(10) in ENDED
        assert 0.9 < time.monotonic() - began < 6
    record = record_of(request_id)
    assert (record.status, record.output_quantity) == ("gateway_lost", content_tokens(events))
    assert record.output_quantity > 50
    record = record_of(answered.headers["x-request-id"])
    assert (record.status, record.http_status, record.cost_nano_eur) == ("undelivered", 503, 0)
    assert not Hold.objects.filter(tenant_id=house.tenant.pk).exists()


def test_asked_a_second_time_it_waits_no_longer_and_charges_all_the_same(house: House, start: Start) -> None:
    gateway = start("drain_s=30")
    key = house.key().text
    gateway.await_key(key)
    with Wire(gateway.connect()) as stream:
        stream.send(chat(house.model.name, key, stream=True, max_tokens=5000, ignore_eos=True))
        request_id = stream.head()[1]["x-request-id"]
        stream.until(b"data:")
        gateway.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        gateway.process.send_signal(signal.SIGTERM)
        stream.until(b"data:")
        for _ in range(3):
            gateway.process.send_signal(signal.SIGINT)
        events = stream.rest()
        assert b'"code":"stopping"' in events
        assert -gateway.process.wait(10) in (signal.SIGTERM, signal.SIGINT)
    record = record_of(request_id)
    assert record.status == "gateway_lost"
    assert record.output_quantity > 10
    assert not Hold.objects.filter(request_id=record.request_id).exists()


class Second(GatewayProcess):
    """Another process on the first one's socket, as the supervisor starts them."""

    first: GatewayProcess

    def start(self) -> None:
        self._listening.close()
        self._listening = socket.socket(fileno=self.first._listening.dup().detach())
        self.port = self.first.port
        super().start()


def test_two_processes_share_a_socket_and_one_may_stop(house: House, start: Start, tmp_path: Path) -> None:
    first = start("")
    Second.first = first
    with Second(tmp_path, "") as second:
        key = house.key().text
        assert eventually(lambda: all(first.get("/v1/models", key).status == 200 for _ in range(20)), within=10)
        streams = [Wire(first.connect()) for _ in range(12)]
        for wire in streams:
            wire.send(chat(house.model.name, key, stream=True, max_tokens=100, ignore_eos=True))
        for wire in streams:
            wire.until(b"data:")
        first.process.send_signal(signal.SIGTERM)
        for _ in range(8):
            assert first.chat(house.model.name, key, max_tokens=1).status == 200  # the other one takes it
        for wire in streams:
            assert wire.until(b"data: [DONE]\n\n\r\n0\r\n\r\n")
            wire.socket.close()
        assert first.process.wait(10) in ENDED
        assert second.process.poll() is None
