"""What is where, for which method, and what a body may be: refusals in OpenAI's shape on every inference path."""

from pathlib import Path

import pytest

from tests.gateway.relay.conftest import Scene
from tests.support.gateway import GatewayProcess, error_of
from tests.support.wire import Wire, chat_body, request

POSTED = ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/rerank", "/v2/rerank", "/v1/estimate"]
READ = ["/v1/models", "/v1/models/some/model:with-odd-id"]
NOWHERE = [
    "/v1",
    "/v1/",
    "/v2",
    "/v2/chat/completions",
    "/v1/chat",
    "/v1/chat/completions/",
    "/v1/models/",
    "/v1/responses",
    "/v1/../admin",
]


@pytest.fixture
def key(scene: Scene) -> str:
    return scene.key().text


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", POSTED)
def test_routes_that_take_a_body_take_post_only(scene: Scene, key: str, path: str, method: str) -> None:
    with Wire(scene.gateway.connect()) as wire:
        wire.send(request(method, path, b"", f"authorization: Bearer {key}"))
        answered = wire.answer(to_head=method == "HEAD")
        assert (answered.status, answered.headers["allow"]) == (405, "POST")
        if method != "HEAD":
            assert error_of(answered)["code"] == "method_not_allowed"
        wire.send(request("GET", "/health/live"))
        assert wire.answer().status == 200  # it was a proper request: the connection goes on


@pytest.mark.parametrize("path", READ)
def test_routes_that_are_read_take_get_only(scene: Scene, key: str, path: str) -> None:
    for method in ("POST", "DELETE", "PUT"):
        answered = scene.gateway.ask(method, path, None, key)
        assert (answered.status, answered.headers["allow"], error_of(answered)["code"]) == (
            405,
            "GET",
            "method_not_allowed",
        )


@pytest.mark.parametrize("path", NOWHERE)
@pytest.mark.parametrize("method", ["GET", "POST", "PROPFIND"])
def test_everything_else_there_is_404(scene: Scene, key: str, path: str, method: str) -> None:
    answered = scene.gateway.ask(method, path, b"{}" if method == "POST" else None, key)
    assert (answered.status, error_of(answered)["code"]) == (404, "not_found")
    assert "x-request-id" in answered.headers


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ('Application/JSON;charset="UTF-8"; x=y', 200),
        ("", 200),
        ("application/json; charset=utf-16", 415),
        ("application/json; x=y; charset=latin-1", 415),
        ("text/plain", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/jsonp", 415),
    ],
)
def test_a_body_is_json_by_its_content_type(scene: Scene, key: str, content_type: str, status: int) -> None:
    lines = [f"authorization: Bearer {key}", *([f"content-type: {content_type}"] if content_type else [])]
    with Wire(scene.gateway.connect()) as wire:
        wire.send(request("POST", "/v1/chat/completions", chat_body(scene.model, max_tokens=1), *lines))
        answered = wire.answer()
        assert answered.status == status
        assert status == 200 or error_of(answered)["code"] == "unsupported_media_type"


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "GZIP ", "identity, gzip"])
def test_a_compressed_body_is_415(scene: Scene, key: str, encoding: str) -> None:
    answered = scene.gateway.post("/v1/chat/completions", b"\x1f\x8b\x08\x00", key, content_encoding=encoding)
    assert (answered.status, error_of(answered)["code"]) == (415, "content_encoding_refused")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-8-sig"])
def test_a_body_in_another_encoding_is_400(scene: Scene, key: str, encoding: str) -> None:
    body = chat_body(scene.model).decode().encode(encoding)
    answered = scene.gateway.post("/v1/chat/completions", body, key)
    assert (answered.status, error_of(answered)["code"]) == (400, "invalid_json")


def test_every_answer_has_an_id_of_its_own_which_is_never_the_clients(scene: Scene, key: str) -> None:
    bearer = f"authorization: Bearer {key}"
    asked = [
        request("GET", "/health/live"),
        request("GET", "/health/ready"),
        request("GET", "/v1/models", b"", bearer),
        request("GET", "/v1/models"),
        request("GET", f"/v1/models/{scene.model}", b"", bearer),
        request("GET", "/v1/nothing"),
        request("GET", "/page"),
        request("POST", "/v1/chat/completions", chat_body(scene.model, max_tokens=1), bearer),
        request("POST", "/v1/chat/completions", b"no json", bearer),
        request("POST", "/v1/chat/completions", chat_body("nothing"), bearer),
        request("POST", "/v1/estimate", chat_body(scene.model), bearer),
        request("DELETE", "/v1/models"),
        request("PUT", "/v1/models", b"x"),
    ]
    ids = set()
    with Wire(scene.gateway.connect()) as wire:
        for data in asked:
            wire.send(data.replace(b"host: g", b"host: g\r\nx-request-id: mine"))
            ids.add(wire.answer().headers["x-request-id"])
    assert len(ids) == len(asked)
    assert "mine" not in ids


def test_there_is_no_inference_at_the_host_of_the_operators_console(scene: Scene, key: str, tmp_path: Path) -> None:
    bound = {
        "BEFFROI_OPERATOR_URL": "https://Ops.example.org",
        "BEFFROI_PUBLIC_URL": "https://models.example.org",
    }
    with GatewayProcess(tmp_path, **bound) as gateway, Wire(gateway.connect()) as wire:
        for host, status in (("OPS.example.org", 404), ("models.example.org", 200)):
            wire.send(f"GET /v1/models HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\n\r\n".encode())
            assert wire.answer().status == status, host
