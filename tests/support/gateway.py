"""Real gateway processes with real (simulated) engines behind them, for tests that go through the front door."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gateway.pools.models import Replica
from gateway.pools.registry import register_pool, register_replica, set_state
from models_catalog.models import LanguageModel
from tests.gateway.simulated_engine.process import Answered, EngineProcess
from tests.support.people import TESTS

PATIENCE_S = 15


def serve(model: LanguageModel, engine: EngineProcess, served_name: str = "demo/chat") -> Replica:
    """Register the engine as a replica of the model that takes requests at once."""
    pool = register_pool(model=model, served_name=served_name, actor=TESTS)
    replica = register_replica(pool=pool, url=engine.url, api_key=engine.key, is_simulated=True, actor=TESTS)
    set_state(replica=replica, state=Replica.State.READY, reason="", actor=TESTS)
    return replica


class GatewayProcess:
    """`python -m gateway.relay` on a socket of ours; a context manager that stops it. `limits` as BEFFROI_LIMITS."""

    before: tuple[str, ...] = ()  # what the command begins with
    program: tuple[str, ...] = ("-m", "gateway.relay")
    arguments: tuple[str, ...] = ()
    host = "127.0.0.1"

    def __init__(self, folder: Path, limits: str = "", **environment: str) -> None:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self._listening = socket.create_server((self.host, 0), family=family, backlog=512)
        self.port: int = self._listening.getsockname()[1]
        self.url = f"http://{self.host}:{self.port}"
        self.log = folder / f"gateway-{self.port}.log"
        self._environment = os.environ | {
            "BEFFROI_LIMITS": limits,
            "BEFFROI_DJANGO_SOCKET": str(folder / "no-django.sock"),
        }
        self._environment |= environment
        self.start()

    def start(self) -> None:
        """Start the process (again, after it was killed) on the same socket."""
        number = self._listening.fileno()
        with self.log.open("ab") as log:
            command = [*self.before, sys.executable, *self.program, "--fd", str(number), *self.arguments]
            self.process = subprocess.Popen(command, pass_fds=[number], env=self._environment, stderr=log)

    def __enter__(self) -> Self:
        try:
            self.wait_until_ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop it and give its port back."""
        self.stop()
        self._listening.close()

    def stop(self) -> None:
        """End it as an operator would."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(PATIENCE_S)

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def wait_until_ready(self) -> None:
        """Until readiness says so; shows the log where it does not."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if self.get("/health/ready").status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"the gateway did not become ready:\n{self.log.read_text()[-4000:]}")

    def await_key(self, key: str) -> None:
        """Until the news of a new key has come: milliseconds, where the test is faster still. 503: after an outage."""
        deadline = time.monotonic() + PATIENCE_S
        while self.get("/v1/models", key).status in (401, 503):
            assert time.monotonic() < deadline, "the gateway does not know the key"

    def get(self, path: str, key: str = "", **headers: str) -> Answered:
        """GET a path; header names are written with underscores."""
        return self.ask("GET", path, None, key, **headers)

    def post(self, path: str, body: object, key: str = "", **headers: str) -> Answered:
        """POST a JSON body (or bytes as they are)."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.ask("POST", path, data, key, **({"content_type": "application/json"} | headers))

    def chat(self, model: str, key: str, text: str = "Hello", **members: object) -> Answered:
        """A chat request of one message."""
        body = {"model": model, "messages": [{"role": "user", "content": text}], **members}
        return self.post("/v1/chat/completions", body, key)

    def ask(self, method: str, path: str, body: bytes | None, key: str, **headers: str) -> Answered:
        """Any request, on a connection of its own."""
        connection = self.http_connection()
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        if key:
            fields["authorization"] = f"Bearer {key}"
        try:
            connection.request(method, path, body, fields)
            response = connection.getresponse()
            told = {name.lower(): value for name, value in response.getheaders()}
            return Answered(response.status, told, response.read())
        finally:
            connection.close()

    def http_connection(self) -> http.client.HTTPConnection:
        """A connection for `http.client`."""
        return http.client.HTTPConnection(self.host, self.port, timeout=60)

    def connect(self) -> socket.socket:
        """A bare connection."""
        return socket.create_connection((self.host, self.port), timeout=30)

    def open_stream(self, model: str, key: str, text: str = "Hello", **members: object) -> socket.socket:
        """A connection on which a streamed chat request was sent and nothing was read."""
        body = {"model": model, "messages": [{"role": "user", "content": text}], "stream": True, **members}
        data = json.dumps(body).encode()
        connection = self.connect()
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {key}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
        )
        connection.sendall(head.encode() + data)
        return connection


@contextmanager
def running_gateway(folder: Path, limits: str = "", **environment: str) -> Iterator[GatewayProcess]:
    """A gateway that is ready."""
    with GatewayProcess(folder, limits, **environment) as gateway:
        yield gateway


def error_of(answered: Answered) -> dict[str, Any]:
    """The `error` object of an answer in OpenAI's shape."""
    error = answered.json["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return dict(error)
