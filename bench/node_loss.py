"""What clients see when a node is lost: `python -m bench.node_loss [pulled] [killed]`, as root, some four minutes.

Twelve nodes in network namespaces of their own run two simulated engines each, of six models; clients ask two gateways
for answers of one to three seconds, streamed or not, at random moments. In the middle a node is lost: its cable is
pulled (nothing says that it is gone), or all that runs there is killed. Everything but the machines is real: processes,
TCP, PostgreSQL. Afterwards the books are audited by the rules of `tests/crash`.
"""

import argparse
import asyncio
import random
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.crash.clients import Transcript, Wish
    from tests.failures.fleet import Crowd, Fleet, Node

NODES, MODELS, SHARES, GATEWAYS = 12, 6, 2, 2
RATE, BEFORE_S, AFTER_S = 40.0, 15.0, 75.0
USUAL_S = 20.0  # after the loss; the percentiles of then are those of a fleet that got over it
PULLED, KILLED = "pulled", "killed"


@dataclass(frozen=True)
class Loss:
    """What a loss cost. Counts of requests; seconds. `cut`: streams under way on the node, which ended with an error;
    `others`: whoever else got no whole answer; `retried`: answered by another engine than first asked, `twice` by the
    third; `late`: of those begun once a gateway knew, sent to the node all the same; `violations` of the books.
    """

    requests: int
    cut: int
    others: list[str]
    retried: int
    twice: int
    late: int
    slowest_retried_s: float
    longest_cut_s: float
    violations: list[str]

    @property
    def failed(self) -> int:
        """Requests without a whole answer, whatever the reason."""
        return self.cut + len(self.others)


async def lose(crowd: "Crowd", node: "Node", how: str, wish: "Callable[[random.Random], Wish]", *spans: float) -> float:
    """Load, with the loss in the middle; gives its moment (Unix seconds). `spans`: requests a second, seconds before
    it and after it.
    """
    rate, before_s, after_s = spans
    load = asyncio.create_task(crowd.arrive(rate, before_s + after_s, wish))
    await asyncio.sleep(before_s)
    lost_at = time.time()
    node.machine.pull() if how == PULLED else node.kill()
    await load
    await crowd.end()
    return lost_at


def judge(fleet: "Fleet", crowd: "Crowd", node: "Node", lost_at: float) -> Loss:
    """Count what became of all requests of the crowd, and audit the books."""
    from tests.crash.clients import Saw

    violations = [str(found) for found in crowd.audit()]
    failures = fleet.failures()
    there = {engine.url.removeprefix("http://") for engine in node.engines}
    cut, others, retried, late = [], [], [], []
    for told in crowd.told:
        failed = failures.get(told.request_id or "", [])
        is_begun_there = told.wish.stream and told.begun_at < lost_at and told.all_tokens and told.ended_at
        if told.saw is not Saw.WHOLE:
            if is_begun_there and told.error == "engine_failed" and not failed:
                cut.append(told)
            else:
                others.append(f"{told.begun_at - lost_at:+.1f} s: {told.told()}")
        if failed:
            retried.append((told, failed))
    known = min((told.ended_at or 0 for told, _ in retried), default=0.0)
    late = [told for told, failed in retried if told.begun_at > known + 5 and there & set(failed)]
    return Loss(
        requests=len(crowd.told),
        cut=len(cut),
        others=others,
        retried=len(retried),
        twice=sum(len(failed) > 1 for _, failed in retried),
        late=len(late),
        slowest_retried_s=max((_took(told) for told, _ in retried), default=0.0),
        longest_cut_s=max((_took(told) for told in cut), default=0.0),
        violations=violations,
    )


def _took(told: "Transcript") -> float:
    return (told.ended_at or 0.0) - told.begun_at


def _waits(told: "list[Transcript]") -> tuple[float, float]:
    """The median and the 99th percentile of the times to the first byte, in ms."""
    cuts = statistics.quantiles([1000 * (one.first_byte_at - one.begun_at) for one in told if one.first_byte_at], n=100)
    return cuts[49], cuts[98]


def _wish(dice: random.Random) -> "Wish":
    from tests.failures.wishes import chat

    return chat(dice.randint(20, 60), 20, stream=dice.random() < 0.5)


def measure(how: str) -> list[str]:
    """A row of the table, from a fleet of its own."""
    from tests.failures.fleet import Crowd, Fleet

    with Fleet(nodes=NODES, models=MODELS, shares=SHARES, gateways=GATEWAYS) as fleet:
        crowd, node = Crowd(fleet), fleet.nodes[NODES // 2]
        lost_at = asyncio.run(lose(crowd, node, how, _wish, RATE, BEFORE_S, AFTER_S))
        loss = judge(fleet, crowd, node, lost_at)
        streams = [told for told in crowd.told if told.wish.stream and not fleet.failures().get(told.request_id or "")]
    for line in (*loss.others, *loss.violations):
        print(line, file=sys.stderr)  # noqa: T201
    before = _waits([told for told in streams if told.begun_at < lost_at])
    after = _waits([told for told in streams if told.begun_at > lost_at + USUAL_S])
    figures: tuple[Any, ...] = (
        how, loss.requests, loss.cut, len(loss.others), f"{100 * loss.failed / loss.requests:.3f} %", loss.retried,
        loss.twice, loss.late, f"{loss.slowest_retried_s:.1f}", f"{loss.longest_cut_s:.1f}",
        f"{before[0]:.0f}, {before[1]:.0f}", f"{after[0]:.0f}, {after[1]:.0f}", len(loss.violations),
    )  # fmt: skip
    return [str(figure) for figure in figures]


_COLUMNS = (
    "the node was", "requests", "streams cut", "other failures", "without a whole answer", "retried", "more than once",
    "sent there later", "slowest retried, s", "longest until cut, s", "first byte before: p50, p99 ms", "after",
    "violations of the books",
)  # fmt: skip


def main() -> int:
    """Print the table; 1 where the books are wrong, or more failed than the streams under way on the node."""
    parser = argparse.ArgumentParser(prog="python -m bench.node_loss", description="What clients see of a lost node.")
    parser.add_argument("how", nargs="*", choices=[PULLED, KILLED, []], help=f"{PULLED}, {KILLED}")
    asked = parser.parse_args().how or [PULLED, KILLED]
    from tests.support.servers import servers

    assert servers  # it makes the environment that Django's settings read
    import django

    django.setup()
    rows = [measure(how) for how in asked]
    for row in (_COLUMNS, ["---:"] * len(_COLUMNS), *rows):
        print(f"| {' | '.join(row)} |")  # noqa: T201
    return 0 if all(row[3] == row[-1] == "0" for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
