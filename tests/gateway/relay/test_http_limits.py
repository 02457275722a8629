"""What a client may send at most, and what a process holds of it (I8)."""

import json
import time
from collections.abc import Iterator

import pytest

from tests.gateway.relay.conftest import Scene
from tests.gateway.simulated_engine.process import eventually
from tests.support.gateway import GatewayProcess
from tests.support.wire import Wire, chat, chat_body, request

KIB = 1024
BODY_KIB, PAGE_KIB, HELD_KIB = 256, 64, 512
LIMITS = (
    f"body_bytes={BODY_KIB * KIB},page_body_bytes={PAGE_KIB * KIB},held_bytes={HELD_KIB * KIB},"
    f"page_held_bytes={HELD_KIB * KIB},held_wait_s=2,connections=60,linger_s=5"
)


@pytest.fixture(scope="module")
def small(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway that takes little."""
    with GatewayProcess(tmp_path_factory.mktemp("small"), LIMITS) as gateway:
        yield gateway


@pytest.fixture
def key(scene: Scene, small: GatewayProcess) -> str:
    text = scene.key().text
    small.await_key(text)
    return text


def refused(wire: Wire, status: int, code: str) -> None:
    answered = wire.answer()
    assert (answered.status, answered.json["error"]["code"]) == (status, code)
    assert (answered.headers["connection"], "x-request-id" in answered.headers) == ("close", True)
    assert wire.has_ended()


def begun_chat(key: str, size: int) -> bytes:
    """The head of a chat request with a body of that size."""
    return request("POST", "/v1/chat/completions", b"", f"authorization: Bearer {key}", f"content-length: {size}")


def test_a_long_target_is_414(small: GatewayProcess) -> None:
    with Wire(small.connect()) as wire:
        wire.send(request("GET", "/" + "x" * 9000))
        refused(wire, 414, "uri_too_long")


@pytest.mark.parametrize(
    "lines",
    [[f"x-{number}: y" for number in range(200)], ["x: " + "y" * 70_000], ["y" * 70_000 + ": x"]],
    ids=["many", "long value", "long name"],
)
def test_a_large_head_is_431(small: GatewayProcess, lines: list[str]) -> None:
    with Wire(small.connect()) as wire:
        wire.send(request("GET", "/health/live", b"", *lines))
        refused(wire, 431, "headers_too_large")


@pytest.mark.parametrize(
    "begin",
    [
        b"GET / HTTP/1.1\r\nx: ",
        b"GET / HTTP/1.1\r\n",
        b"",
        b"POST / HTTP/1.1\r\nhost: g\r\ntransfer-encoding: chunked\r\n\r\n1;",
    ],
    ids=["value", "name", "empty lines", "chunk extension"],
)
def test_a_field_without_an_end_is_not_kept(small: GatewayProcess, begin: bytes) -> None:
    with Wire(small.connect()) as wire:
        wire.send(begin)
        filling = b"\r\n" * 20_000 if not begin else b"a" * 40_000
        for _ in range(3):
            wire.send(filling)
        assert wire.answer().status == 431


def test_trailers_are_bounded_too(small: GatewayProcess) -> None:
    with Wire(small.connect()) as wire:
        wire.send(
            b"POST / HTTP/1.1\r\nhost: g\r\ntransfer-encoding: chunked\r\n\r\n0\r\n" + b"x: y\r\n" * 500 + b"\r\n"
        )
        refused(wire, 431, "headers_too_large")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/page"])
def test_a_body_that_announces_too_much_is_413_before_it_is_sent(small: GatewayProcess, key: str, path: str) -> None:
    most = BODY_KIB * KIB if path != "/page" else PAGE_KIB * KIB
    with Wire(small.connect()) as wire:
        wire.send(begun_chat(key, most + 1).replace(b"/v1/chat/completions", path.encode()))
        refused(wire, 413, "body_too_large")


def test_a_body_in_chunks_is_413_when_it_grows_too_large(small: GatewayProcess, key: str) -> None:
    head = begun_chat(key, 1).replace(b"content-length: 1", b"transfer-encoding: chunked")
    piece = b"1000\r\n" + b"x" * 4096 + b"\r\n"
    with Wire(small.connect()) as wire:
        wire.send(head + piece * (BODY_KIB * KIB // 4096))
        assert wire.is_silent()
        wire.send(b"1\r\nx\r\n")
        refused(wire, 413, "body_too_large")


def test_a_body_just_within_the_limit_is_taken(small: GatewayProcess, key: str, scene: Scene) -> None:
    body = chat_body(scene.model, max_tokens=1)
    body += b" " * (BODY_KIB * KIB - len(body))
    with Wire(small.connect()) as wire:
        wire.send(begun_chat(key, len(body)) + body)
        assert wire.answer().status == 200


@pytest.mark.parametrize("status", [401, 413])
def test_a_client_that_still_sends_can_read_why_it_was_refused(small: GatewayProcess, key: str, status: int) -> None:
    """Closed at once, its kernel would throw the answer away with the connection."""
    size = 20 * 1024 * KIB
    with Wire(small.connect()) as wire:
        wire.send(begun_chat(key if status == 413 else "no", size))
        for _ in range(16):
            wire.send(b"x" * (size // 16))
        refused(wire, status, "body_too_large" if status == 413 else "invalid_api_key")


def test_a_refused_client_that_sends_for_ever_is_cut(small: GatewayProcess) -> None:
    with Wire(small.connect()) as wire:
        wire.send(begun_chat("no", 1_000_000_000))

        def sends() -> bool:
            try:
                wire.send(b"x" * KIB)
            except OSError:
                return False
            return True

        assert eventually(lambda: not sends(), within=9)


def test_a_413_of_a_known_key_says_so_to_its_page(small: GatewayProcess, scene: Scene) -> None:
    key = scene.key(origins=("https://app.example",)).text
    small.await_key(key)
    with Wire(small.connect()) as wire:
        wire.send(begun_chat(key, 10**9).replace(b"\r\n\r\n", b"\r\norigin: https://app.example\r\n\r\n"))
        answered = wire.answer()
        assert (answered.status, answered.headers["access-control-allow-origin"]) == (413, "https://app.example")


def hold_memory(gateway: GatewayProcess, key: str, kib: int) -> Wire:
    """A client that has sent that much of a body and not its end."""
    wire = Wire(gateway.connect())
    wire.send(begun_chat(key, kib * KIB + 1) + b" " * (kib * KIB))
    assert wire.is_silent(0.3)  # long enough for all of it to be read
    return wire


def test_past_the_memory_of_the_process_clients_wait_and_then_get_503(
    small: GatewayProcess, key: str, scene: Scene
) -> None:
    holders = [hold_memory(small, key, 250) for _ in range(2)]
    try:
        with Wire(small.connect()) as wire:
            body = chat_body(scene.model, "x" * 100_000, max_tokens=1)
            wire.send(begun_chat(key, len(body)) + body[:90_000])
            assert wire.is_silent(0.5)
            answered = wire.answer()
            assert (answered.status, answered.json["error"]["code"]) == (503, "overloaded")
            assert int(answered.headers["retry-after"]) >= 1
    finally:
        for holder in holders:
            holder.socket.close()


def test_who_waits_for_memory_goes_on_when_there_is_some(small: GatewayProcess, key: str, scene: Scene) -> None:
    holders = [hold_memory(small, key, 250) for _ in range(2)]
    body = chat_body(scene.model, "y" * 100_000)[:-1] + b', "max_tokens": 1}'
    with Wire(small.connect()) as wire:
        wire.send(begun_chat(key, len(body)) + body[:50_000])
        assert wire.is_silent(0.3)
        wire.send(body[50_000:])
        assert wire.is_silent(0.3)
        for holder in holders:
            holder.socket.close()
        assert wire.answer().status in (200, 400)  # read to its end, and judged


def test_strangers_cannot_take_the_memory_of_keys(small: GatewayProcess, key: str, scene: Scene) -> None:
    page = request("POST", "/page", b"", f"content-length: {60 * KIB + 1}") + b" " * 60 * KIB
    holders = [Wire(small.connect()) for _ in range(10)]
    for holder in holders:
        holder.send(page)
    time.sleep(0.3)
    body = chat_body(scene.model, "w" * 20_000, max_tokens=1)[:-1] + b" " * 50_000 + b"}"
    with Wire(small.connect()) as wire:
        wire.send(begun_chat(key, len(body)) + body[:30_000])
        time.sleep(0.2)
        wire.send(body[30_000:])
        assert wire.answer().status in (200, 400)  # read to its end, and judged
    for holder in holders:
        holder.socket.close()


def test_clients_that_leave_in_the_middle_of_anything_give_their_memory_back(
    small: GatewayProcess, key: str, scene: Scene
) -> None:
    body = chat_body(scene.model, "z" * 20_000, max_tokens=400, stream=True)
    whole = begun_chat(key, len(body)) + body
    for cut in (100, len(whole) // 2, len(whole) - 1, len(whole)):
        for _ in range(40):
            with Wire(small.connect()) as wire:
                wire.send(whole[:cut])
                if cut == len(whole):
                    wire.send(whole)  # and a pipelined one
    assert eventually(lambda: scene.engine.metric("num_requests_running") == 0, within=10)
    # Nothing was lost: two large ones fit ...
    holders = [hold_memory(small, key, 250) for _ in range(2)]
    # ... and nothing was given back twice: a third does not.
    with Wire(small.connect()) as wire:
        wire.send(begun_chat(key, 200 * KIB) + b" " * 100 * KIB)
        answered = wire.answer()
        assert answered.status == 503
    for holder in holders:
        holder.send(b" ")
        assert json.loads(holder.answer().body)["error"]["code"] == "invalid_json"
        holder.socket.close()
    assert small.chat(scene.model, key, max_tokens=1).status == 200


def test_past_the_connections_of_the_process_a_new_one_gets_503(small: GatewayProcess, key: str, scene: Scene) -> None:
    open_ones = [Wire(small.connect()) for _ in range(50)]
    for wire in open_ones:
        wire.send(request("GET", "/health/live"))
        assert wire.answer().status == 200
    open_ones += [Wire(small.connect()) for _ in range(10)]
    with Wire(small.connect()) as wire:
        wire.send(chat_body(scene.model, "z" * 2_000_000))
        refused(wire, 503, "overloaded")
    for wire in open_ones:
        wire.socket.close()
    assert eventually(lambda: small.get("/health/live").status == 200)
    with Wire(small.connect()) as wire:
        wire.send(chat(scene.model, key))
        assert wire.answer().status == 200
