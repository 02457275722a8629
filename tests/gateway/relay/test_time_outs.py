"""Nobody is waited for without end: clients that trickle, idle, do not read, or left."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.relay.bills import house_served_by
from tests.gateway.relay.conftest import MODELS, Scene
from tests.gateway.simulated_engine.process import EngineProcess, eventually
from tests.support.gateway import GatewayProcess
from tests.support.ledger import House
from tests.support.wire import Wire, chat, chat_body, request

LIMITS = "head_wait_s=1,idle_s=2,write_stall_s=2,body_rate_bytes=20000,write_buffer_bytes=65536"


@pytest.fixture(scope="module")
def hasty(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway of little patience."""
    with GatewayProcess(tmp_path_factory.mktemp("hasty"), LIMITS) as gateway:
        yield gateway


@pytest.fixture
def key(scene: Scene, hasty: GatewayProcess) -> str:
    text = scene.key().text
    hasty.await_key(text)
    return text


@pytest.fixture
def steady(database: None, tmp_path: Path, hasty: GatewayProcess) -> Iterator[tuple[EngineProcess, House, str]]:
    """An engine of 200 tokens a second, and a key for its model."""
    with EngineProcess(
        MODELS, tmp_path / "journal.jsonl", "k", "--tokens-per-second=200", "--first-token-ms=0"
    ) as engine:
        house = house_served_by(hasty, engine)
        key = house.key().text
        hasty.await_key(key)
        yield engine, house, key


def trickle(wire: Wire, data: bytes, pause: float) -> None:
    """Send byte by byte until all is sent, or something comes back."""
    for start in range(len(data)):
        wire.send(data[start : start + 1])
        if not wire.is_silent(pause):
            return


def told_408(wire: Wire) -> None:
    answered = wire.answer()
    assert (answered.status, answered.json["error"]["code"]) == (408, "request_timeout")
    assert answered.headers["connection"] == "close"
    assert wire.has_ended()


def test_a_head_that_trickles_in_is_408(hasty: GatewayProcess) -> None:
    with Wire(hasty.connect()) as wire:
        began = time.monotonic()
        trickle(wire, request("GET", "/health/live", b"", "x-filler: " + "y" * 200), 0.1)
        told_408(wire)
        assert time.monotonic() - began < 5


def test_a_body_that_trickles_in_is_408(hasty: GatewayProcess, key: str) -> None:
    with Wire(hasty.connect()) as wire:
        wire.send(request("POST", "/v1/chat/completions", b"", f"authorization: Bearer {key}", "content-length: 1000"))
        trickle(wire, b" " * 200, 0.1)
        told_408(wire)


def test_chunk_extensions_buy_no_time(hasty: GatewayProcess, key: str) -> None:
    with Wire(hasty.connect()) as wire:
        wire.send(
            request("POST", "/v1/chat/completions", b"", f"authorization: Bearer {key}", "transfer-encoding: chunked")
        )
        for _ in range(50):
            wire.send(b"1;" + b"x" * 10_000 + b"\r\n \r\n")
            if not wire.is_silent(0.1):
                break
        told_408(wire)


def test_a_body_that_comes_slowly_but_steadily_is_taken(hasty: GatewayProcess, key: str, scene: Scene) -> None:
    body = chat_body(scene.model, max_tokens=1)
    body += b" " * (100_000 - len(body))
    with Wire(hasty.connect()) as wire:
        wire.send(
            request("POST", "/v1/chat/completions", b"", f"authorization: Bearer {key}", f"content-length: {len(body)}")
        )
        for start in range(0, len(body), 4000):
            wire.send(body[start : start + 4000])
            time.sleep(0.1)
        assert wire.answer().status == 200


def test_an_idle_connection_is_closed_without_a_word(hasty: GatewayProcess, key: str, scene: Scene) -> None:
    with Wire(hasty.connect()) as fresh, Wire(hasty.connect()) as used:
        used.send(chat(scene.model, key))
        assert used.answer().status == 200
        began = time.monotonic()
        assert used.has_ended()
        assert fresh.has_ended()
        assert 1.5 < time.monotonic() - began < 6


def test_empty_lines_do_not_keep_a_connection_open(hasty: GatewayProcess) -> None:
    with Wire(hasty.connect()) as wire:
        deadline = time.monotonic() + 6
        while wire.is_silent(0.3):
            assert time.monotonic() < deadline
            wire.send(b"\r\n")


def test_a_connection_is_not_idle_while_an_answer_is_on_its_way(
    hasty: GatewayProcess, steady: tuple[EngineProcess, House, str]
) -> None:
    _, house, key = steady
    with Wire(hasty.connect()) as wire:
        wire.send(chat(house.model.name, key, max_tokens=1000, ignore_eos=True) + request("GET", "/health/live"))
        assert wire.answer().json["usage"]["completion_tokens"] == 1000
        assert wire.answer().status == 200


def test_a_client_that_does_not_read_stops_its_engine_and_is_cut_in_the_end(
    hasty: GatewayProcess, key: str, scene: Scene
) -> None:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", hasty.port))
    before = _memory_kib(hasty)
    with Wire(connection) as wire:
        wire.send(chat(scene.model, key, max_tokens=7000, stream=True, n=8, ignore_eos=True))
        assert wire.until(b"data:")
        assert eventually(lambda: scene.engine.metric("num_requests_running") > 0)
        time.sleep(1)
        assert scene.engine.metric("num_requests_running") > 0, "the engine ran to its end: somebody kept it all"
        assert _memory_kib(hasty) - before < 8 * 1024
        assert eventually(lambda: scene.engine.metric("num_requests_running") == 0, within=8)
        assert not wire.rest().endswith(b"0\r\n\r\n")


def test_a_client_that_reads_slowly_gets_all_of_it(hasty: GatewayProcess, key: str, scene: Scene) -> None:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", hasty.port))
    with Wire(connection) as wire:
        wire.send(chat(scene.model, key, "Hello", "connection: close", max_tokens=6000, stream=True, ignore_eos=True))
        received = b""
        began = time.monotonic()
        while data := wire.socket.recv(65_536):
            received += data
            if time.monotonic() - began < 6:
                time.sleep(0.01)
        assert received.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        assert received.count(b"data: ") > 5000


def test_a_large_answer_that_nobody_reads_is_not_kept_for_ever(hasty: GatewayProcess, key: str, scene: Scene) -> None:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", hasty.port))
    with Wire(connection) as wire:
        before = _memory_kib(hasty)
        for _ in range(10):
            wire.send(chat(scene.model, key, "Hello", max_tokens=8000, n=100, ignore_eos=True))
        size = int(wire.head()[1]["content-length"])
        assert size > 3_000_000
        assert len(_connections(hasty)) == 1
        time.sleep(1.5)
        assert _memory_kib(hasty) - before < 4 * size / 1024, "answers pile up before who does not read them"
        assert eventually(lambda: not _connections(hasty), within=10)
        assert len(wire.rest()) < 9 * size


def test_a_client_that_leaves_frees_its_engine_at_once(
    hasty: GatewayProcess, steady: tuple[EngineProcess, House, str]
) -> None:
    engine, house, key = steady
    for stream in (True, False):
        for leaves_half in (True, False):
            with Wire(hasty.connect()) as wire:
                wire.send(chat(house.model.name, key, max_tokens=4000, stream=stream, ignore_eos=True))
                assert eventually(lambda: engine.metric("num_requests_running") == 1)
                if leaves_half:
                    wire.socket.shutdown(socket.SHUT_WR)
                else:
                    wire.socket.close()
                assert eventually(lambda: engine.metric("num_requests_running") == 0, within=1)


def test_a_half_closed_connection_counts_as_left(
    hasty: GatewayProcess, steady: tuple[EngineProcess, House, str]
) -> None:
    _, house, key = steady
    with Wire(hasty.connect()) as wire:
        wire.send(chat(house.model.name, key, max_tokens=4000, stream=True, ignore_eos=True))
        wire.until(b"data:")
        wire.socket.shutdown(socket.SHUT_WR)
        assert not wire.rest().endswith(b"0\r\n\r\n")


def _connections(gateway: GatewayProcess) -> list[list[str]]:
    """The established connections of clients that a process still has: in the kernel's table they have an inode."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [row for row in rows if row[1].endswith(f":{gateway.port:04X}") and row[3] == "01" and row[9] != "0"]


def _memory_kib(gateway: GatewayProcess) -> int:
    status = Path(f"/proc/{gateway.process.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))
