"""What the agent asks an engine: whether it answers, how busy it is, to sleep and to wake up."""

import re
from http import HTTPStatus

import msgspec

from identity import egress

LOOK_SECONDS = 3.0
SLEEP_SECONDS = 180.0  # its weights go to the machine's memory, or come back
PAGE_BYTES_MAX = 4 * 1024 * 1024  # vLLM's has 60 KB a model
# `engine` is the data-parallel rank: requests add up over ranks, and the fullest cache counts.
_SERIES = re.compile(
    r"^vllm:(num_requests_running|num_requests_waiting|kv_cache_usage_perc)(?:\{.*\})? ([0-9.e+-]+)$",
    re.MULTILINE,
)


class Figures(msgspec.Struct, frozen=True):
    """Requests that an engine works on and that wait in it, and the part of its KV cache that is taken (0 to 1)."""

    running: int = 0
    waiting: int = 0
    kv_cache_use: float = 0.0


def answers(url: str) -> bool:
    """Whether the engine is ready: it answers GET /health with 200."""
    try:
        return (
            egress.fetch("GET", f"{url}/health", allow_private=True, total_seconds=LOOK_SECONDS).status == HTTPStatus.OK
        )
    except egress.EgressError:
        return False


def figures(url: str) -> Figures | None:
    """How busy it is; None where it does not say."""
    try:
        answer = egress.fetch(
            "GET",
            f"{url}/metrics",
            allow_private=True,
            total_seconds=LOOK_SECONDS,
            response_bytes_max=PAGE_BYTES_MAX,
        )
    except egress.EgressError:
        return None
    return parse_figures(answer.body.decode(errors="replace")) if answer.status == HTTPStatus.OK else None


def parse_figures(page: str) -> Figures:
    """The figures of a page in Prometheus' text format, by vLLM's names."""
    running = waiting = 0
    use = 0.0
    for name, value in _SERIES.findall(page):
        match name:
            case "num_requests_running":
                running += int(float(value))
            case "num_requests_waiting":
                waiting += int(float(value))
            case _:
                use = max(use, float(value))
    return Figures(running, waiting, round(min(use, 1.0), 4))


def sleep(url: str) -> bool:
    """Let it give its GPUs' memory back: weights to the machine's memory, the cache dropped (vLLM's level 1).

    Whatever it worked on is aborted: the platform has drained it before.
    """
    return _posted(f"{url}/sleep?level=1")


def wake_up(url: str) -> bool:
    """Let it take its memory again. Whether it did."""
    return _posted(f"{url}/wake_up")


def _posted(url: str) -> bool:
    try:
        answer = egress.fetch("POST", url, body=b"", allow_private=True, total_seconds=SLEEP_SECONDS)
    except egress.EgressError:
        return False
    return answer.status == HTTPStatus.OK
