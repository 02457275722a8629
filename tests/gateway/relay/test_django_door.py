"""Pages and the management API through the gateway: what Django gets, what the browser gets, and what goes wrong."""

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.gateway.relay.conftest import Scene
from tests.gateway.simulated_engine.process import eventually
from tests.support.gateway import GatewayProcess
from tests.support.wire import RecordingServer, Wire, chat, read_request, request

HINTS = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
PAGE = b"HTTP/1.1 200 OK\r\n"
Told = tuple[bytes, dict[str, str], bytes]
Play = Callable[[Wire, Told], None]


class Django:
    """Stands for Django's server: each path is played as the test says, on kept connections."""

    def __init__(self, path: Path) -> None:
        self.plays: dict[bytes, Play] = {}
        self.path = path
        self.requests: list[Told] = []
        self.start()

    def start(self) -> None:
        """Listen (again)."""
        self.path.unlink(missing_ok=True)
        self.server = RecordingServer.on_path(self.path, self._serve)

    def _serve(self, wire: Wire, seen: bytearray) -> None:
        while True:
            told = read_request(wire, seen)
            self.requests.append(told)
            self.plays.get(told[0].split(b" ")[1], answering(b"page"))(wire, told)

    @property
    def last(self) -> Told:
        """The last request that came."""
        return self.requests[-1]


def answering(body: bytes, status: bytes = b"200 OK", *lines: bytes) -> Play:
    head = b"HTTP/1.1 " + status + b"\r\n" + b"".join(line + b"\r\n" for line in lines)
    return lambda wire, told: wire.send(head + b"content-length: %d\r\n\r\n" % len(body) + body)


def raw(data: bytes, *, then_close: bool = False) -> Play:
    def play(wire: Wire, told: Told) -> None:
        wire.send(data)
        if then_close:
            wire.socket.shutdown(socket.SHUT_RDWR)

    return play


def hang_up(wire: Wire, told: Told) -> None:
    wire.socket.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def django(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Django]:
    django = Django(tmp_path_factory.mktemp("django") / "d.sock")
    yield django
    django.server.close()


@pytest.fixture(scope="module")
def door(django_db_setup: None, django: Django, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("door")
    limits = "page_wait_s=1,write_buffer_bytes=65536"
    with GatewayProcess(folder, limits, BEFFROI_DJANGO_SOCKET=str(django.path)) as gateway:
        yield gateway


def test_a_page_comes_as_django_made_it(door: GatewayProcess, django: Django) -> None:
    lines = (
        b"content-type: text/html",
        b"set-cookie: a=1",
        b"set-cookie: b=2",
        b"x-request-id: django's",
        b"keep-alive: timeout=5",
    )
    django.plays[b"/page?x=%20y"] = answering(b"<p>page</p>", b"201 Created", *lines)
    with Wire(door.connect()) as wire:
        wire.send(request("GET", "/page?x=%20y", b"", "cookie: session=1"))
        answered = wire.answer()
    assert (answered.status, answered.body) == (201, b"<p>page</p>")
    assert "keep-alive" not in answered.headers
    first, headers, _ = django.last
    assert first == b"GET /page?x=%20y HTTP/1.1"
    assert (headers["cookie"], headers["host"], headers["x-forwarded-for"], headers["x-forwarded-proto"]) == (
        "session=1",
        "g",
        "127.0.0.1",
        "http",
    )
    assert headers["x-request-id"] == answered.headers["x-request-id"] != "django's"


def test_a_form_is_sent_once_with_its_body(door: GatewayProcess, django: Django) -> None:
    body = b"a=" + b"x" * 1_000_000
    with Wire(door.connect()) as wire:
        for _ in range(3):
            wire.send(request("POST", "/form", body, "content-type: application/x-www-form-urlencoded"))
            assert wire.answer().status == 200
    assert [told[2] for told in django.requests[-3:]] == [body] * 3


@pytest.mark.parametrize(
    ("method", "play", "status", "to_head"),
    [
        ("HEAD", raw(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n"), 200, True),
        ("GET", raw(b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n"), 204, False),
        ("GET", raw(b"HTTP/1.1 304 Not Modified\r\netag: x\r\n\r\n"), 304, False),
        ("DELETE", raw(b"HTTP/1.1 204 No Content\r\n\r\n"), 204, False),
        ("GET", raw(HINTS + b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno"), 404, False),
        ("GET", raw(PAGE + b"transfer-encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nx: trailer\r\n\r\n"), 200, False),
        ("GET", raw(b"HTTP/1.1 200 OK\r\n\r\nto the end", then_close=True), 200, False),
    ],
    ids=["head", "204", "304", "delete", "early hints", "chunked", "to the end"],
)
def test_every_kind_of_answer_leaves_the_connection_fit_for_the_next(
    door: GatewayProcess, django: Django, method: str, play: Play, status: int, to_head: bool
) -> None:
    django.plays[b"/kind"] = play
    with Wire(door.connect()) as wire:
        for _ in range(2):
            wire.send(request(method, "/kind"))
            answered = wire.answer(to_head=to_head)
            assert answered.status == status
            assert status != 204 or "content-length" not in answered.headers
        wire.send(request("GET", "/health/live"))
        assert wire.answer().body == b"live\n"


def test_a_page_streams_as_it_is_made(door: GatewayProcess, django: Django) -> None:
    def play(wire: Wire, told: Told) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        time.sleep(0.7)
        wire.send(b"4\r\nlast\r\n0\r\n\r\n")

    django.plays[b"/streamed"] = play
    with Wire(door.connect()) as wire:
        wire.send(request("GET", "/streamed"))
        began = time.monotonic()
        assert wire.until(b"first\r\n")
        assert time.monotonic() - began < 0.6
        assert wire.until(b"0\r\n\r\n") == b"4\r\nlast\r\n0\r\n\r\n"


def test_a_large_download_waits_for_its_reader(door: GatewayProcess, django: Django) -> None:
    sent = [0]
    size = 60 * 1024 * 1024

    def play(wire: Wire, told: Told) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        for _ in range(size // 65_536):
            wire.send(b"x" * 65_536)
            sent[0] += 65_536

    django.plays[b"/large"] = play
    with Wire(door.connect()) as wire:
        wire.send(request("GET", "/large"))
        wire.until(b"\r\n\r\n")
        time.sleep(3)  # longer than Django may be silent: it is not Django who is
        assert sent[0] < 20 * 1024 * 1024
        assert len(wire.exactly(size)) == size
        wire.send(request("GET", "/page"))
        assert wire.answer().body == b"page"


def test_a_connection_to_django_whose_reader_was_slow_serves_the_next_one(door: GatewayProcess, django: Django) -> None:
    """Its last piece was more than the client took: it must not go back among the kept ones unread."""
    django.plays[b"/piece"] = answering(b"x" * 100_000)
    pages = 100
    with Wire(door.connect()) as slow, Wire(door.connect()) as other:
        slow.send(request("GET", "/piece") * pages)
        time.sleep(0.5)
        other.socket.settimeout(1)
        for _ in range(3):
            other.send(request("GET", "/page"))
            assert other.answer().body == b"page"
        assert sum(len(slow.answer().body) for _ in range(pages)) == pages * 100_000


def test_an_answer_that_django_breaks_off_never_looks_whole(door: GatewayProcess, django: Django) -> None:
    django.plays[b"/broken"] = raw(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n", then_close=True
    )
    django.plays[b"/short"] = raw(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nshort", then_close=True)
    for path in ("/broken", "/short"):
        with Wire(door.connect()) as wire:
            wire.send(request("GET", path))
            assert wire.head()[0] == b"HTTP/1.1 200 OK"
            try:
                assert not wire.rest().endswith(b"0\r\n\r\n")
            except ConnectionResetError:
                pass


def test_one_whose_end_is_the_connections_end_is_reset(door: GatewayProcess, django: Django) -> None:
    django.plays[b"/broken-off"] = raw(PAGE + b"transfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n", then_close=True)
    with Wire(door.connect()) as wire:
        wire.send(b"GET /broken-off HTTP/1.0\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            wire.rest()


def test_a_kept_connection_that_django_closes_just_then_costs_a_page_nothing(
    door: GatewayProcess, django: Django
) -> None:
    with Wire(door.connect()) as wire:
        wire.send(request("GET", "/page"))
        assert wire.answer().status == 200
        played: list[int] = []

        def once(connection: Wire, told: Told) -> None:
            played.append(1)
            (hang_up if len(played) == 1 else answering(b"again"))(connection, told)

        django.plays[b"/closing"] = once
        wire.send(request("GET", "/closing"))
        assert (wire.answer().body, len(played)) == (b"again", 2)


def test_a_form_is_never_sent_twice(door: GatewayProcess, django: Django) -> None:
    played: list[int] = []

    def play(wire: Wire, told: Told) -> None:
        played.append(1)
        wire.socket.shutdown(socket.SHUT_RDWR)

    django.plays[b"/pay"] = play
    with Wire(door.connect()) as wire:
        wire.send(request("GET", "/page"))
        assert wire.answer().status == 200
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            played.clear()
            wire.send(request(method, "/pay", b"a=b"))
            answered = wire.answer()
            assert (answered.status, len(played)) == (502, 1), method
            assert answered.headers["content-type"] == "application/problem+json"


def test_a_page_that_django_never_finishes_is_504(door: GatewayProcess, django: Django) -> None:
    django.plays[b"/silent"] = lambda wire, told: None
    with Wire(door.connect()) as wire:
        for method in ("GET", "POST"):
            wire.send(request(method, "/silent", b"", "accept: text/html"))
            answered = wire.answer()
            assert (answered.status, answered.headers["content-type"]) == (504, "text/html; charset=utf-8")
            assert answered.body.startswith(b"<!doctype html>")


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 10**6,
    ],
    ids=["two lengths", "nonsense", "endless head"],
)
def test_what_is_no_answer_is_502(door: GatewayProcess, django: Django, data: bytes) -> None:
    django.plays[b"/odd"] = raw(data)
    with Wire(door.connect()) as wire:
        wire.send(request("POST", "/odd"))
        assert wire.answer().status == 502


def test_a_second_answer_that_nobody_asked_for_reaches_nobody(door: GatewayProcess, django: Django) -> None:
    page = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"
    django.plays[b"/two"] = raw(page + b"first" + page + b"other")
    with Wire(door.connect()) as wire:
        for _ in range(3):
            wire.send(request("GET", "/two") + request("GET", "/page"))
            assert (wire.answer().body, wire.answer().body) == (b"first", b"page")


def test_while_django_is_away_pages_say_so_and_models_answer(
    door: GatewayProcess, django: Django, scene: Scene
) -> None:
    key = scene.key().text
    door.await_key(key)
    django.server.close()
    try:
        with Wire(door.connect()) as wire:
            wire.send(request("GET", "/page", b"", "accept: text/html,*/*"))
            answered = wire.answer()
            assert (answered.status, answered.headers["content-type"]) == (503, "text/html; charset=utf-8")
            assert "retry-after" in answered.headers
            wire.send(request("GET", "/api/key") + chat(scene.model, key))
            answered = wire.answer()
            assert (answered.status, answered.headers["content-type"]) == (503, "application/problem+json")
            assert (answered.json["status"], "x-request-id" in answered.headers) == (503, True)
            assert wire.answer().status == 200
    finally:
        django.start()
    with Wire(door.connect()) as wire:
        wire.send(request("GET", "/page"))
        assert wire.answer().body == b"page"


def test_a_client_that_leaves_takes_its_request_back_from_django(door: GatewayProcess, django: Django) -> None:
    left: list[bool] = []

    def play(wire: Wire, told: Told) -> None:
        left.append(wire.is_cut())

    django.plays[b"/long"] = play
    with Wire(door.connect()) as wire:
        wire.send(request("GET", "/long"))
        assert eventually(lambda: django.last[0].startswith(b"GET /long"))
    assert eventually(lambda: left == [True], within=1)


def test_nobody_can_say_where_they_come_from(door: GatewayProcess, django: Django) -> None:
    lies = (
        "x-forwarded-for: 6.6.6.6",
        "X-Forwarded-For: 7.7.7.7",
        "x_forwarded_for: 6.6.6.6",
        "x-forwarded-proto: https",
        "x-real-ip: 6.6.6.6",
        "forwarded: for=6.6.6.6",
        "x-forwarded-host: evil",
        "x-forwarded-port: 1",
        "x-request-id: mine",
        "x_forwarded_proto: https",
        "x-beffroi-forwarded: 0",
        "connection: x-forwarded-for",
    )
    with Wire(door.connect()) as wire:
        wire.send(request("GET", "/page", b"", *lies))
        assert wire.answer().status == 200
    _, headers, _ = django.last
    told = {name: value for name, value in headers.items() if "forward" in name or "real" in name or "_" in name}
    assert told == {"x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "http", "x-beffroi-forwarded": "1"}
    assert headers["x-request-id"] != "mine"


def test_one_connection_may_ask_for_models_an_answer_and_a_page(door: GatewayProcess, scene: Scene) -> None:
    key = scene.key().text
    door.await_key(key)
    with Wire(door.connect()) as wire:
        seen = set()
        for _ in range(2):
            data = request("GET", "/v1/models", b"", f"authorization: Bearer {key}") + chat(
                scene.model, key, stream=True
            )
            wire.send(data + request("GET", "/page") + chat(scene.model, key) + request("GET", "/v1/nothing"))
            answers = [wire.answer() for _ in range(5)]
            assert answers[0].json["object"] == "list"
            assert answers[1].body.endswith(b"data: [DONE]\n\n")
            assert answers[2].body == b"page"
            assert answers[3].json["object"] == "chat.completion"
            assert answers[4].json["error"]["code"] == "not_found"
            seen |= {answered.headers["x-request-id"] for answered in answers}
        assert len(seen) == 10


def test_http_10_gets_pages_too(door: GatewayProcess, django: Django) -> None:
    django.plays[b"/pieces"] = raw(PAGE + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    with Wire(door.connect()) as wire:
        wire.send(b"GET /pieces HTTP/1.0\r\n\r\n")
        answered = wire.answer()
        assert (answered.body, "transfer-encoding" in answered.headers) == (b"abc", False)
        assert wire.has_ended()
