"""Where a client comes from: its socket, a trusted proxy's word, and nobody else's. And over TLS."""

import socket
import struct
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from gateway.relay.proxy_protocol import SIGNATURE, BadPreface, Preface, read_preface
from tests.gateway.relay.conftest import Scene
from tests.support.gateway import GatewayProcess
from tests.support.tls import GatewayOverTls
from tests.support.wire import RecordingServer, Wire, chat, read_request, request


def echo(wire: Wire, seen: bytearray) -> None:
    """Answer with what was said of the client."""
    while True:
        _, headers, _ = read_request(wire, seen)
        told = "|".join(
            headers.get(name, "-")
            for name in ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-beffroi-forwarded")
        )
        wire.send(f"HTTP/1.1 200 OK\r\ncontent-length: {len(told)}\r\n\r\n{told}".encode())


@pytest.fixture(scope="module")
def django(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("django") / "d.sock"
    with RecordingServer.on_path(path, echo):
        yield path


@pytest.fixture(scope="module")
def behind_proxy(
    django_db_setup: None, django: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    """A gateway that trusts this machine and a network of proxies."""
    folder = tmp_path_factory.mktemp("behind")
    trusted = "127.0.0.0/8,10.0.0.0/8"
    with GatewayProcess(folder, BEFFROI_DJANGO_SOCKET=str(django), BEFFROI_TRUSTED_PROXIES=trusted) as gateway:
        yield gateway


def told(gateway: GatewayProcess, *lines: str, preface: bytes = b"") -> str:
    with Wire(gateway.connect()) as wire:
        wire.send(preface + request("GET", "/who", b"", *lines))
        return wire.answer().body.decode()


def proxy_header(source: str, *, command: int = 1, version: int = 2, extra: bytes = b"") -> bytes:
    address = ip_address(source)
    family = 0x11 if address.version == 4 else 0x21
    addresses = address.packed * 2 + struct.pack("!HH", 1234, 443) + extra
    return SIGNATURE + bytes([version << 4 | command, family]) + struct.pack("!H", len(addresses)) + addresses


def test_a_trusted_proxy_is_believed_and_named(behind_proxy: GatewayProcess) -> None:
    lines = (
        "x-forwarded-for: 203.0.113.9",
        "x-forwarded-for: 10.1.1.1",
        "x-forwarded-proto: https",
        "x-forwarded-host: llm.example",
    )
    assert told(behind_proxy, *lines) == "203.0.113.9, 10.1.1.1, 127.0.0.1|https|llm.example|1"


def test_without_its_word_it_is_the_client_itself(behind_proxy: GatewayProcess) -> None:
    assert told(behind_proxy) == "127.0.0.1|http|-|-"


def test_a_proxy_protocol_header_names_the_client(behind_proxy: GatewayProcess) -> None:
    assert told(behind_proxy, preface=proxy_header("203.0.113.9")) == "203.0.113.9|http|-|1"
    assert told(behind_proxy, preface=proxy_header("2001:db8::1", extra=b"\x03\x00\x04abcd")) == "2001:db8::1|http|-|1"


def test_whom_the_proxy_names_is_not_believed_in_turn(behind_proxy: GatewayProcess) -> None:
    assert told(behind_proxy, "x-forwarded-for: 6.6.6.6", preface=proxy_header("203.0.113.9")) == "203.0.113.9|http|-|1"


def test_a_chain_of_trusted_proxies_may_use_both(behind_proxy: GatewayProcess) -> None:
    assert (
        told(behind_proxy, "x-forwarded-for: 203.0.113.9", preface=proxy_header("10.1.1.1"))
        == "203.0.113.9, 10.1.1.1|http|-|1"
    )


def test_a_health_check_of_the_proxy_names_nobody(behind_proxy: GatewayProcess) -> None:
    assert told(behind_proxy, preface=proxy_header("203.0.113.9", command=0)) == "127.0.0.1|http|-|-"


def test_the_header_may_come_byte_by_byte_with_the_request_behind_it(behind_proxy: GatewayProcess) -> None:
    data = proxy_header("203.0.113.9", extra=b"\x04\x00\x40" + b"\r\n" * 32) + request("GET", "/who") * 2
    for size in (1, 7, 29, 1000):
        with Wire(behind_proxy.connect()) as wire:
            wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for start in range(0, len(data), size):
                wire.send(data[start : start + size])
            assert [wire.answer().body for _ in range(2)] == [b"203.0.113.9|http|-|1"] * 2


@pytest.mark.parametrize(
    "preface",
    [
        proxy_header("203.0.113.9", version=1),
        proxy_header("203.0.113.9", command=5),
        SIGNATURE + b"\x21\x11\x00\x04\x01\x02\x03\x04",
        SIGNATURE + b"\x21\x11\xff\xff",
        proxy_header("203.0.113.9") * 2,
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
    ],
    ids=["version 1", "unknown command", "too short", "too long", "twice", "text"],
)
def test_a_header_that_is_none_ends_the_connection(behind_proxy: GatewayProcess, preface: bytes) -> None:
    with Wire(behind_proxy.connect()) as wire:
        wire.send(preface + request("GET", "/who"))
        assert wire.answer().status == 400
        assert wire.has_ended()


def test_read_preface_needs_no_more_bytes_than_it_needs() -> None:
    header = proxy_header("192.0.2.1")
    assert all(read_preface(header[:size]) is None for size in range(len(header)))
    assert read_preface(header + b"GET") == Preface("192.0.2.1", len(header))
    assert read_preface(b"GET / HTTP/1.1") == read_preface(b"\r\n\r\nGET") == Preface("", 0)
    assert read_preface(SIGNATURE + b"\x21\x00\x00\x00") == Preface("", 16)  # of an unknown family
    with pytest.raises(BadPreface):
        read_preface(SIGNATURE + b"\x11\x11\x00\x0c" + bytes(12))


def test_a_key_that_is_tied_to_addresses_goes_by_the_same_rule(behind_proxy: GatewayProcess, scene: Scene) -> None:
    key = scene.key(ip_ranges=("203.0.113.0/24",)).text
    inside, outside = proxy_header("203.0.113.9"), proxy_header("198.51.100.1")
    behind_proxy.await_key(key)
    for preface, line, status in (
        (inside, "x: y", 200),
        (outside, "x: y", 403),
        (b"", "x-forwarded-for: 203.0.113.9", 200),
        (b"", "x-forwarded-for: 198.51.100.1", 403),
        (b"", "x: y", 403),
        (outside, "x-forwarded-for: 203.0.113.9", 403),
        (b"", "x-forwarded-for: 203.0.113.9, 6.6.6.6", 403),
    ):
        with Wire(behind_proxy.connect()) as wire:
            wire.send(preface + chat(scene.model, key, "Hello", line))
            assert wire.answer().status == status, (preface, line)
    with Wire(scene.gateway.connect()) as wire:  # it trusts nobody
        wire.send(chat(scene.model, key, "Hello", "x-forwarded-for: 203.0.113.9"))
        assert wire.answer().status == 403


class OnIPv6(GatewayProcess):
    host = "::1"


def test_a_client_on_ipv6_is_known_by_its_address(database: None, django: Path, tmp_path: Path, scene: Scene) -> None:
    with OnIPv6(tmp_path, BEFFROI_DJANGO_SOCKET=str(django)) as gateway:
        assert told(gateway, "x-forwarded-for: 6.6.6.6") == "::1|http|-|1"
        here, elsewhere = (scene.key(ip_ranges=(network,)).text for network in ("::1/128", "2001:db8::/32"))
        for key, status in ((here, 200), (elsewhere, 403)):
            gateway.await_key(key)
            assert gateway.chat(scene.model, key, max_tokens=1).status == status


@pytest.fixture
def over_tls(database: None, django: Path, tmp_path: Path) -> Iterator[GatewayOverTls]:
    with GatewayOverTls(tmp_path, "body_bytes=200000", BEFFROI_DJANGO_SOCKET=str(django)) as gateway:
        yield gateway


def test_everything_works_over_tls(over_tls: GatewayOverTls, scene: Scene) -> None:
    key = scene.key().text
    over_tls.await_key(key)
    assert told(over_tls) == "127.0.0.1|https|-|-"
    with Wire(over_tls.connect()) as wire:
        wire.send(
            chat(scene.model, key)
            + chat(scene.model, key, stream=True, max_tokens=500, ignore_eos=True)
            + request("GET", "/who")
        )
        assert wire.answer().status == 200
        assert wire.answer().body.endswith(b"data: [DONE]\n\n")
        assert wire.answer().status == 200
    with Wire(over_tls.connect()) as wire:
        wire.send(chat(scene.model, key, "Hello", "connection: close"))
        assert wire.answer().status == 200
        assert wire.has_ended()
    with Wire(over_tls.connect()) as wire:  # refused while it still sends
        wire.send(request("POST", "/v1/chat/completions", b"x" * 3_000_000, f"authorization: Bearer {key}"))
        assert wire.answer().status == 413


def test_plain_http_at_a_tls_port_gets_nothing(over_tls: GatewayOverTls) -> None:
    with Wire(socket.create_connection(("127.0.0.1", over_tls.port))) as wire:
        wire.send(request("GET", "/health/live"))
        assert wire.is_cut()
