"""What an engine says of itself at `/metrics`: how many tokens it counted since its process began, sampled for
`gateway/pools/reconciliation.py`. vLLM's names, in Prometheus' text format.

vLLM runs each choice of a request as a request of its own, so it counts a prompt once a choice; the histograms count
those that came to their end, so that what is missing from them was aborted, or is under way.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from billing.clock import database_now
from gateway.pools.models import EngineSample, Replica
from gateway.pools.registry import key_of
from identity import egress
from identity.secret_box import SecretBoxError

SAMPLE_SECONDS = 10.0  # the page is made from memory; an engine that takes longer has other troubles
PAGE_BYTES_MAX = 4 * 1024 * 1024  # vLLM's has 60 KB a model
_SERIES = re.compile(r"(?P<name>[a-z_]+(?::[a-z_]+)?)(?:\{(?P<labels>.*)\})? (?P<value>[0-9.e+-]+)")
_MODEL = re.compile(r'(?:^|,)model_name="(?P<model>(?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")


class NoCounters(Exception):
    """Why an engine's counters cannot be had, in words."""


class Unanswered(NoCounters):
    """The engine did not answer at all, or not in time. `asked_at`: by the database's clock."""

    def __init__(self, words: str, asked_at: datetime) -> None:
        super().__init__(words)
        self.asked_at = asked_at


@dataclass(frozen=True, slots=True)
class Counters:
    """Tokens since the engine's process began (`began_at`), None for what this engine does not tell.

    finished_*: of choices that came to their end; extra_choices: choices that requests asked for beyond their first.
    running, waiting: requests that it works on, and that wait in it, now. kv_cache_usage: 0 to 1, of its fullest rank.
    """

    prompt_tokens: int
    generation_tokens: int
    began_at: datetime | None = None
    finished_prompt_tokens: int | None = None
    finished_generation_tokens: int | None = None
    extra_choices: int | None = None
    running: int | None = None
    waiting: int | None = None
    kv_cache_usage: float | None = None


def parse_counters(page: str, served_name: str) -> Counters:
    """The counters of the model, by the engine's name for it, over all its data-parallel ranks. Raises NoCounters."""
    sums: dict[str, dict[str, int]] = {}
    fullest: dict[str, float] = {}
    began_at = None
    for series in map(_SERIES.fullmatch, page.splitlines()):
        if series is None:
            continue
        if series["name"] == "process_start_time_seconds":
            began_at = datetime.fromtimestamp(float(series["value"]), UTC)
        elif series["name"].startswith("vllm:") and (match := _MODEL.search(series["labels"] or "")):
            model, value = _ESCAPED.sub(r"\1", match["model"]), float(series["value"])
            of_model = sums.setdefault(model, {})
            name = series["name"].removeprefix("vllm:")
            of_model[name] = of_model.get(name, 0) + int(value)
            if name == "kv_cache_usage_perc":
                fullest[model] = max(value, fullest.get(model, 0.0))
    found = sums.get(served_name)
    if found is None and len(sums) == 1:  # it goes by its first name there, and serves under another one too
        [(served_name, found)] = sums.items()
    if found is None or "prompt_tokens_total" not in found or "generation_tokens_total" not in found:
        raise NoCounters(f"It counts no tokens of {served_name} at /metrics.")
    asked, requests = found.get("request_params_n_sum"), found.get("request_params_n_count")
    return Counters(
        prompt_tokens=found["prompt_tokens_total"],
        generation_tokens=found["generation_tokens_total"],
        began_at=began_at,
        finished_prompt_tokens=found.get("request_prompt_tokens_sum"),
        finished_generation_tokens=found.get("request_generation_tokens_sum"),
        extra_choices=None if asked is None or requests is None else asked - requests,
        running=found.get("num_requests_running"),
        waiting=found.get("num_requests_waiting"),
        kv_cache_usage=fullest.get(served_name),
    )


def sample_replica(replica: Replica) -> EngineSample:
    """Read a replica's counters once and keep them, between two times of the database's clock. Raises NoCounters."""
    asked_at = database_now()
    counters = _read(replica, asked_at)
    return EngineSample.objects.create(
        pool=replica.pool.name,
        replica=replica.name,
        asked_at=asked_at,
        at=database_now(),
        began_at=counters.began_at,
        prompt_tokens=counters.prompt_tokens,
        generation_tokens=counters.generation_tokens,
        finished_prompt_tokens=counters.finished_prompt_tokens,
        finished_generation_tokens=counters.finished_generation_tokens,
        extra_choices=counters.extra_choices,
        running=counters.running,
        waiting=counters.waiting,
        kv_cache_usage=counters.kv_cache_usage,
    )


def _read(replica: Replica, asked_at: datetime) -> Counters:
    try:
        key = key_of(replica)
        answer = egress.fetch(
            "GET",
            f"{replica.url}/metrics",
            headers={"Authorization": f"Bearer {key}"} if key else {},
            allow_private=True,
            total_seconds=SAMPLE_SECONDS,
            response_bytes_max=PAGE_BYTES_MAX,
        )
    except SecretBoxError:
        raise NoCounters("Its key cannot be decrypted: register it again.") from None
    except (egress.Unreachable, egress.TimedOut) as error:
        raise Unanswered(f"It does not answer: {error}.", asked_at) from None
    except egress.EgressError as error:
        raise NoCounters(f"It gives no page: {error}.") from None
    if answer.status != 200:
        raise NoCounters(f"It answers /metrics with status {answer.status}.")
    return parse_counters(answer.body.decode("utf-8", "replace"), replica.pool.served_name)
