"""The state of one engine process: what runs, what was counted, and the journal."""

import asyncio
import time
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Protocol

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


@dataclass(slots=True)
class Counters:
    """vLLM's counters of one model, since the start; in tokens, requests by their finish reason."""

    prompt: int = 0
    generated: int = 0
    cache_queries: int = 0
    cache_hits: int = 0
    finished: dict[str, int] = field(default_factory=lambda: {"stop": 0, "length": 0, "abort": 0})


class Engine:
    """Everything that the connections of a process share."""

    def __init__(self, config: Config, loop: asyncio.AbstractEventLoop) -> None:
        self.config, self.loop = config, loop
        self.pacer = Pacer(loop)
        self.journal = Journal(config.journal, list(config.models)) if config.journal else None
        self.counters = {model: Counters() for model in config.models}
        self.running: set[Running] = set()
        self.sleeping = False
        self.created = int(time.time())
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
        """The Prometheus text, with vLLM's names."""
        lines: list[str] = []
        for name, kind, values in self._series():
            lines.append(f"# TYPE vllm:{name} {kind}")
            lines += [f"vllm:{name}{{{labels}}} {value}" for labels, value in values]
        return "\n".join(lines) + "\n"

    def _series(self) -> list[tuple[str, str, list[tuple[str, float]]]]:
        running = dict.fromkeys(self.config.models, 0)
        held = dict.fromkeys(self.config.models, 0)
        for answer in self.running:
            running[answer.work.model] += 1
            held[answer.work.model] += answer.work.all_prompt_tokens + sum(
                choice.made for choice in answer.work.choices
            )
        labels = {model: f'engine="0",model_name="{model}"' for model in self.config.models}
        each = [(labels[model], counted) for model, counted in self.counters.items()]
        return [
            ("num_requests_running", "gauge", [(labels[model], value) for model, value in running.items()]),
            ("num_requests_waiting", "gauge", [(labels[model], 0) for model in running]),
            ("kv_cache_usage_perc", "gauge", [(labels[m], min(1.0, value / KV_TOKENS)) for m, value in held.items()]),
            ("prompt_tokens_total", "counter", [(label, counted.prompt) for label, counted in each]),
            ("generation_tokens_total", "counter", [(label, counted.generated) for label, counted in each]),
            ("prefix_cache_queries_total", "counter", [(label, counted.cache_queries) for label, counted in each]),
            ("prefix_cache_hits_total", "counter", [(label, counted.cache_hits) for label, counted in each]),
            (
                "request_success_total",
                "counter",
                [
                    (f'{label},finished_reason="{reason}"', value)
                    for label, counted in each
                    for reason, value in counted.finished.items()
                ],
            ),
        ]
