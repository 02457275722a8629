"""The state of one engine process: what runs, what was counted, and the journal."""

import asyncio
import time
from email.utils import formatdate
from typing import Protocol

from gateway.simulated_engine import metrics
from gateway.simulated_engine.config import Config
from gateway.simulated_engine.journal import Journal
from gateway.simulated_engine.pacer import Pacer
from gateway.simulated_engine.work import Work

VERSION = "0.32.0+simulated"
KV_TOKENS = 1_000_000
"""What the simulated key-value cache holds, for `kv_cache_usage_perc`."""


class Running(Protocol):
    """An answer under way."""

    work: Work

    def abort(self) -> None:
        """Stop at once: nobody reads it any more."""

    def interrupt(self) -> None:
        """Stop and tell the client that the engine gave up."""


class Engine:
    """Everything that the connections of a process share."""

    def __init__(self, config: Config, loop: asyncio.AbstractEventLoop) -> None:
        self.config, self.loop = config, loop
        self.pacer = Pacer(loop)
        self.journal = Journal(config.journal, list(config.models)) if config.journal else None
        self.counters = {model: metrics.Counters() for model in config.models}
        self.running: set[Running] = set()
        self.sleeping = False
        self.began_at = time.time()
        self.created = int(self.began_at)
        self._dated = (0, b"")

    def interrupt_all(self) -> None:
        """End every answer under way with an error."""
        for answer in list(self.running):
            answer.interrupt()

    def head(self, status: bytes, fields: bytes) -> bytes:
        """The head of a response up to its empty line; `status` is code and reason, `fields` lines that end in CR
        LF."""
        now = int(time.time())
        if self._dated[0] != now:
            date = formatdate(now, usegmt=True).encode()
            self._dated = (now, b"\r\ndate: " + date + b"\r\nserver: beffroi-simulated\r\nx-simulated-engine: true\r\n")
        return b"".join((b"HTTP/1.1 ", status, self._dated[1], fields, b"\r\n"))

    def metrics(self) -> str:
        """The Prometheus text."""
        running = dict.fromkeys(self.config.models, 0.0)
        held = dict.fromkeys(self.config.models, 0.0)
        for answer in self.running:
            work = answer.work
            running[work.model] += work.running
            held[work.model] += work.all_prompt_tokens + sum(choice.made for choice in work.choices)
        gauges = {
            "num_requests_running": running,
            "num_requests_waiting": dict.fromkeys(running, 0.0),
            "kv_cache_usage_perc": {model: min(1.0, tokens / KV_TOKENS) for model, tokens in held.items()},
        }
        return metrics.render(self.began_at, gauges, self.counters)
