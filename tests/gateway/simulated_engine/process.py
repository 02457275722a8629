"""An engine process and small ways to talk to it."""

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

DEADLINE = 10.0
"""Seconds that anything in these tests may take."""


@dataclass
class Answered:
    """A response that was read completely."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The data events of a stream, parsed, without the end mark."""
        return [json.loads(line) for line in data_lines(self.body) if line != b"[DONE]"]


def data_lines(body: bytes) -> list[bytes]:
    """What follows `data: ` in each line that begins so."""
    return [line.removeprefix(b"data: ") for line in body.splitlines() if line.startswith(b"data: ")]


def chat(text: str = "Hello", **members: object) -> dict[str, Any]:
    """The body of a chat request."""
    return {"model": "demo/chat", "messages": [{"role": "user", "content": text}], **members}


def streamed(text: str = "Hello", **members: object) -> dict[str, Any]:
    """The body of a streamed chat request that asks for usage in every event."""
    return chat(text, stream=True, stream_options={"include_usage": True, "continuous_usage_stats": True}, **members)


class EngineProcess:
    """`python -m gateway.simulated_engine`; a context manager that stops it."""

    def __init__(self, models: dict[str, str], journal: Path, key: str, *flags: str) -> None:
        self.journal_file, self.key = journal, key
        named = [f"--model={name}={kind}" for name, kind in models.items()]
        command = [sys.executable, "-m", "gateway.simulated_engine", f"--journal={journal}", f"--api-key={key}"]
        self.process = subprocess.Popen([*command, *named, *flags], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        line = self.process.stdout.readline()
        found = re.fullmatch(r"listening on (http://127\.0\.0\.1:(\d+))\n", line)
        assert found, f"the engine said {line!r}"
        self.url, self.port = found[1], int(found[2])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(DEADLINE)
        assert self.process.stdout
        self.process.stdout.close()

    def get(self, path: str, key: str | None = None) -> Answered:
        return self._ask("GET", path, None, {"authorization": f"Bearer {key or self.key}"})

    def post(self, path: str, body: object, **headers: str) -> Answered:
        """POST a JSON body (or bytes as they are); header names are written with underscores."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        fields = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
        return self._ask("POST", path, data, fields | {name.replace("_", "-"): text for name, text in headers.items()})

    def chat(self, body: dict[str, Any], **headers: str) -> Answered:
        return self.post("/v1/chat/completions", body, **headers)

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answered:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            fields = {name.lower(): value for name, value in response.getheaders()}
            return Answered(response.status, fields, response.read())
        finally:
            connection.close()

    def open(self, body: dict[str, Any] | None = None, request_id: str = "") -> socket.socket:
        """A connection on which this chat request (if any) was sent and nothing was read."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE)
        if body is not None:
            connection.sendall(self.request(body, request_id))
        return connection

    def request(self, body: dict[str, Any], request_id: str = "") -> bytes:
        """The bytes of a chat request."""
        data = json.dumps(body).encode()
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: engine\r\nauthorization: Bearer {self.key}\r\n"
            f"x-request-id: {request_id or 'unnamed'}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(data)}\r\n\r\n"
        )
        return head.encode() + data

    def journal(self, request_id: str | None = None) -> list[dict[str, Any]]:
        """The journal's lines, those of one request id where one is given."""
        lines = [json.loads(line) for line in self.journal_file.read_text().splitlines()]
        if request_id is None:
            return lines
        serials = {line["s"] for line in lines if line.get("id") == request_id and "s" in line}
        return [line for line in lines if line.get("id") == request_id or line.get("s") in serials]

    def story(self, request_id: str) -> list[dict[str, Any]]:
        """The journal of one request id once it has ended: the client may be faster than the last line."""
        assert eventually(lambda: any(line["e"] in ("end", "refused") for line in self.journal(request_id)))
        return self.journal(request_id)

    def metric(self, name: str, model: str = "demo/chat", **labels: str) -> float:
        """One value of /metrics."""
        extra = "".join(f',{label}="{value}"' for label, value in labels.items())
        wanted = f'vllm:{name}{{engine="0",model_name="{model}"{extra}}} '
        lines = self.get("/metrics").body.decode().splitlines()
        return float(next(line.removeprefix(wanted) for line in lines if line.startswith(wanted)))


def read_until(connection: socket.socket, enough: Callable[[bytes], bool]) -> bytes:
    """Everything received until it is enough, or the connection ends."""
    received = b""
    while not enough(received):
        data = connection.recv(65_536)
        if not data:
            break
        received += data
    return received


def read_to_end(connection: socket.socket) -> bytes:
    """Everything received until the engine closes; a reset counts as the end."""
    received = b""
    while True:
        try:
            data = connection.recv(65_536)
        except ConnectionResetError:
            return received
        if not data:
            return received
        received += data


def eventually(condition: Callable[[], bool], within: float = 10.0) -> bool:
    """Whether the condition comes true in time (seconds)."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return False


def tokens_of(lines: Iterable[dict[str, Any]], choice: int = 0) -> list[int]:
    """What the journal's `k` lines say of a choice, in order."""
    return [line["k"] for line in lines if line["e"] == "k" and line["c"] == choice]
