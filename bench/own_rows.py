"""The rows that are about us alone: latency less its commits, four processes, pages beside streams, the ledger."""

import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping

import msgspec

from bench import pages as pages_client
from bench import rows
from bench.accounts import environment_of
from bench.commits import Took
from bench.load import Work
from bench.machine import on, taken
from bench.session import BEFFROI, DIRECT, EVERYBODY, FOUR, POSTGRES, Session, say
from bench.table import Goal, Line

PAGES_PER_S = 200
BESIDE_S = 8.0


def latency(session: Session) -> list[Line]:
    """One connection: what each adds to the engine's own time, and what of ours is not the two commits.

    Short rounds, and the commits are taken off round by round: what a disk needs for one changes within seconds.
    """
    of = "one connection"
    commits: list[Took] = []
    results = session.in_turn(
        EVERYBODY,
        Work(connections=1, warm_s=0.3, window_s=1),
        rounds=2 if session.is_quick else 9,
        after_round=lambda: commits.append(_commits(session)),
    )
    whole = results.medians(lambda outcome: outcome.latency.p50)
    added = {name: figure - whole[DIRECT] for name, figure in whole.items() if name != DIRECT}
    rounds = zip(results.outcomes[BEFFROI], results.outcomes[DIRECT], commits, strict=True)
    less = statistics.median(ours.latency.p50 - direct.latency.p50 - took.both for ours, direct, took in rounds)
    admit, settle = (statistics.median(getattr(took, name) for took in commits) for name in ("admit", "settle"))
    what = f"less the two commits ({admit:.2f} + {settle:.2f} ms), ms"
    return [
        Line(of, "p50, ms", whole),
        Line(of, "added to direct's p50, ms", added),
        Line(of, "CPU µs a request", rows.cpu(results, rows.requests)),
        Line(of, what, {BEFFROI: less}, [Goal("at most", 0.6, less)]),
    ]


def _commits(session: Session) -> Took:
    """The ledger's two calls, by a process on the gateway's core."""
    installation = session.installations[BEFFROI]
    count = 200
    with on(session.cores.gateway):
        done = subprocess.run(
            [sys.executable, "-m", "bench.commits", str(count)],
            capture_output=True,
            env=environment_of(installation.home, installation.environment),
            check=True,
        )
    took = msgspec.json.decode(done.stdout, type=Took)
    say(f"  commits: hold {took.admit:.2f} ms, charge {took.settle:.2f} ms, both {took.both:.2f} ms")
    return took


def four(session: Session) -> list[Line]:
    """Four gateway processes beside one."""
    lines = []
    for connections, words in ((64, "64 connections in all"), (256, "64 connections a process")):
        one = session.in_turn((BEFFROI,), Work(connections=64), most_rounds=2)
        results = session.in_turn((FOUR,), Work(connections=connections), most_rounds=2)
        prices = rows.cpu(one, rows.requests) | rows.cpu(results, rows.requests)
        goal = [Goal("1.2x that of one", 1.2 * prices[BEFFROI], prices[FOUR])]
        figures = {BEFFROI: f"{prices[FOUR]:.3g} (one process: {prices[BEFFROI]:.3g})"}
        lines.append(Line(f"4 processes, {words}", "CPU µs a request", figures, goal))
    return lines


def pages(session: Session) -> list[Line]:
    """Paced streams while the management API is asked for usage records."""
    of = "100 paced streams beside /api/usage/records"
    target = session.target(BEFFROI)
    assert target is not None  # it starts or the run ends
    client = pages_client.Work(target.port, target.key, PAGES_PER_S, BESIDE_S)
    django = session.installations[BEFFROI].pids("django")
    before = taken(django).cpu_s
    with on(session.cores.load):
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.pages"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ
        )
    work = msgspec.structs.replace(rows.PACED, window_s=BESIDE_S - 2)
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(client))
    process.stdin.close()
    outcome = session.measure(BEFFROI, work)
    assert process.stdout is not None
    saw = msgspec.json.decode(process.stdout.read(), type=pages_client.Saw)
    process.wait()
    page_ms = 1000 * (taken(django).cpu_s - before) / max(1, saw.per_second * BESIDE_S)
    session.wrong += [f"usage records: {count} x {what}" for what, count in saw.faults.items()]
    gaps = {BEFFROI: outcome.gap.p99} if outcome else {}
    return [
        Line(of, "p99 of the longest gaps, ms", gaps, rows.below(gaps, 250)),
        Line(of, f"pages/s of {saw.records} records, of {PAGES_PER_S} asked for", {BEFFROI: saw.per_second}),
        Line(of, "Django's CPU, ms a page", {BEFFROI: page_ms}),
    ]


def ledger(session: Session) -> list[Line]:
    """The ledger alone, by as many processes."""
    seconds, rounds = (2, 1) if session.is_quick else (4, min(session.rounds, 3))
    done = subprocess.run([sys.executable, "-c", _LEDGER.format(seconds, rounds)], capture_output=True, check=True)
    measured = {
        int(row.processes): row for row in msgspec.json.decode(done.stdout, type=list[_Pairs]) if row.in_flight > 1
    }
    lines = []
    for processes, row in measured.items():
        goals = [Goal("at least", 8000, row.pairs_per_s, at_least=True)]
        if processes > 1:
            goals.append(Goal("no less than one process", measured[1].pairs_per_s, row.pairs_per_s, at_least=True))
        of = f"ledger alone, {processes} {'process' if processes == 1 else 'processes'}"
        figures: dict[str, float | str] = {BEFFROI: row.pairs_per_s, POSTGRES: f"{row.backends_us:.0f} µs CPU a pair"}
        lines.append(Line(of, "holds and charges, pairs/s", figures, goals))
    return lines


# In a process of its own, as it brings Django and a PostgreSQL of its own.
_LEDGER = """
import sys, msgspec
from bench.ledger import measure
sys.stdout.buffer.write(msgspec.json.encode(measure({}, {})))
"""


class _Pairs(msgspec.Struct):
    """What we take of a row of bench.ledger: medians, so none is an integer."""

    processes: float
    in_flight: float
    pairs_per_s: float
    backends_us: float


ROWS: Mapping[str, Callable[[Session], list[Line]]] = {
    "nonstream": rows.nonstream,
    "paced": rows.paced,
    "unpaced": rows.unpaced,
    "thousand": rows.thousand,
    "idle": rows.idle,
    "latency": latency,
    "four": four,
    "pages": pages,
    "big": rows.big,  # after those that look at memory
    "ledger": ledger,
}
