"""The one way out, against servers that are up to no good."""

import datetime
import socket
import ssl
import threading
import time
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from identity.egress import (
    AddressRefused,
    AnswerTooLarge,
    TimedOut,
    TlsRefused,
    Unreachable,
    UrlRefused,
    fetch,
    is_public,
)
from tests.identity.rude_server import Handler, chunked_endless, endless, serving

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Thing: yes\r\n\r\nhello"


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Every name leads to these addresses; returns the list of names that were asked for."""
    asked: list[str] = []

    def getaddrinfo(host: str, *_: object, **__: object) -> list[object]:
        asked.append(host)
        return [
            (socket.AF_INET6 if ":" in address else socket.AF_INET, 1, 6, "", (address, 0)) for address in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def test_an_answer_comes_back_with_status_headers_and_body() -> None:
    with serving(OK) as server:
        answer = fetch("GET", f"http://127.0.0.1:{server.port}/a/b?c=d", allow_private=True)
    assert (answer.status, answer.body, answer.headers["x-thing"]) == (200, b"hello", "yes")
    lines = server.asked[0].decode().lower().split("\r\n")
    assert lines[0] == "get /a/b?c=d http/1.1"
    assert f"host: 127.0.0.1:{server.port}" in lines
    assert "accept-encoding: identity" in lines
    assert "connection: close" in lines


def test_a_body_and_headers_are_sent() -> None:
    with serving(OK) as server:
        url = f"http://localhost:{server.port}"
        fetch("POST", url, headers={"Content-Type": "application/json"}, body=b'{"a":1}', allow_private=True)
    head, _, body = server.asked[0].partition(b"\r\n\r\n")
    assert body == b'{"a":1}'
    assert b"Content-Length: 7" in head
    assert head.startswith(b"POST / HTTP/1.1")
    assert b"Content-Type: application/json" in head


@pytest.mark.parametrize("status", ["404 Not Found", "500 Oops", "204 No Content"])
def test_what_a_status_means_the_caller_decides(status: str) -> None:
    with serving(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode()) as server:
        assert fetch("GET", f"http://127.0.0.1:{server.port}/", allow_private=True).status == int(status[:3])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(status: int) -> None:
    with serving(OK) as elsewhere:
        redirect = (
            f"HTTP/1.1 {status} Moved\r\nLocation: http://127.0.0.1:{elsewhere.port}/\r\nContent-Length: 0\r\n\r\n"
        )
        with serving(redirect.encode()) as server:
            answer = fetch("GET", f"http://127.0.0.1:{server.port}/", allow_private=True)
    assert answer.status == status
    assert elsewhere.asked == []


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "localhost",
        "0.0.0.0",
        "0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "192.0.0.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "[::1]",
        "[::]",
        "[fe80::1]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[fec0::1]",
        "[ff02::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:a00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b::10.0.0.1]",
        "[2002:7f00:1::]",
        "[2002:c0a8:101::1]",
        "[2001:db8::1]",
    ],
)
def test_no_way_leads_into_a_private_network(host: str) -> None:
    with pytest.raises(AddressRefused):
        fetch("GET", f"http://{host}:9/")


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "::ffff:10.0.0.1", "fe80::1%eth0"]
)
def test_a_name_that_leads_into_a_private_network_is_refused(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    resolving(monkeypatch, address)
    with pytest.raises(AddressRefused):
        fetch("GET", "https://harmless.example.org/")


def test_one_private_address_among_public_ones_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, "93.184.216.34", "127.0.0.1")
    with pytest.raises(AddressRefused):
        fetch("GET", "https://harmless.example.org/")


def test_a_name_is_resolved_once_so_that_it_cannot_change_its_mind(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(OK) as server:
        real = socket.getaddrinfo
        asked: list[str] = []

        def getaddrinfo(host: str, *rest: object, **more: object) -> list[object]:
            if host == "rebinding.example.org":
                asked.append(host)
                host = "127.0.0.1"
            return real(host, *rest, **more)  # type: ignore[arg-type,return-value]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        fetch("GET", f"http://rebinding.example.org:{server.port}/", allow_private=True)
    assert asked == ["rebinding.example.org"]
    assert f"Host: rebinding.example.org:{server.port}".encode() in server.asked[0]


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "fe80::1", "::ffff:169.254.169.254", "224.0.0.1", "0.0.0.0", "::"]
)
def test_a_clouds_credentials_are_refused_even_to_callers_who_may_go_inside(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    resolving(monkeypatch, address)
    with pytest.raises(AddressRefused):
        fetch("GET", "http://engine.example.org:8000/", allow_private=True)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700::1111", "64:ff9b::8.8.8.8", "2002:808:808::1"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "harmless.example.org",
        "//harmless.example.org/",
        "ftp://harmless.example.org/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_x",
        "http://",
        "http:///path",
        "http://user@harmless.example.org/",
        "http://user:word@harmless.example.org/",
        "http://harmless.example.org:0/",
        "http://harmless.example.org:99999/",
        "http://harmless.example.org:port/",
        "http://harmless.example.org/a b",
        "http://harmless.example.org/\r\nX-Evil: 1",
        "http://harmless.example.org/\t",
        "http://harmless.example.org\\@127.0.0.1/",
        "http://h\u00e4rmless.example.org/",
        "http://[::1/",
        "http://harmless.example.org/" + "a" * 2_100,
    ],
)
def test_an_address_that_makes_no_sense_is_refused_before_anything_is_asked(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = resolving(monkeypatch, "127.0.0.1")
    with pytest.raises(UrlRefused):
        fetch("GET", url, allow_private=True)
    assert asked == []


def test_a_missing_name_and_a_closed_port_are_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(OK) as server:
        closed = server.port
    with pytest.raises(Unreachable):
        fetch("GET", f"http://127.0.0.1:{closed}/", allow_private=True)

    def no_such_name(*_: object, **__: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(socket, "getaddrinfo", no_such_name)
    with pytest.raises(Unreachable, match="no such name"):
        fetch("GET", "http://missing.example.org/")
    with pytest.raises(Unreachable):
        fetch("GET", f"http://{'a' * 70}.example.org/")


def test_the_next_address_is_tried_where_one_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(OK) as server:
        resolving(monkeypatch, "127.0.0.2", "::1", "127.0.0.1")  # the server listens on the last one only
        assert fetch("GET", f"http://three.example.org:{server.port}/", allow_private=True).body == b"hello"


@pytest.mark.parametrize(
    "handle",
    [endless, chunked_endless, b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n" + b"x" * 2_000_000],
)
def test_a_huge_body_is_cut_off(handle: Handler | bytes) -> None:
    with serving(handle) as server, pytest.raises(AnswerTooLarge):
        fetch("GET", f"http://127.0.0.1:{server.port}/", allow_private=True)


def test_a_body_of_just_the_limit_is_not() -> None:
    body = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1_000
    with serving(body) as server:
        url = f"http://127.0.0.1:{server.port}/"
        assert len(fetch("GET", url, allow_private=True, response_bytes_max=1_000).body) == 1_000
        with pytest.raises(AnswerTooLarge):
            fetch("GET", url, allow_private=True, response_bytes_max=999)


def test_a_compressed_body_is_not_inflated() -> None:
    body = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00"
    with serving(body) as server:
        assert fetch("GET", f"http://127.0.0.1:{server.port}/", allow_private=True).body == b"\x1f\x8b\x08\x00"


def silent(connection: socket.socket) -> None:
    connection.recv(1)


def dripping_headers(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    for _ in range(1_000):
        connection.sendall(b"X-Drip: 1\r\n"[:3])
        time.sleep(0.05)


def dripping_body(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(1_000):
        connection.sendall(b"x")
        time.sleep(0.05)


def dripping_without_length(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(1_000):
        connection.sendall(b"x")
        time.sleep(0.05)


@pytest.mark.parametrize("handle", [silent, dripping_headers, dripping_body, dripping_without_length])
def test_a_slow_server_does_not_hold_us_beyond_the_time_given(handle: Handler) -> None:
    with serving(handle) as server:
        begin = time.monotonic()
        with pytest.raises(TimedOut):
            fetch("GET", f"http://127.0.0.1:{server.port}/", allow_private=True, total_seconds=0.5)
        assert 0.4 < time.monotonic() - begin < 3


def test_a_resolver_that_hangs_does_not_hold_us_either(monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: let_go.wait(timeout=30))
    begin = time.monotonic()
    with pytest.raises(TimedOut, match="resolved in time"):
        fetch("GET", "http://slow.example.org/", total_seconds=0.3)
    assert time.monotonic() - begin < 3
    let_go.set()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"rubbish\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X-A: 1\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 70_000 + b"\r\n\r\n",
    ],
)
def test_a_broken_answer_is_no_answer(answer: bytes) -> None:
    with serving(answer) as server, pytest.raises(Unreachable):
        fetch("GET", f"http://127.0.0.1:{server.port}/", allow_private=True)


@pytest.mark.parametrize("headers", [{"X-A": "1\r\nX-B: 2"}, {"X-A\r\nX-B": "1"}])
def test_a_header_cannot_smuggle_another_one(headers: dict[str, str]) -> None:
    with serving(OK) as server, pytest.raises(ValueError, match="Invalid header"):
        fetch("GET", f"http://127.0.0.1:{server.port}/", headers=headers, allow_private=True)
    assert not any(b"X-B" in asked for asked in server.asked)


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's TLS for `good.example.org`, from an authority that this process trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "good.example.org")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("good.example.org")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "server.pem"
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    pem.write_bytes(made.public_bytes(encoding) + private)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(pem)
    return server_side


def test_over_tls_the_server_proves_the_name_not_the_address(
    certificate: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(OK, certificate) as server:
        resolving(monkeypatch, "127.0.0.1")
        assert fetch("GET", f"https://good.example.org:{server.port}/", allow_private=True).body == b"hello"
        with pytest.raises(TlsRefused):
            fetch("GET", f"https://evil.example.org:{server.port}/", allow_private=True)
    assert f"Host: good.example.org:{server.port}".encode() in server.asked[0]
    assert len(server.asked) == 1


def test_an_unknown_authority_is_refused(
    certificate: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "none.pem").write_text("")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with serving(OK, certificate) as server:
        resolving(monkeypatch, "127.0.0.1")
        with pytest.raises(TlsRefused):
            fetch("GET", f"https://good.example.org:{server.port}/", allow_private=True)


def test_a_handshake_that_never_ends_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, "127.0.0.1")
    with serving(silent) as server:
        begin = time.monotonic()
        with pytest.raises(TimedOut):
            fetch("GET", f"https://good.example.org:{server.port}/", allow_private=True, total_seconds=0.5)
        assert time.monotonic() - begin < 3


def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(OK) as proxy, serving(OK) as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        fetch("GET", f"http://127.0.0.1:{server.port}/", allow_private=True)
    assert proxy.asked == []


def test_no_timer_outlives_its_exchange() -> None:
    before = set(threading.enumerate())
    with serving(endless) as server, pytest.raises(AnswerTooLarge):
        fetch("GET", f"http://127.0.0.1:{server.port}/", allow_private=True, response_bytes_max=10)
    ours = [one for one in set(threading.enumerate()) - before if isinstance(one, threading.Timer)]
    for timer in ours:
        timer.join(2)  # a cancelled one still has to wake up once; one that was forgotten lives for half a minute
    assert not [timer for timer in ours if timer.is_alive()]
