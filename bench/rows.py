"""The rows that every gateway is measured in: what is sent, and what of the answer is a figure."""

from collections.abc import Callable

from bench.load import Outcome, Work
from bench.session import BEFFROI, EVERYBODY, NGINX, POSTGRES, ROUTER, Results, Session, cpu_us
from bench.table import Goal, Line, at_most

MB = 1_000_000
PACED = Work(connections=100, is_stream=True, pause_ms=20, spread_s=1, warm_s=0.5)


def nonstream(session: Session) -> list[Line]:
    """Requests that are not streamed, 64 connections."""
    of = "not streamed, 64 connections"
    results = session.in_turn(EVERYBODY, Work(connections=64))
    prices = cpu(results, requests)
    return [
        Line(
            of,
            "CPU µs a request",
            prices,
            at_most("vllm-router's", prices, ROUTER, 1),
            at_most("0.75x vllm-router's", prices, ROUTER, 0.75),
        ),
        Line(of, "requests/s", results.medians(per_second)),
        Line(of, "p50, ms", results.medians(lambda outcome: outcome.latency.p50)),
        Line(of, "p99, ms", results.medians(lambda outcome: outcome.latency.p99)),
    ]


def paced(session: Session) -> list[Line]:
    """100 streams at 20 ms a token."""
    of = "100 streams paced at 20 ms"
    results = session.in_turn(EVERYBODY, PACED)
    prices = cpu(results, chunks)
    return [
        Line(
            of,
            "CPU µs a chunk",
            prices,
            at_most("vllm-router's", prices, ROUTER, 1),
            at_most("1.2x nginx's", prices, NGINX, 1.2),
        ),
        Line(of, "p99 of the longest gaps, ms", results.medians(lambda outcome: outcome.gap.p99)),
    ]


def unpaced(session: Session) -> list[Line]:
    """64 streams as fast as it goes."""
    of = "64 streams unpaced"
    results = session.in_turn(EVERYBODY, Work(connections=64, is_stream=True), most_rounds=3)
    return [
        Line(of, "CPU µs a chunk", cpu(results, chunks)),
        Line(of, "chunks/s", results.medians(lambda outcome: outcome.chunks / outcome.seconds)),
    ]


def big(session: Session) -> list[Line]:
    """Prompts of 400 KB."""
    of = "400 KB prompts, 16 connections"
    results = session.in_turn(EVERYBODY, Work(connections=16, prompt_bytes=400 * 1024), most_rounds=3)
    prices = cpu(results, requests)
    return [
        Line(of, "CPU µs a request", prices, at_most("vllm-router's", prices, ROUTER, 1)),
        Line(of, "requests/s", results.medians(per_second)),
    ]


def thousand(session: Session) -> list[Line]:
    """1,000 streams at once, paced at 20 ms."""
    of = "1,000 streams paced at 20 ms"
    work = Work(connections=1000, is_stream=True, pause_ms=20, each=1)
    results = session.in_turn(EVERYBODY, work, most_rounds=3)
    done, took, gaps, memory = (
        results.medians(figure)
        for figure in (requests, lambda outcome: outcome.latency.p50, lambda outcome: outcome.gap.p99, rss_mb)
    )
    return [
        Line(of, "completed", done, at_least("all", done, 1000)),
        Line(of, "median time, ms", took, at_most("1.1x vllm-router's", took, ROUTER, 1.1)),
        Line(of, "p99 of the longest gaps, ms", gaps, below(gaps, 250)),
        Line(of, "memory at most, MB", memory, below(memory, 120)),
    ]


def idle(session: Session) -> list[Line]:
    """5,000 streams that get a token every 5 s."""
    of = "5,000 streams, a token every 5 s"
    work = Work(connections=5000, is_stream=True, pause_ms=5000, each=1, tokens=1 if session.is_quick else 5)
    results = session.in_turn((BEFFROI,), work, most_rounds=1)
    done, memory = results.medians(requests), results.medians(rss_mb)
    return [
        Line(of, "completed", done, at_least("all", done, 5000)),
        Line(of, "memory at most, MB", memory, below(memory, 500)),
    ]


def at_least(rule: str, figures: dict[str, float], limit: float) -> list[Goal]:
    """Ours at least so much."""
    return [Goal(rule, limit, figures[BEFFROI], at_least=True)] if BEFFROI in figures else []


def below(figures: dict[str, float], limit: float) -> list[Goal]:
    """Ours at most so much."""
    return [Goal("at most", limit, figures[BEFFROI])] if BEFFROI in figures else []


def requests(outcome: Outcome) -> int:
    """Requests that were answered in full."""
    return outcome.requests


def chunks(outcome: Outcome) -> int:
    """Data events."""
    return outcome.chunks


def per_second(outcome: Outcome) -> float:
    """Requests a second."""
    return outcome.requests / outcome.seconds


def rss_mb(outcome: Outcome) -> float | None:
    """The most memory that the gateway had."""
    rss_bytes = outcome.rss_bytes.get("gateway")
    return None if rss_bytes is None else rss_bytes / MB


def cpu(results: Results, units: Callable[[Outcome], int]) -> dict[str, float]:
    """CPU µs a unit of each gateway, and of our PostgreSQL."""
    gateways = results.medians(lambda outcome: cpu_us(outcome, "gateway", units(outcome)))
    postgres = results.medians(lambda outcome: cpu_us(outcome, "postgres", units(outcome)))
    return gateways | ({POSTGRES: postgres[BEFFROI]} if BEFFROI in postgres else {})
