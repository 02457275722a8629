"""How requests are cut out of a connection's bytes, and in which order their answers come."""

import json
import select
import socket

import pytest

from tests.gateway.relay.conftest import Scene
from tests.support.wire import Wire, chat, chat_body, request

LIVE = request("GET", "/health/live")


@pytest.fixture
def key(scene: Scene) -> str:
    return scene.key().text


def chunked_chat(scene: Scene, key: str, body: bytes) -> bytes:
    return (
        request("POST", "/v1/chat/completions", b"", f"authorization: Bearer {key}", "transfer-encoding: chunked")
        + body
    )


def in_chunks(data: bytes, size: int, extension: bytes = b"") -> bytes:
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    return b"".join(b"%X%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces)


@pytest.mark.parametrize(
    ("size", "extension", "end"),
    [
        (1, b"", b"0\r\n\r\n"),
        (7, b";name=value", b"0;last\r\n\r\n"),
        (1000, b';a="quoted \\" ; and=more";b', b"000\r\n\r\n"),
        (13, b"", b"0\r\nx-trailer: said late\r\nx-another:\r\n\r\n"),
    ],
)
def test_a_chunked_body_is_read_whatever_its_chunks_carry(
    scene: Scene, key: str, size: int, extension: bytes, end: bytes
) -> None:
    with Wire(scene.gateway.connect()) as wire:
        body = chat_body(scene.model, "a text in pieces " * 20, max_tokens=2)
        for _ in range(2):  # the second shows that the first was read to its very end
            wire.send(chunked_chat(scene, key, in_chunks(body, size, extension) + end))
            answered = wire.answer()
            assert (answered.status, answered.json["usage"]["completion_tokens"]) == (200, 2)


def test_requests_split_at_every_byte_are_the_same_requests(scene: Scene, key: str) -> None:
    body = chat_body(scene.model, max_tokens=1)
    data = chunked_chat(scene, key, in_chunks(body, 50, b";x=y") + b"0\r\na: b\r\n\r\n") + request(
        "GET", "/health/live"
    )
    with Wire(scene.gateway.connect()) as wire:
        for start in range(len(data)):
            wire.send(data[start : start + 1])
        assert wire.answer().json["usage"]["completion_tokens"] == 1
        assert wire.answer().body == b"live\n"
    for cut in range(1, len(data), 37):
        with Wire(scene.gateway.connect()) as wire:
            wire.send(data[:cut])
            assert wire.is_silent(0.01) or cut > len(data) - len(LIVE)
            wire.send(data[cut:])
            assert (wire.answer().status, wire.answer().status) == (200, 200)


def test_a_trailer_cannot_say_who_asks(scene: Scene, key: str) -> None:
    body = chat_body(scene.model)
    data = in_chunks(body, 1000) + f"0\r\nauthorization: Bearer {key}\r\n\r\n".encode()
    with Wire(scene.gateway.connect()) as wire:
        wire.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\ntransfer-encoding: chunked\r\n\r\n" + data)
        assert wire.answer().status == 401


def test_a_client_that_expects_100_is_asked_for_its_body(scene: Scene, key: str) -> None:
    body = chat_body(scene.model, max_tokens=1)
    head = request("POST", "/v1/chat/completions", b"", f"authorization: Bearer {key}", "expect: 100-Continue")
    with Wire(scene.gateway.connect()) as wire:
        for _ in range(2):
            wire.send(head.replace(b"\r\n\r\n", b"\r\ncontent-length: %d\r\n\r\n" % len(body)))
            assert wire.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            assert wire.is_silent()
            wire.send(body)
            assert wire.answer().status == 200


def test_a_client_that_expects_100_with_a_bad_key_gets_its_refusal_and_nothing_before(scene: Scene) -> None:
    with Wire(scene.gateway.connect()) as wire:
        wire.send(
            request(
                "POST",
                "/v1/chat/completions",
                b"",
                "authorization: Bearer no",
                "expect: 100-continue",
                "content-length: 9",
            )
        )
        answered = wire.answer()
        assert (answered.status, answered.headers["connection"]) == (401, "close")
        assert wire.has_ended()


def test_a_client_that_sends_its_body_without_waiting_is_not_asked_for_it(scene: Scene, key: str) -> None:
    body = chat_body(scene.model, max_tokens=1)
    data = request("POST", "/v1/chat/completions", body, f"authorization: Bearer {key}", "expect: 100-continue")
    with Wire(scene.gateway.connect()) as wire:
        wire.send(chat(scene.model, key) + data)  # its turn comes when the body is long there
        assert (wire.answer().status, wire.answer().status) == (200, 200)
        assert wire.is_silent()


def test_100_continue_waits_for_the_answers_before_it(scene: Scene, key: str) -> None:
    body = chat_body(scene.model, max_tokens=1)
    head = request(
        "POST",
        "/v1/chat/completions",
        b"",
        f"authorization: Bearer {key}",
        "expect: 100-continue",
        f"content-length: {len(body)}",
    )
    with Wire(scene.gateway.connect()) as wire:
        wire.send(chat(scene.model, key, stream=True, max_tokens=50) + head)
        streamed = wire.answer()
        assert streamed.body.endswith(b"data: [DONE]\n\n")
        assert wire.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        wire.send(body)
        assert wire.answer().status == 200


def test_any_other_expectation_is_refused(scene: Scene, key: str) -> None:
    with Wire(scene.gateway.connect()) as wire:
        wire.send(chat(scene.model, key, "Hello", "expect: a miracle"))
        answered = wire.answer()
        assert (answered.status, answered.json["error"]["code"]) == (417, "expectation_failed")


def test_pipelined_requests_are_answered_in_their_order(scene: Scene, key: str) -> None:
    wanted = [3, 1, 2]
    data = b"".join(chat(scene.model, key, max_tokens=number, stream=number == 3) + LIVE for number in wanted)
    with Wire(scene.gateway.connect()) as wire:
        wire.send(data + request("GET", "/v1/models"))
        for number in wanted:
            answered = wire.answer()
            if number == 3:
                assert answered.body.endswith(b"data: [DONE]\n\n")
            else:
                assert answered.json["usage"]["completion_tokens"] == number
            assert wire.answer().body == b"live\n"
        assert wire.answer().status == 401


def test_thousands_of_pipelined_requests_are_answered_one_by_one(scene: Scene, key: str) -> None:
    with Wire(scene.gateway.connect()) as wire:
        wire.send(chat(scene.model, key, max_tokens=2) + LIVE * 3000)
        assert wire.answer().status == 200
        assert all(wire.answer().body == b"live\n" for _ in range(3000))


def test_what_is_pipelined_beyond_the_limit_waits_in_the_socket(scene: Scene, key: str) -> None:
    slow = chat(scene.model, key, stream=True, max_tokens=8000, ignore_eos=True)
    with Wire(scene.gateway.connect()) as wire:
        wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wire.send(slow)
        wire.until(b"data:")  # and not read any further: the stream cannot end
        sent = 0
        while sent < 64 * 1024 * 1024 and select.select([], [wire.socket], [], 1)[1]:
            sent += wire.socket.send(LIVE * 1000, socket.MSG_DONTWAIT)
        assert sent < 32 * 1024 * 1024, "the gateway reads on without end"


def test_a_connection_is_kept_until_somebody_says_close(scene: Scene, key: str) -> None:
    with Wire(scene.gateway.connect()) as wire:
        for _ in range(3):
            wire.send(chat(scene.model, key))
            answered = wire.answer()
            assert (answered.status, "connection" in answered.headers) == (200, False)
        wire.send(chat(scene.model, key, "Hello", "connection: close"))
        answered = wire.answer()
        assert (answered.status, answered.headers["connection"]) == (200, "close")
        assert wire.has_ended()


def test_what_comes_behind_close_is_not_read(scene: Scene, key: str) -> None:
    with Wire(scene.gateway.connect()) as wire:
        wire.send(
            chat(scene.model, key, "Hello", "connection: close", stream=True) + b"GET /health/live HTTP/1.1\r\n\r\n"
        )
        answered = wire.answer()
        assert (answered.status, answered.headers["connection"]) == (200, "close")
        assert wire.has_ended()


@pytest.mark.parametrize("connection", ["connection: keep-alive", "x-nothing: here"])
@pytest.mark.parametrize("stream", [True, False])
def test_http_10_gets_an_answer_that_ends_with_the_connection(
    scene: Scene, key: str, connection: str, stream: bool
) -> None:
    with Wire(scene.gateway.connect()) as wire:
        wire.send(chat(scene.model, key, "Hello", connection, stream=stream).replace(b"HTTP/1.1", b"HTTP/1.0"))
        answered = wire.answer()
        assert (answered.status, answered.headers["connection"]) == (200, "close")
        assert "transfer-encoding" not in answered.headers
        if stream:
            assert answered.body.endswith(b"data: [DONE]\n\n")
        assert wire.has_ended()


def test_a_head_request_gets_no_body(scene: Scene) -> None:
    with Wire(scene.gateway.connect()) as wire:
        wire.send(request("HEAD", "/health/ready") + request("HEAD", "/v1/nothing") + LIVE)
        assert wire.answer(to_head=True).headers["content-length"] == "6"
        assert wire.answer(to_head=True).status == 404
        assert wire.answer().body == b"live\n"


def test_an_offer_of_http_2_is_ignored_and_the_request_answered(scene: Scene, key: str) -> None:
    """Java's client makes one with every request that is not encrypted."""
    offer = (
        "connection: Upgrade, HTTP2-Settings",
        "upgrade: h2c",
        "http2-settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
    )
    with Wire(scene.gateway.connect()) as wire:
        wire.send(chat(scene.model, key, "Hello", *offer, max_tokens=2) * 300 + LIVE)
        for _ in range(300):
            assert wire.answer().json["usage"]["completion_tokens"] == 2
        assert wire.answer().body == b"live\n"


def test_the_body_is_the_same_however_it_came(scene: Scene, key: str) -> None:
    body = chat_body(scene.model, "élan 🎠 " * 50, max_tokens=1)
    tokens = set()
    for data in (
        request("POST", "/v1/chat/completions", body, f"authorization: Bearer {key}"),
        chunked_chat(scene, key, in_chunks(body, 3) + b"0\r\n\r\n"),
    ):
        with Wire(scene.gateway.connect()) as wire:
            wire.send(data)
            tokens.add(json.dumps(wire.answer().json["usage"], sort_keys=True))
    assert len(tokens) == 1
