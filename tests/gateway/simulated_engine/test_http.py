"""HTTP as gateways, load balancers and impatient clients speak it."""

import json
from typing import Any

import pytest

from tests.gateway.simulated_engine.process import EngineProcess, chat, read_to_end, read_until, streamed


def responses(received: bytes) -> list[bytes]:
    return received.split(b"HTTP/1.1 ")[1:]


def test_a_connection_serves_request_after_request(engine: EngineProcess) -> None:
    with engine.open() as connection:
        for number in range(3):
            connection.sendall(engine.request(chat(max_tokens=2), f"kept-{number}"))
            received = read_until(connection, lambda data: data.endswith(b"}"))
            assert f"chatcmpl-kept-{number}".encode() in received


def test_pipelined_requests_are_answered_in_their_order(engine: EngineProcess) -> None:
    bodies = [streamed(max_tokens=3) if number % 2 else chat(max_tokens=2) for number in range(60)]
    with engine.open() as connection:
        connection.sendall(b"".join(engine.request(body, f"p{number}") for number, body in enumerate(bodies)))
        connection.sendall(b"GET /nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        received = responses(read_to_end(connection))
    assert len(received) == 61
    assert all(f'chatcmpl-p{number}"'.encode() in part for number, part in enumerate(received[:-1]))
    assert received[-1].startswith(b"404")


@pytest.mark.parametrize("size", [1, 13])
def test_a_request_may_come_in_any_pieces(engine: EngineProcess, size: int) -> None:
    request = engine.request(chat(max_tokens=2), "pieces")
    with engine.open() as connection:
        for at in range(0, len(request), size):
            connection.sendall(request[at : at + size])
        assert read_until(connection, lambda data: data.endswith(b"}")).startswith(b"HTTP/1.1 200 OK")


def test_a_chunked_body_is_read(engine: EngineProcess) -> None:
    body = json.dumps(chat(max_tokens=2)).encode()
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:9], body[9:])) + b"0\r\n\r\n"
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {engine.key}\r\n"
    with engine.open() as connection:
        connection.sendall(
            head.encode() + b"content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n" + chunks
        )
        assert read_until(connection, lambda data: data.endswith(b"}")).startswith(b"HTTP/1.1 200 OK")


def test_a_client_that_waits_for_100_continue_gets_it(engine: EngineProcess) -> None:
    request = engine.request(chat(max_tokens=2)).replace(b"host: engine", b"host: engine\r\nexpect: 100-continue")
    head, _, body = request.partition(b"\r\n\r\n")
    with engine.open() as connection:
        connection.sendall(head + b"\r\n\r\n")
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert read_until(connection, lambda data: data.endswith(b"}")).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("body", [chat(max_tokens=2), streamed(max_tokens=2)])
def test_a_connection_is_closed_when_the_client_wants_that(engine: EngineProcess, body: dict[str, Any]) -> None:
    with engine.open() as connection:
        connection.sendall(engine.request(body).replace(b"host: engine", b"host: engine\r\nconnection: close"))
        assert b"\r\nconnection: close\r\n" in read_to_end(connection)


def test_bytes_that_are_no_http_are_refused_and_the_engine_lives(engine: EngineProcess) -> None:
    with engine.open() as connection:
        connection.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert read_to_end(connection).startswith(b"HTTP/1.1 400 Bad Request")
    assert engine.get("/health").status == 200


def test_a_query_does_not_change_the_route(engine: EngineProcess) -> None:
    assert engine.get("/health?verbose=1").status == 200
