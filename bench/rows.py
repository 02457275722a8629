"""The rows of the table: what is sent, and what of the answer is a figure."""

from collections.abc import Callable, Mapping

from bench.load import Outcome, Work
from bench.session import BEFFROI, EVERYBODY, NGINX, ROUTER, Results, Session, cpu_us
from bench.table import Line, at_most

POSTGRES = "its PostgreSQL"


def nonstream(session: Session) -> list[Line]:
    """Requests that are not streamed, 64 connections."""
    results = session.in_turn(EVERYBODY, Work(port=0, key="", connections=64, window_s=_window(session)))
    cpu = _cpu(results, lambda outcome: outcome.requests)
    reach = at_most("below vllm-router's", cpu, ROUTER, 1)
    return [
        Line(
            "non-streamed, 64 connections: CPU us a request",
            cpu,
            reach,
            at_most("0.75x vllm-router's", cpu, ROUTER, 0.75),
        ),
        Line("the same: requests/s", results.medians(_requests_per_s)),
        Line("the same: p99, ms", results.medians(lambda outcome: outcome.latency.p99)),
    ]


def paced(session: Session) -> list[Line]:
    """100 streams at 20 ms a token."""
    work = Work(
        port=0, key="", connections=100, is_stream=True, pause_ms=20, spread_s=1, warm_s=0.5, window_s=_window(session)
    )
    results = session.in_turn(EVERYBODY, work)
    cpu = _cpu(results, lambda outcome: outcome.chunks)
    reach = at_most("below vllm-router's", cpu, ROUTER, 1)
    return [
        Line("100 streams paced at 20 ms: CPU us a chunk", cpu, reach, at_most("1.2x nginx's", cpu, NGINX, 1.2)),
        Line("the same: p99 of the longest gap, ms", results.medians(lambda outcome: outcome.gap.p99)),
    ]


def unpaced(session: Session) -> list[Line]:
    """64 streams as fast as it goes."""
    results = session.in_turn(
        EVERYBODY, Work(port=0, key="", connections=64, is_stream=True, window_s=_window(session))
    )
    return [
        Line("64 streams unpaced: CPU us a chunk", _cpu(results, lambda outcome: outcome.chunks)),
        Line("the same: chunks/s", results.medians(lambda outcome: outcome.chunks / outcome.seconds)),
    ]


def big(session: Session) -> list[Line]:
    """Prompts of 400 KB."""
    work = Work(port=0, key="", connections=16, prompt_bytes=400 * 1024, window_s=_window(session))
    results = session.in_turn(EVERYBODY, work)
    cpu = _cpu(results, lambda outcome: outcome.requests)
    return [
        Line("400 KB prompts, 16 connections: CPU us a request", cpu, at_most("below vllm-router's", cpu, ROUTER, 1)),
        Line("the same: requests/s", results.medians(_requests_per_s)),
    ]


def _window(session: Session) -> float:
    return 2 if session.is_quick else 3


def _requests_per_s(outcome: Outcome) -> float:
    return outcome.requests / outcome.seconds


def _cpu(results: Results, units: Callable[[Outcome], int]) -> dict[str, float]:
    """CPU us a unit of each gateway, and of our PostgreSQL."""
    gateways = results.medians(lambda outcome: cpu_us(outcome, "gateway", units(outcome)))
    postgres = results.medians(lambda outcome: cpu_us(outcome, "postgres", units(outcome)))
    return gateways | ({POSTGRES: postgres[BEFFROI]} if BEFFROI in postgres else {})


ROWS: Mapping[str, Callable[[Session], list[Line]]] = {
    "nonstream": nonstream,
    "paced": paced,
    "unpaced": unpaced,
    "big": big,
}
