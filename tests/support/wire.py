"""HTTP byte by byte: a client that sends what no library would, a server that keeps what it got."""

import json
import select
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.gateway.simulated_engine.process import Answered

PATIENCE_S = 15
EMPTY = (204, 304)


def request(method: str, path: str, body: bytes = b"", *lines: str, host: str = "g") -> bytes:
    """The bytes of a proper request; `lines` are further header lines."""
    head = [f"{method} {path} HTTP/1.1", f"host: {host}", *lines, *([f"content-length: {len(body)}"] if body else [])]
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body


def chat_body(model: str, text: str = "Hello", **members: object) -> bytes:
    """A chat request's body."""
    return json.dumps({"model": model, "messages": [{"role": "user", "content": text}], **members}).encode()


def chat(model: str, key: str, text: str = "Hello", *lines: str, **members: object) -> bytes:
    """The bytes of a chat request."""
    body = chat_body(model, text, **{"max_tokens": 3, **members})
    return request("POST", "/v1/chat/completions", body, f"authorization: Bearer {key}", *lines)


def parse_head(head: bytes) -> tuple[bytes, dict[str, str]]:
    """The first line and the headers; no name may come twice but `vary` and `set-cookie`."""
    first, *lines = head.split(b"\r\n")[:-2]
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.decode("latin-1").partition(": ")
        assert name.lower() not in headers or name.lower() in ("vary", "set-cookie"), f"{name} comes twice"
        headers[name.lower()] = value
    return first, headers


class Wire:
    """One end of a connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        connection.settimeout(PATIENCE_S)
        self._unread = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self.socket.sendall(data)

    def _receive(self) -> bool:
        data = self.socket.recv(65_536)
        self._unread += data
        return bool(data)

    def until(self, end: bytes) -> bytes:
        """What comes up to and with `end`; AssertionError where the connection ends before."""
        while (place := self._unread.find(end)) < 0:
            assert self._receive(), f"the connection ended after {bytes(self._unread[:2000])!r}"
        return self._take(place + len(end))

    def exactly(self, size: int) -> bytes:
        """That many bytes."""
        while len(self._unread) < size:
            assert self._receive(), f"the connection ended after {bytes(self._unread[:2000])!r}"
        return self._take(size)

    def _take(self, size: int) -> bytes:
        found = bytes(self._unread[:size])
        del self._unread[:size]
        return found

    def rest(self) -> bytes:
        """What comes until the other side closes in order; ConnectionResetError where it does not."""
        while self._receive():
            pass
        return self._take(len(self._unread))

    def head(self) -> tuple[bytes, dict[str, str]]:
        """A first line and its headers, lower case; no name may come twice but `vary` and `set-cookie`."""
        return parse_head(self.until(b"\r\n\r\n"))

    def answer(self, *, to_head: bool = False) -> Answered:
        """One answer, and not a byte more."""
        first, headers = self.head()
        status = int(first.split()[1])
        if to_head or status in EMPTY:
            return Answered(status, headers, b"")
        if "content-length" in headers:
            return Answered(status, headers, self.exactly(int(headers["content-length"])))
        if headers.get("transfer-encoding") == "chunked":
            return Answered(status, headers, self._chunks())
        return Answered(status, headers, self.rest())

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self.until(b"\r\n"), 16):
            body += self.exactly(size)
            assert self.exactly(2) == b"\r\n"
        assert self.exactly(2) == b"\r\n"
        return body

    def is_silent(self, seconds: float = 0.2) -> bool:
        """Whether nothing comes for that time, not even the end."""
        return not self._unread and not select.select([self.socket], [], [], seconds)[0]

    def has_ended(self) -> bool:
        """Whether the other side closes now, without another byte."""
        return self.rest() == b""

    def is_cut(self) -> bool:
        """Whether the connection ends now, in whatever way."""
        try:
            return self.rest() == b""
        except ConnectionResetError:
            return True


Serve = Callable[[Wire, bytearray], None]


class RecordingServer:
    """A server in this process: each connection gets a thread that runs `serve(wire, seen)`; `seen` is kept."""

    def __init__(self, listening: socket.socket, serve: Serve) -> None:
        self._listening, self._serve = listening, serve
        self.connections: list[bytearray] = []
        self._wires: list[Wire] = []
        self.key = "recording-engine-key"
        if listening.family == socket.AF_INET:
            self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    @classmethod
    def on_port(cls, serve: Serve) -> Self:
        """As an engine is."""
        return cls(socket.create_server(("127.0.0.1", 0)), serve)

    @classmethod
    def on_path(cls, path: Path, serve: Serve) -> Self:
        """As Django is."""
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(path))
        listening.listen(64)
        return cls(listening, serve)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            wire = Wire(connection)
            self._wires.append(wire)
            self.connections.append(bytearray())
            threading.Thread(target=self._run, args=(wire, self.connections[-1]), daemon=True).start()

    def _run(self, wire: Wire, seen: bytearray) -> None:
        try:
            with wire:
                self._serve(wire, seen)
        except (OSError, AssertionError):  # the other side left
            pass

    @property
    def seen(self) -> bytes:
        """Everything that any connection brought."""
        return b"".join(self.connections)

    def close(self) -> None:
        """Stop, as if killed."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for wire in self._wires:
            wire.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_request(wire: Wire, seen: bytearray) -> tuple[bytes, dict[str, str], bytes]:
    """One request with a content-length (or no body), kept as it came: first line, headers, body."""
    head = wire.until(b"\r\n\r\n")
    seen += head
    first, headers = parse_head(head)
    body = wire.exactly(int(headers.get("content-length", "0")))
    seen += body
    return first, headers, body
