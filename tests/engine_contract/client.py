"""A small HTTP client that hides nothing: bytes out, bytes in, and connections that a test can cut."""

import contextlib
import http.client
import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

TIMEOUT = 60.0
"""Seconds for any single read: nothing here should take a tenth of it."""
SAMPLED = {"temperature": 1, "seed": 11}
"""For several choices: vLLM refuses `n` above 1 at temperature 0."""
STRAYING = {"temperature": 2, "seed": 11}
"""So that the choices of one request differ."""
USAGE_IN_EVERY_CHUNK = {"include_usage": True, "continuous_usage_stats": True}


@dataclass(frozen=True)
class Answer:
    """A whole response."""

    status: int
    headers: dict[str, str]
    """By lower-case name."""
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The body, which must be a JSON object."""
        value = json.loads(self.body)
        assert isinstance(value, dict)
        return value

    @property
    def usage(self) -> dict[str, Any]:
        """The `usage` of a successful answer."""
        assert self.status == 200, self.body
        usage = self.json["usage"]
        assert isinstance(usage, dict)
        return usage

    @property
    def events(self) -> list[bytes]:
        """The data of each server-sent event of a stream, `[DONE]` included; asserts the framing."""
        assert self.headers["content-type"].startswith("text/event-stream"), self.body
        assert self.body.endswith(b"\n\n")
        events = self.body[:-2].split(b"\n\n")
        assert all(event.startswith(b"data: ") and b"\n" not in event for event in events)
        return [event.removeprefix(b"data: ") for event in events]

    @property
    def chunks(self) -> list[dict[str, Any]]:
        """The decoded events of a stream that ended with `[DONE]`, without that."""
        *chunks, done = self.events
        assert done == b"[DONE]"
        return [json.loads(chunk) for chunk in chunks]

    @property
    def text(self) -> str:
        """What the (first choice of a) chat stream said."""
        deltas = (chunk["choices"][0]["delta"] for chunk in self.chunks if chunk["choices"])
        return "".join(delta.get("content") or "" for delta in deltas)


@dataclass(frozen=True)
class Endpoint:
    """Where one model is served."""

    port: int
    model: str
    api_key: str
    window: int
    """Tokens of prompt and answer together."""

    def get(self, path: str, api_key: str | None = None) -> Answer:
        """GET; without a key unless one is given."""
        return self._exchange("GET", path, None, {"Authorization": f"Bearer {api_key}"} if api_key else {})

    def post(self, path: str, body: dict[str, Any] | bytes, **headers: str) -> Answer:
        """POST with our key. A dictionary gets `model` unless it has one; bytes go as they are; `x_name=`: a header."""
        return self._exchange("POST", path, self.encode(body), self._headers(headers))

    def chat(self, **members: Any) -> Answer:
        """One chat request; deterministic, and a short user message unless `messages` is given."""
        return self.post("/v1/chat/completions", {"messages": message("Hello belfry"), "temperature": 0, **members})

    def stream_chat(self, **members: Any) -> Answer:
        """One streamed chat request, read to its end, with usage in every chunk unless told otherwise."""
        return self.chat(**{"stream": True, "stream_options": USAGE_IN_EVERY_CHUNK, **members})

    def complete(self, **members: Any) -> Answer:
        """One request to /v1/completions; deterministic."""
        return self.post("/v1/completions", {"temperature": 0, **members})

    def count(self, **members: Any) -> int:
        """Tokens, as /tokenize counts them."""
        answer = self.post("/tokenize", members)
        assert answer.status == 200, answer.body
        count = answer.json["count"]
        assert isinstance(count, int)
        return count

    @contextlib.contextmanager
    def opened(self, path: str, body: dict[str, Any] | bytes, **headers: str) -> Iterator[http.client.HTTPConnection]:
        """Send a request and leave the answer to the caller; hang up at the end, whatever was read."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        connection.request("POST", path, self.encode(body), self._headers(headers))
        try:
            yield connection
        finally:
            hang_up(connection)

    def encode(self, body: dict[str, Any] | bytes) -> bytes:
        """The bytes that `post` sends."""
        return body if isinstance(body, bytes) else json.dumps({"model": self.model, **body}).encode()

    def metrics(self) -> "Metrics":
        """The engine's counters, now."""
        answer = self.get("/metrics")
        assert answer.status == 200
        return Metrics.parse(answer.body.decode())

    def metrics_when(self, name: str, value: float, patience: float = 5.0) -> "Metrics":
        """Wait until a metric has a value; it is published a moment after the answer. Returns the last state anyway."""
        deadline = time.monotonic() + patience
        while (metrics := self.metrics())[name] != value and time.monotonic() < deadline:
            time.sleep(0.02)
        return metrics

    def _headers(self, more: dict[str, str]) -> dict[str, str]:
        ours = {"Content-Type": "application/json", "Authorization": f"Bearer {self.api_key}"}
        return ours | {name.replace("_", "-"): value for name, value in more.items()}

    def _exchange(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return Answer(
                response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
            )
        finally:
            connection.close()


@dataclass(frozen=True)
class Metrics:
    """Prometheus samples, summed over their labels."""

    sums: dict[str, float] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "Metrics":
        """From the text exposition format."""
        sums: dict[str, float] = {}
        for line in text.splitlines():
            if line and not line.startswith("#"):
                series, value = line.rsplit(" ", 1)
                name = series.partition("{")[0]
                sums[name] = sums.get(name, 0.0) + float(value)
        return cls(sums)

    def __getitem__(self, name: str) -> float:
        return self.sums[name]

    def tokens_since(self, before: "Metrics") -> tuple[int, int]:
        """Prompt and generated tokens counted since."""
        names = ("vllm:prompt_tokens_total", "vllm:generation_tokens_total")
        prompt, generated = (int(self[name] - before[name]) for name in names)
        return prompt, generated


def hang_up(connection: http.client.HTTPConnection) -> None:
    """Close for good: closing alone would wait for a response object that still has the socket."""
    if connection.sock is not None:
        with contextlib.suppress(OSError):  # the other side was faster
            connection.sock.shutdown(socket.SHUT_RDWR)
    connection.close()


def message(content: str) -> list[dict[str, Any]]:
    """A conversation of one user message."""
    return [{"role": "user", "content": content}]


def figures(usage: dict[str, Any]) -> tuple[int, int]:
    """Prompt and completion tokens of a usage object, after checking that it adds up and counts in integers."""
    prompt, completion = usage["prompt_tokens"], usage.get("completion_tokens", 0)
    assert type(prompt) is int
    assert type(completion) is int
    assert usage["total_tokens"] == prompt + completion
    return prompt, completion
