"""WebSocket through the gateway: a blind tunnel to Django, which opens when Django agrees and not before."""

import socket
import threading
import time
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.http11 import Request, Response
from websockets.sync.client import connect
from websockets.sync.server import Server, ServerConnection, unix_serve

from tests.support.gateway import GatewayProcess, running_gateway
from tests.support.wire import RecordingServer, Wire, read_request, request

UPGRADE = (
    "connection: keep-alive, Upgrade",
    "upgrade: WebSocket",
    "sec-websocket-version: 13",
    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
)
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nx: y\r\n\r\n"


class LivePages:
    """A real WebSocket server where Django's would be."""

    def __init__(self, path: Path) -> None:
        self.requests: list[Request] = []
        self.left = threading.Event()
        self.server: Server = unix_serve(self._serve, str(path), process_request=self._check, max_size=2**24)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def _check(self, connection: ServerConnection, asked: Request) -> Response | None:
        self.requests.append(asked)
        return connection.respond(HTTPStatus.FORBIDDEN, "not you\n") if asked.path == "/forbidden" else None

    def _serve(self, connection: ServerConnection) -> None:
        try:
            connection.send("welcome")
            if connection.request is not None and connection.request.path == "/flood":
                for _ in range(1000):
                    connection.send(b"x" * 65_536)
            for message in connection:
                connection.send(message)
        except ConnectionClosedError:  # without a word
            pass
        finally:
            self.left.set()


@pytest.fixture(scope="module")
def live(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[GatewayProcess, LivePages]]:
    folder = tmp_path_factory.mktemp("live")
    path = folder / "d.sock"
    pages = LivePages(path)
    limits = "write_buffer_bytes=65536,write_stall_s=60,idle_s=1"
    with GatewayProcess(folder, limits, BEFFROI_DJANGO_SOCKET=str(path)) as gateway:
        yield gateway, pages
    pages.server.shutdown()


def test_messages_go_both_ways(live: tuple[GatewayProcess, LivePages]) -> None:
    gateway, pages = live
    pages.left.clear()
    with connect(
        f"ws://127.0.0.1:{gateway.port}/live?x=1", additional_headers={"X-Forwarded-For": "6.6.6.6"}
    ) as socket_:
        assert socket_.recv() == "welcome"
        for message in ("hello", "é" * 100, b"\x00\xff" * 500_000):
            socket_.send(message)
            assert socket_.recv(timeout=10) == message
        time.sleep(2.5)  # longer than an idle connection is kept
        socket_.send("still there")
        assert socket_.recv(timeout=10) == "still there"
    assert pages.left.wait(5)
    asked = pages.requests[-1]
    assert (asked.path, asked.headers["X-Forwarded-For"], asked.headers["X-Forwarded-Proto"]) == (
        "/live?x=1",
        "127.0.0.1",
        "http",
    )
    assert "x-request-id" in asked.headers


def test_a_client_that_vanishes_is_noticed_by_django(live: tuple[GatewayProcess, LivePages]) -> None:
    gateway, pages = live
    pages.left.clear()
    with connect(f"ws://127.0.0.1:{gateway.port}/live") as connection:
        connection.socket.shutdown(socket.SHUT_RDWR)
        assert pages.left.wait(5)


def test_a_refused_upgrade_is_an_ordinary_answer(live: tuple[GatewayProcess, LivePages]) -> None:
    gateway, _ = live
    with pytest.raises(InvalidStatus) as refused, connect(f"ws://127.0.0.1:{gateway.port}/forbidden"):
        pass
    assert refused.value.response.status_code == 403
    assert refused.value.response.body == b"not you\n"
    assert gateway.get("/health/live").status == 200


def test_a_client_that_does_not_read_holds_django_back(live: tuple[GatewayProcess, LivePages]) -> None:
    gateway, _ = live
    before = _memory_kib(gateway)
    with Wire(gateway.connect()) as wire:
        wire.send(request("GET", "/flood", b"", *UPGRADE))
        assert wire.until(b"welcome")
        time.sleep(1)
        assert _memory_kib(gateway) - before < 8 * 1024
        assert len(wire.exactly(1000 * 65_536)) == 1000 * 65_536


def test_a_django_that_does_not_read_holds_the_client_back(django_db_setup: None, tmp_path: Path) -> None:
    def never_read(wire: Wire, seen: bytearray) -> None:
        read_request(wire, seen)
        wire.send(SWITCH)
        time.sleep(5)

    path = tmp_path / "d.sock"
    with (
        RecordingServer.on_path(path, never_read),
        running_gateway(tmp_path, BEFFROI_DJANGO_SOCKET=str(path)) as gateway,
    ):
        before = _memory_kib(gateway)
        with Wire(gateway.connect()) as wire:
            wire.send(request("GET", "/live", b"", *UPGRADE))
            wire.until(b"\r\n\r\n")
            wire.socket.settimeout(1)
            with pytest.raises(TimeoutError):
                wire.send(b"x" * 64 * 1024 * 1024)
        assert _memory_kib(gateway) - before < 8 * 1024


def _memory_kib(gateway: GatewayProcess) -> int:
    status = Path(f"/proc/{gateway.process.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


@pytest.fixture
def recorded(django_db_setup: None, tmp_path: Path) -> Iterator[tuple[GatewayProcess, RecordingServer]]:
    """A Django that refuses every upgrade but that of /slow, and keeps its connections."""

    def serve(wire: Wire, seen: bytearray) -> None:
        while True:
            first, _, _ = read_request(wire, seen)
            if first.startswith(b"GET /slow"):
                time.sleep(0.5)
                wire.send(SWITCH + b"first")
                seen += wire.exactly(5)
                wire.send(b"last")
                return
            wire.send(
                b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nno"
            )

    path = tmp_path / "d.sock"
    with (
        RecordingServer.on_path(path, serve) as django,
        running_gateway(tmp_path, BEFFROI_DJANGO_SOCKET=str(path)) as gateway,
    ):
        yield gateway, django


def test_behind_a_refused_upgrade_nothing_gets_to_django(recorded: tuple[GatewayProcess, RecordingServer]) -> None:
    """A tunnel opened too early would carry requests that say for themselves where they come from."""
    gateway, django = recorded
    forged = request("GET", "/admin", b"", "x-forwarded-for: 127.0.0.1")
    with Wire(gateway.connect()) as wire:
        wire.send(request("GET", "/live", b"", *UPGRADE) + forged)
        answered = wire.answer()
        assert (answered.status, answered.body, answered.headers["connection"]) == (403, b"no", "close")
        assert "upgrade" not in answered.headers
        try:
            wire.send(forged)
        except OSError:
            pass
        assert wire.is_cut()
    assert b"/admin" not in django.seen


def test_what_a_client_sends_early_waits_until_django_agreed(recorded: tuple[GatewayProcess, RecordingServer]) -> None:
    gateway, django = recorded
    with Wire(gateway.connect()) as wire:
        wire.send(request("GET", "/slow", b"", *UPGRADE) + b"ea")
        wire.send(b"rly")
        first, headers = wire.head()
        assert (first, headers["upgrade"], headers["connection"]) == (
            b"HTTP/1.1 101 Switching Protocols",
            "websocket",
            "upgrade",
        )
        assert "x-request-id" in headers
        assert wire.exactly(9) == b"firstlast"
        assert wire.is_cut()
    assert django.seen.endswith(b"\r\n\r\nearly")


def test_an_upgrade_waits_for_the_answers_before_it(recorded: tuple[GatewayProcess, RecordingServer]) -> None:
    gateway, _ = recorded
    with Wire(gateway.connect()) as wire:
        wire.send(
            request("GET", "/page") + request("GET", "/health/live") + request("GET", "/slow", b"", *UPGRADE) + b"early"
        )
        assert wire.answer().status == 403
        assert wire.answer().status == 200
        assert wire.head()[0].startswith(b"HTTP/1.1 101")
        assert wire.exactly(9) == b"firstlast"


def test_an_upgrade_of_an_inference_route_is_no_tunnel(recorded: tuple[GatewayProcess, RecordingServer]) -> None:
    gateway, django = recorded
    with Wire(gateway.connect()) as wire:
        wire.send(request("GET", "/v1/models", b"", *UPGRADE))
        assert wire.answer().status == 401
        wire.send(request("POST", "/page", b"a=b", *UPGRADE))  # nor one of a request with a body
        assert wire.answer().status == 403
    assert b"upgrade:" not in django.seen.lower()


def test_an_upgrade_while_django_is_away_is_503(django_db_setup: None, tmp_path: Path) -> None:
    with running_gateway(tmp_path) as gateway, Wire(gateway.connect()) as wire:
        wire.send(request("GET", "/live", b"", *UPGRADE))
        answered = wire.answer()
        assert (answered.status, answered.headers["connection"]) == (503, "close")
        assert wire.has_ended()


def test_tunnels_do_not_hold_up_a_gateway_that_stops(live: tuple[GatewayProcess, LivePages], tmp_path: Path) -> None:
    _, pages = live
    path = pages.server.socket.getsockname()
    pages.left.clear()
    with (
        running_gateway(tmp_path, BEFFROI_DJANGO_SOCKET=path) as gateway,
        connect(f"ws://127.0.0.1:{gateway.port}/live") as connection,
    ):
        assert connection.recv() == "welcome"
        began = time.monotonic()
        gateway.stop()
        assert time.monotonic() - began < 5
        assert pages.left.wait(5)
