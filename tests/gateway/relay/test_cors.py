"""Browsers: a page of another origin gets nothing, unless a key lists that origin."""

import pytest

from identity.scopes import Scope
from tests.gateway.relay.conftest import Scene
from tests.support.wire import Wire, chat, request

ORIGIN = "https://app.example"
PREFLIGHT = (
    "access-control-request-method: POST",
    "access-control-request-headers: authorization,content-type,x-stainless-new",
)


@pytest.fixture
def key(scene: Scene) -> str:
    return scene.key(origins=(ORIGIN,)).text


def preflight(scene: Scene, path: str, *lines: str) -> tuple[int, dict[str, str]]:
    with Wire(scene.gateway.connect()) as wire:
        wire.send(request("OPTIONS", path, b"", *lines))
        answered = wire.answer()
        assert "x-request-id" in answered.headers
        return answered.status, {
            name: value for name, value in answered.headers.items() if name.startswith("access-control")
        }


def test_a_preflight_of_a_listed_origin_may_send_what_it_asks_for(scene: Scene, key: str) -> None:
    status, allowed = preflight(scene, "/v1/chat/completions", f"origin: {ORIGIN}", *PREFLIGHT)
    assert status == 204
    assert allowed == {
        "access-control-allow-origin": ORIGIN,
        "access-control-allow-methods": "GET, POST",
        "access-control-allow-headers": "authorization,content-type,x-stainless-new",
        "access-control-max-age": "600",
    }


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "https://app.example.evil", "http://app.example", "HTTPS://APP.EXAMPLE"]
)
def test_a_preflight_of_any_other_origin_is_refused(scene: Scene, key: str, origin: str) -> None:
    assert preflight(scene, "/v1/chat/completions", f"origin: {origin}", *PREFLIGHT) == (403, {})


def test_a_preflight_of_what_is_not_there_is_404(scene: Scene, key: str) -> None:
    assert preflight(scene, "/v1/nothing", f"origin: {ORIGIN}", *PREFLIGHT) == (404, {})


def test_options_that_is_no_preflight_is_405(scene: Scene, key: str) -> None:
    assert preflight(scene, "/v1/models")[0] == preflight(scene, "/v1/models", f"origin: {ORIGIN}")[0] == 405


def test_a_page_of_a_listed_origin_reads_answers_errors_and_headers(scene: Scene, key: str) -> None:
    with Wire(scene.gateway.connect()) as wire:
        for data, status in (
            (chat(scene.model, key, "Hello", f"origin: {ORIGIN}"), 200),
            (chat(scene.model, key, "Hello", f"origin: {ORIGIN}", stream=True), 200),
            (chat(scene.model, key, "Hello", f"origin: {ORIGIN}", max_tokens=-1), 400),
            (chat("nothing", key, "Hello", f"origin: {ORIGIN}"), 404),
            (request("GET", "/v1/models", b"", f"origin: {ORIGIN}", f"authorization: Bearer {key}"), 200),
            (request("GET", "/v1/models/nothing", b"", f"origin: {ORIGIN}", f"authorization: Bearer {key}"), 404),
        ):
            wire.send(data)
            answered = wire.answer()
            assert (answered.status, answered.headers["access-control-allow-origin"]) == (status, ORIGIN)
            assert (answered.headers["access-control-expose-headers"], answered.headers["vary"]) == ("*", "origin")
            assert "access-control-allow-credentials" not in answered.headers


def test_a_refusal_of_the_body_can_be_read_by_the_page_too(scene: Scene, key: str) -> None:
    with Wire(scene.gateway.connect()) as wire:
        wire.send(chat(scene.model, key, "Hello", f"origin: {ORIGIN}", "content-encoding: gzip"))
        answered = wire.answer()
        assert (answered.status, answered.headers["access-control-allow-origin"]) == (415, ORIGIN)


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
def test_a_key_is_of_no_use_to_a_page_of_another_origin(scene: Scene, key: str, origin: str) -> None:
    closed = scene.key(Scope.INFERENCE).text
    with Wire(scene.gateway.connect()) as wire:
        for asked in (key, closed):
            wire.send(request("GET", "/v1/models", b"", f"origin: {origin}", f"authorization: Bearer {asked}"))
            answered = wire.answer()
            assert (answered.status, answered.json["error"]["code"]) == (403, "origin_not_allowed")
            assert not any(name.startswith("access-control") for name in answered.headers)


def test_without_an_origin_nothing_is_said_about_it(scene: Scene, key: str) -> None:
    with Wire(scene.gateway.connect()) as wire:
        wire.send(chat(scene.model, key))
        assert not any(name.startswith("access-control") for name in wire.answer().headers)
