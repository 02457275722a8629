"""Two readers of one connection must never see different requests in it.

What could be split in two ways is refused, and what is passed on is made anew.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.relay.bills import await_model
from tests.gateway.relay.conftest import Scene
from tests.support.gateway import GatewayProcess, serve
from tests.support.ledger import make_house
from tests.support.wire import RecordingServer, Wire, chat_body, read_request, request

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nhost: g\r\n\r\n"
CHUNKED = b"POST /page HTTP/1.1\r\nhost: g\r\ntransfer-encoding: chunked\r\n\r\n"

POST = b"POST /page HTTP/1.1\r\nhost: g\r\n"
# fmt: off
AMBIGUOUS: dict[str, bytes] = {
    "both lengths": POST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "both lengths, other order": POST + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"content-length: 0\r\ncontent-length: 35\r\n\r\n",
    "the same length twice": POST + b"content-length: 0\r\ncontent-length: 0\r\n\r\n",
    "a list of lengths": POST + b"content-length: 0, 0\r\n\r\n",
    "a signed length": POST + b"content-length: +0\r\n\r\n",
    "an empty length": POST + b"content-length:\r\n\r\n",
    "a hexadecimal length": POST + b"content-length: 0x0\r\n\r\n",
    "an endless length": POST + b"content-length: 18446744073709551616\r\n\r\n",
    "an unknown coding": POST + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a coding before chunked": POST + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": POST + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "identity": POST + b"transfer-encoding: identity\r\n\r\n",
    "chunked behind a tab": POST + b"transfer-encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "chunked in HTTP/1.0": b"POST /page HTTP/1.0\r\nhost: g\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "a folded line": b"GET /page HTTP/1.1\r\nhost: g\r\nx: a\r\n b\r\n\r\n",
    "a folded first line": b"GET /page HTTP/1.1\r\n x: a\r\nhost: g\r\n\r\n",
    "line feeds alone": b"GET /page HTTP/1.1\nhost: g\n\n",
    "one line feed alone": b"GET /page HTTP/1.1\r\nhost: g\nx: b\r\n\r\n",
    "a carriage return alone": b"GET /page HTTP/1.1\r\nhost: g\rx: b\r\n\r\n",
    "a head ended by a line feed": b"GET /page HTTP/1.1\r\nhost: g\r\n\n",
    "a space before the colon": POST + b"content-length : 0\r\n\r\n",
    "no name": b"GET /page HTTP/1.1\r\nhost: g\r\n: x\r\n\r\n",
    "no colon": b"GET /page HTTP/1.1\r\nhost: g\r\nx\r\n\r\n",
    "NUL in a value": b"GET /page HTTP/1.1\r\nhost: g\r\nx: a\x00b\r\n\r\n",
    "NUL in a name": b"GET /page HTTP/1.1\r\nhost: g\r\nx\x00y: b\r\n\r\n",
    "a control character in a value": b"GET /page HTTP/1.1\r\nhost: g\r\nx: a\x01b\r\n\r\n",
    "a control character in the target": b"GET /pa\x01ge HTTP/1.1\r\nhost: g\r\n\r\n",
    "a byte above 127 in the target": b"GET /pa\xffge HTTP/1.1\r\nhost: g\r\n\r\n",
    "a space in the target": b"GET /pa ge HTTP/1.1\r\nhost: g\r\n\r\n",
    "a tab in the target": b"GET /pa\tge HTTP/1.1\r\nhost: g\r\n\r\n",
    "a fragment": b"GET /page#part HTTP/1.1\r\nhost: g\r\n\r\n",
    "a target of another host": b"GET http://other/page HTTP/1.1\r\nhost: g\r\n\r\n",
    "a target of another scheme": b"GET ftp://g/page HTTP/1.1\r\nhost: g\r\n\r\n",
    "a target that is no path": b"OPTIONS * HTTP/1.1\r\nhost: g\r\n\r\n",
    "a path without its slash": b"GET page HTTP/1.1\r\nhost: g\r\n\r\n",
    "two hosts": b"GET /page HTTP/1.1\r\nhost: g\r\nhost: g\r\n\r\n",
    "no host": b"GET /page HTTP/1.1\r\nx: y\r\n\r\n",
    "HTTP/0.9": b"GET /page\r\n\r\n",
    "HTTP/1.2": b"GET /page HTTP/1.2\r\nhost: g\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/2.0 by name": b"GET /page HTTP/2.0\r\nhost: g\r\n\r\n",
    "an unknown method": b"GRAB /page HTTP/1.1\r\nhost: g\r\n\r\n",
    "a method in small letters": b"get /page HTTP/1.1\r\nhost: g\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a PROXY header of a stranger": b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + b"\x7f\x00\x00\x01" * 3,
    "a chunk that is longer than it says": CHUNKED + b"2\r\nabc\r\n0\r\n\r\n",
    "a chunk size with a sign": CHUNKED + b"-2\r\nab\r\n0\r\n\r\n",
    "a chunk size with a prefix": CHUNKED + b"0x2\r\nab\r\n0\r\n\r\n",
    "a chunk size with a space": CHUNKED + b"2 \r\nab\r\n0\r\n\r\n",
    "a chunk size that overflows": CHUNKED + b"10000000000000002\r\nab\r\n0\r\n\r\n",
    "no chunk size": CHUNKED + b"\r\nab\r\n0\r\n\r\n",
    "a chunk size ended by a line feed": CHUNKED + b"2\nab\n0\n\n",
    "an extension ended by a line feed": CHUNKED + b"2;x\nab\r\n0\r\n\r\n",
    "a length among the trailers": CHUNKED + b"0\r\ncontent-length: 35\r\n\r\n",
}
# fmt: on


@pytest.fixture(scope="module")
def django(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecordingServer]:
    def answer(wire: Wire, seen: bytearray) -> None:
        while True:
            read_request(wire, seen)
            wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\npage")

    with RecordingServer.on_path(tmp_path_factory.mktemp("django") / "d.sock", answer) as server:
        yield server


@pytest.fixture(scope="module")
def door(
    django_db_setup: None, django: RecordingServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    """A gateway before a Django that keeps what it got."""
    folder = tmp_path_factory.mktemp("door")
    with GatewayProcess(folder, BEFFROI_DJANGO_SOCKET=str(django._listening.getsockname())) as gateway:
        yield gateway


@pytest.mark.parametrize("what", AMBIGUOUS)
def test_an_ambiguous_message_is_refused_and_nothing_behind_it_is_read(
    door: GatewayProcess, django: RecordingServer, what: str
) -> None:
    before = len(django.seen)
    with Wire(door.connect()) as wire:
        wire.send(AMBIGUOUS[what] + SMUGGLED)
        answered = wire.answer()
        assert answered.status == 400, answered
        assert (answered.headers["connection"], "x-request-id" in answered.headers) == ("close", True)
        assert answered.json["error"]["type"] == "invalid_request_error"
        assert wire.has_ended()
    assert len(django.seen) == before


@pytest.mark.parametrize("what", AMBIGUOUS)
def test_it_is_refused_just_so_when_it_comes_byte_by_byte(
    door: GatewayProcess, django: RecordingServer, what: str
) -> None:
    before = len(django.seen)
    with Wire(door.connect()) as wire:
        wire.socket.setsockopt(6, 1, 1)
        data = AMBIGUOUS[what] + SMUGGLED
        try:
            for start in range(len(data)):
                wire.send(data[start : start + 1])
        except OSError:  # it was refused in the middle
            pass
        assert wire.answer().status == 400
    assert len(django.seen) == before


def test_connect_and_methods_of_other_protocols_reach_nobody(door: GatewayProcess, django: RecordingServer) -> None:
    before = len(django.seen)
    for line in (
        b"CONNECT db:5432 HTTP/1.1",
        b"TRACE /page HTTP/1.1",
        b"PROPFIND /page HTTP/1.1",
        b"DESCRIBE /page RTSP/1.0",
    ):
        with Wire(door.connect()) as wire:
            wire.send(line + b"\r\nhost: g\r\n\r\n")
            answered = wire.answer()
            assert (answered.status, "POST" in answered.headers["allow"]) == (405, True), line
    assert len(django.seen) == before


def test_a_target_with_its_host_is_taken_as_its_path(door: GatewayProcess, django: RecordingServer) -> None:
    with Wire(door.connect()) as wire:
        wire.send(b"GET http://g/page?x=http://y HTTP/1.1\r\nhost: g\r\n\r\n")
        assert wire.answer().body == b"page"
        assert b"\r\n\r\n" not in django.seen.rpartition(b"GET /page?x=http://y HTTP/1.1\r\n")[2][:-4]
        wire.send(b"POST http://g/v1/chat/completions HTTP/1.1\r\nhost: g\r\n\r\n")
        assert wire.answer().status == 401  # it is an inference route, and cannot get past its checks by its form


@pytest.mark.parametrize("path", ["/v1/chat%2fcompletions", "/%76%31/chat/completions", "/v1%2fchat/completions"])
def test_an_escaped_path_gets_past_no_check(door: GatewayProcess, django: RecordingServer, path: str) -> None:
    before = len(django.seen)
    with Wire(door.connect()) as wire:
        wire.send(request("POST", path, b"{}"))
        assert wire.answer().status == 401
    assert len(django.seen) == before


def test_what_reaches_django_is_one_request_made_anew(door: GatewayProcess, django: RecordingServer) -> None:
    body = SMUGGLED * 2
    chunks = b"%x\r\n%b\r\n0\r\nx-trailer: y\r\nhost: evil\r\n\r\n" % (len(body), body)
    before = len(django.seen)
    with Wire(door.connect()) as wire:
        wire.send(
            CHUNKED.replace(
                b"\r\n\r\n",
                b"\r\nX-Mixed: \xe9 x\r\nConnection: keep-alive, X-Mine\r\nX-Mine: 1\r\nTE: trailers\r\n\r\n",
            )
            + chunks
        )
        assert wire.answer().status == 200
    head, _, rest = django.seen[before:].partition(b"\r\n\r\n")
    assert rest == body
    lines = head.lower().split(b"\r\n")
    assert lines[0] == b"post /page http/1.1"
    assert b"content-length: %d" % len(body) in lines
    assert b"x-mixed: \xe9 x" in lines
    names = [line.partition(b":")[0] for line in lines[1:]]
    assert not {b"transfer-encoding", b"te", b"x-mine", b"x-trailer", b"connection"} & set(names)
    assert names.count(b"host") == names.count(b"content-length") == 1


@pytest.mark.usefixtures("database")
def test_what_reaches_the_engine_is_one_request_made_anew(scene: Scene, tmp_path: Path) -> None:
    def answer(wire: Wire, seen: bytearray) -> None:
        while True:
            read_request(wire, seen)
            body = (
                b'{"count": 3, "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}}'
            )
            wire.send(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
            )

    house = make_house()
    with RecordingServer.on_port(answer) as engine:
        replica: Any = engine
        serve(house.model, replica)
        await_model(scene.gateway, house)
        key = house.key().text
        scene.gateway.await_key(key)
        body = chat_body(house.model.name, SMUGGLED.decode())
        lines = (
            f"authorization: Bearer {key}",
            "x-forwarded-for: 6.6.6.6",
            "cookie: a=b",
            "x-evil: 1",
            "connection: x-evil",
            "priority: 1",
        )
        with Wire(scene.gateway.connect()) as wire:
            wire.send(request("POST", "/v1/chat/completions?injected=1", body, *lines))
            assert wire.answer().status == 200
    chat = engine.seen[engine.seen.index(b"POST /v1/chat") :]
    head, _, rest = chat.partition(b"\r\n\r\n")
    names = {line.partition(b":")[0] for line in head.split(b"\r\n")[1:]}
    assert head.startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")
    assert names == {b"host", b"authorization", b"content-type", b"content-length", b"x-request-id"}
    assert key.encode() not in chat
    assert b"content-length: %d" % len(rest) in head
    assert b"\r\n" not in rest  # JSON escapes them: a body is no second request either
