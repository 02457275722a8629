"""What the engines say that they did: their journals, read on as they grow, and what was in them at a past moment."""

import json
import os
import time
from bisect import bisect_right
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Attempt:
    """One request as one engine saw it; `progress` is (offset in the journal, choice, its tokens on the wire)."""

    engine: str
    request_id: str | None
    endpoint: str
    stream: bool
    prompt_tokens: int
    began_at: float
    wire: dict[int, int] = field(default_factory=dict)
    progress: list[tuple[int, int, int]] = field(default_factory=list)
    usage: dict[str, Any] | None = None
    ended: str = ""
    ended_at: float = 0.0

    @property
    def tokens_on_wire(self) -> int:
        """Of a stream, all choices together."""
        return sum(self.wire.values())

    @property
    def tokens_made(self) -> int:
        """Those of its final usage, else those on the wire."""
        return self.usage["completion_tokens"] if self.usage else self.tokens_on_wire

    def tokens_before(self, offset: int) -> int:
        """What was on the wire when the journal had so many bytes."""
        latest = {choice: tokens for at, choice, tokens in self.progress if at <= offset}
        return sum(latest.values())


class Journal:
    """One engine's journal."""

    def __init__(self, engine: str, path: Path) -> None:
        self.engine, self._path = engine, path
        self._read = 0
        self._unfinished = b""
        self.attempts: dict[str, Attempt] = {}
        self.lines = 0
        self._moments: list[float] = []
        self._sizes: list[int] = []

    def sample(self) -> None:
        """Note how long it is now, for `size_at`."""
        try:
            size = os.stat(self._path).st_size
        except FileNotFoundError:
            return
        self._moments.append(time.time())
        self._sizes.append(size)

    def size_at(self, moment: float) -> int:
        """At most what it had at that moment (Unix seconds)."""
        place = bisect_right(self._moments, moment)
        return self._sizes[place - 1] if place else 0

    def read_on(self) -> None:
        """Take what was written since."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._read)
                data = file.read()
        except FileNotFoundError:
            return
        start = self._read - len(self._unfinished)
        self._read += len(data)
        *lines, self._unfinished = (self._unfinished + data).split(b"\n")
        for line in lines:
            start += len(line) + 1
            self.lines += 1
            self._take(json.loads(line), start)

    def _take(self, line: dict[str, Any], offset: int) -> None:
        kind = line["e"]
        if kind == "start":
            self.attempts[line["s"]] = Attempt(
                engine=self.engine,
                request_id=line["id"],
                endpoint=line["endpoint"],
                stream=line["stream"],
                prompt_tokens=line["prompt_tokens"],
                began_at=line["t"],
            )
            return
        attempt = self.attempts.get(line.get("s", ""))
        if attempt is None:
            return
        if kind == "k":
            attempt.wire[line["c"]] = line["k"]
            attempt.progress.append((offset, line["c"], line["k"]))
        elif kind == "usage":
            attempt.usage = line
        elif kind == "end":
            attempt.ended, attempt.ended_at = line["reason"], line["t"]


def by_request(journals: list[Journal]) -> dict[str, list[Attempt]]:
    """The attempts of each request, the oldest first. Probes of the worker have no request id and are not in it."""
    found: dict[str, list[Attempt]] = {}
    for journal in journals:
        for attempt in journal.attempts.values():
            if attempt.request_id:
                found.setdefault(attempt.request_id, []).append(attempt)
    for attempts in found.values():
        attempts.sort(key=lambda attempt: attempt.began_at)
    return found
