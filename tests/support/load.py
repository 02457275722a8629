"""Clients that ask on and on, each on a connection that it keeps, and never a second time: a failure is a failure."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

PATIENCE_S = 60


@dataclass(frozen=True)
class Told:
    """What became of one request. `trouble`: "" for the whole answer that was expected; `waited`: seconds to a head."""

    what: str
    trouble: str
    request_id: str
    waited: float


Ask = Callable[[http.client.HTTPConnection], Told]
Connect = Callable[[], http.client.HTTPConnection]


def chat(model: str, key: str, *, stream: bool, **members: object) -> Ask:
    """A small chat request, whole only with its charge, or streamed up to its `[DONE]`."""
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 5, "stream": stream}
    data = json.dumps(body | members)
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    return _asking("POST", "/v1/chat/completions", data, headers, b"data: [DONE]\n\n" if stream else b"}")


def page(path: str, key: str = "") -> Ask:
    """A GET of Django's."""
    return _asking("GET", path, None, {"authorization": f"Bearer {key}"} if key else {}, b"")


def new_key(key: str) -> Ask:
    """A POST that writes: a key with the powers of an inference key, made by one that may manage keys."""
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    return _asking("POST", "/api/keys", '{"name": "made under load", "scopes": ["inference"]}', headers, b"}", 201)


def form(path: str, status: int) -> Ask:
    """A POST to Django, which may not be sent twice, and the status that it deserves."""
    return _asking("POST", path, "a=b", {"content-type": "application/x-www-form-urlencoded"}, b"", status)


def _asking(method: str, path: str, data: str | None, headers: dict[str, str], end: bytes, status: int = 200) -> Ask:
    def ask(connection: http.client.HTTPConnection) -> Told:
        began = time.monotonic()
        request_id, waited = "", 0.0
        try:
            connection.request(method, path, data, headers)
            response = connection.getresponse()
            waited = time.monotonic() - began
            request_id = response.headers.get("x-request-id", "")
            content = response.read()
            is_whole = response.status == status and content.rstrip(b"\n").endswith(end.rstrip(b"\n"))
            trouble = "" if is_whole else f"{response.status} {content[-300:]!r}"
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            trouble = f"{type(error).__name__}: {error}"
        return Told(f"{method} {path}", trouble, request_id, waited)

    return ask


class Load:
    """A client for each of `asks`; a context manager that starts them and lets each finish what it is at."""

    def __init__(self, connect: Connect | Sequence[Connect], asks: Sequence[Ask], pause_s: float = 0.02) -> None:
        doors = connect if isinstance(connect, Sequence) else [connect]
        self.told: list[Told] = []
        self._over = threading.Event()
        self._pause_s = pause_s
        self._threads = [
            threading.Thread(target=self._ask_on, args=(doors[number % len(doors)], ask), daemon=True)
            for number, ask in enumerate(asks)
        ]

    def _ask_on(self, connect: Connect, ask: Ask) -> None:
        connection = connect()
        while not self._over.wait(self._pause_s):
            self.told.append(ask(connection))
        connection.close()

    @property
    def failures(self) -> list[str]:
        """What went wrong."""
        return [f"{told.what}: {told.trouble}" for told in self.told if told.trouble]

    @property
    def answered(self) -> set[str]:
        """The ids of the requests that got a whole answer."""
        return {told.request_id for told in self.told if not told.trouble}

    def wait_for_more(self, count: int) -> None:
        """Until so many further requests were answered, or one failed."""
        wanted, deadline = len(self.told) + count, time.monotonic() + PATIENCE_S
        while len(self.told) < wanted and not self.failures:
            assert time.monotonic() < deadline, f"only {len(self.told)} of {wanted} answers came"
            time.sleep(0.02)

    def report(self, what: str) -> str:
        """The figures in one line."""
        longest = max(self.told, key=lambda told: told.waited)
        waited = f"longest wait {longest.waited:.1f} s ({longest.what})"
        return f"{what}: {len(self.told)} requests, {len(self.failures)} failed, {waited}"

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        self.wait_for_more(len(self._threads))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)
