"""Collectors of audit and logs for tests: a strict syslog receiver and an OTLP one, which can die and come back."""

import json
import re
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.support.certificates import make_certificate

# RFC 5424, 6: all of the header's fields, and no structured data or well-formed elements.
_PRINTABLE = r"[!-~]"
_DATE, _CLOCK = r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])", r"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,6})?"
_TIME = rf"{_DATE}T{_CLOCK}(?:Z|[+-]\d\d:\d\d)"
MESSAGE = re.compile(
    rf"<(?P<priority>0|[1-9]\d?|1[0-8]\d|19[01])>1 (?P<time>-|{_TIME}) (?P<host>{_PRINTABLE}{{1,255}}) "
    rf"(?P<app>{_PRINTABLE}{{1,48}}) (?P<process>{_PRINTABLE}{{1,128}}) (?P<id>{_PRINTABLE}{{1,32}}) "
    r"(?P<structured>-|(?:\[[^\]]+\])+)(?: (?P<text>.*))?",
    re.DOTALL,
)


@dataclass
class SyslogReceiver:
    """Reads messages that are framed by their length, each whole or not at all. `dies_after`: bytes of a connection."""

    folder: Path
    is_tls: bool = True
    port: int = 0
    messages: list[re.Match[str]] = field(default_factory=list)
    dies_after: int | None = None
    _listener: socket.socket | None = None

    def start(self) -> None:
        """Listen, on the port of before if there was one."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, args=(self._listener,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections from now on."""
        if self._listener is not None:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()

    @property
    def trusted(self) -> str:
        return (self.folder / "certificate.pem").read_text()

    def lines(self, tenant: int | None) -> list[dict[str, Any]]:
        """What came of a tenant's chain."""
        found = [json.loads(one["text"]) for one in self.messages]
        return [line for line in found if line["type"] == "event" and line["tenant"] == tenant]

    @property
    def logged(self) -> list[dict[str, Any]]:
        """What came of the processes' logs."""
        return [line for one in self.messages if (line := json.loads(one["text"]))["type"] == "log"]

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with suppress(OSError), connection, self._wrapped(connection) as wrapped:
                self._read(wrapped)

    def _wrapped(self, connection: socket.socket) -> socket.socket:
        if not self.is_tls:
            return connection
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "certificate.pem", self.folder / "key.pem")
        return context.wrap_socket(connection, server_side=True)

    def _read(self, connection: socket.socket) -> None:
        received = b""
        while part := connection.recv(1000):
            received = self._take(received + part)
            if self.dies_after is not None:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.close()
                return
        assert received == b"", received
        if isinstance(connection, ssl.SSLSocket):
            connection.unwrap().close()

    def _take(self, received: bytes) -> bytes:
        """Keep the whole messages. Returns the rest."""
        while found := re.match(rb"([1-9][0-9]*) ", received):
            end = found.end() + int(found[1])
            if len(received) < end:
                break
            message = MESSAGE.fullmatch(received[found.end() : end].decode("ascii"))
            assert message, received[:200]
            self.messages.append(message)
            received = received[end:]
        return received


@contextmanager
def syslog_receiver(folder: Path, *, is_tls: bool = True) -> Iterator[SyslogReceiver]:
    """A running receiver, with a certificate of the moment."""
    make_certificate(folder)
    receiver = SyslogReceiver(folder, is_tls)
    receiver.start()
    try:
        yield receiver
    finally:
        receiver.stop()


@dataclass
class OtlpCollector:
    """Takes log records as the specification has them. `statuses`: to answer first; `drops`: what it says it drops."""

    url: str = ""
    records: list[dict[str, Any]] = field(default_factory=list)
    logged: list[tuple[str, dict[str, Any]]] = field(default_factory=list)  # the process, its record
    heads: list[dict[str, str]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    drops: int = 0

    def take(self, body: bytes) -> tuple[int, dict[str, Any]]:
        """The status and the answer to a request."""
        if self.statuses:
            return self.statuses.pop(0), {}
        told = json.loads(body)
        assert set(told) == {"resourceLogs"}
        for resource in told["resourceLogs"]:
            names = {one["key"]: one["value"]["stringValue"] for one in resource["resource"]["attributes"]}
            assert names["service.name"] == "beffroi"
            for scope in resource["scopeLogs"]:
                sound = [_sound(one) for one in scope["logRecords"]]
                if scope["scope"]["name"] == "beffroi.logs":
                    self.logged += [(names["service.instance.id"], one) for one in sound]
                else:
                    self.records += sound
        return 200, {"partialSuccess": {"rejectedLogRecords": str(self.drops)}} if self.drops else {}

    def of_tenant(self, tenant: int) -> list[dict[str, Any]]:
        """The records of a tenant's chain."""
        return [one for one in self.records if json.loads(one["body"]["stringValue"]).get("tenant") == tenant]


def _sound(record: dict[str, Any]) -> dict[str, Any]:
    assert re.fullmatch(r"[1-9]\d{18}", record["timeUnixNano"])
    assert record["severityNumber"] in range(1, 25)
    assert all(set(one) == {"key", "value"} and len(one["value"]) == 1 for one in record["attributes"])
    return record


@contextmanager
def otlp_collector(folder: Path) -> Iterator[OtlpCollector]:
    """A running collector over TLS."""
    certificate, key = make_certificate(folder)
    collector = OtlpCollector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/logs"
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.heads.append(dict(self.headers.items()))
            status, told = collector.take(body)
            answer = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            if status == 503:
                self.send_header("Retry-After", "900")
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    collector.url = f"https://127.0.0.1:{server.server_port}"
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
