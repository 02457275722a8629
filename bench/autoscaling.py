"""A day of 45 models on 12 machines, second by second: which share of the requests began to be answered in time, what
it cost in GPU hours, and how often the fleet changed its mind. `python -m bench.autoscaling` prints one table.

A model of the world, no measurement of engines: demand has a day's shape, bursts and a long tail of models; a replica
answers `places` requests at once and starts in minutes (in seconds where its machine still has it asleep). What decides
is what runs in production: `gateway/pools/fleet/scaling.py` and `rationing.py`.
"""

import argparse
import random
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import cos, exp, pi, sqrt
from typing import NamedTuple

from gateway.pools.fleet.rationing import Claim, Size, grants
from gateway.pools.fleet.scaling import CALM_S, Load, Policy, is_pressing, wish

DAY_S = 24 * 3600
LOOK_S = 10
MACHINES, GPUS, GPU_MB = 12, 8, 80_000
TARGET_S = 1.5  # to the first token
PREFILL_S = 0.3
HELD_S = 120.0  # a request waits so long for an engine that starts, then it is told to come back
FLAP_S = 900
MODELS = 45
MANY = 30


class Make(NamedTuple):
    """A kind of model: how much it takes, answers at once, lasts and needs to start, in seconds."""

    size: Size
    places: int
    lasts_s: float
    starts_s: float
    wakes_s: float


LARGE = Make(Size(4, 76_000), 64, 14, 240, 20)
MIDDLE = Make(Size(1, 76_000), 48, 10, 120, 8)
SMALL = Make(Size(1, 36_000), 32, 6, 60, 4)
TINY = Make(Size(1, 10_000), 64, 1, 30, 3)


@dataclass
class Pool:
    """A model: its demand, its replicas by when they are ready, and what became of its requests."""

    name: str
    make: Make
    rate: Callable[[int], float]  # requests a second
    policy: Policy
    priority: int = 0
    ready_at: list[float] = field(default_factory=list)
    asleep: int = 0
    running: int = 0
    waiting: deque[int] = field(default_factory=deque)
    loads: deque[Load] = field(default_factory=deque)
    asked_at: float | None = None
    in_time: int = 0
    late: int = 0
    turned_away: int = 0
    gpu_seconds: float = 0
    ups: int = 0
    downs: list[int] = field(default_factory=list)
    flaps: int = 0

    def ready(self, now: int) -> int:
        """Replicas that answer."""
        return sum(at <= now for at in self.ready_at)

    @property
    def share_in_time(self) -> float:
        """Of all its requests, 1 where there were none."""
        asked = self.in_time + self.late + self.turned_away
        return self.in_time / asked if asked else 1.0

    def second(self, now: int, dice: random.Random) -> None:
        """Requests come, wait, begin and end."""
        self.running -= _some(self.running, 1 / self.make.lasts_s, dice)
        if came := _poisson(self.rate(now), dice):
            self.waiting.extend([now] * came)
        if self.waiting or self.running:
            self.asked_at = now
        free = self.ready(now) * self.make.places - self.running
        while self.waiting and free > 0:
            is_in_time = now - self.waiting.popleft() + PREFILL_S <= TARGET_S
            self.in_time, self.late = self.in_time + is_in_time, self.late + (not is_in_time)
            self.running, free = self.running + 1, free - 1
        while self.waiting and now - self.waiting[0] > HELD_S:
            self.waiting.popleft()
            self.turned_away += 1
        self.gpu_seconds += len(self.ready_at) * self.make.size.gpus * self.make.size.memory_mb / GPU_MB

    def look(self, now: int) -> Load:
        """What a reconciler sees."""
        waited_ms = int((now - self.waiting[0] + PREFILL_S) * 1000) if self.waiting else int(PREFILL_S * 1000)
        load = Load(now, self.ready(now), self.running, len(self.waiting), 0.0, waited_ms)
        self.loads.append(load)
        while self.loads[0].at < now - CALM_S - LOOK_S:
            self.loads.popleft()
        return load

    def become(self, count: int, now: int) -> None:
        """Have that many replicas: the newest go first; those that answer finish what they began."""
        while len(self.ready_at) < count:
            is_asleep, self.asleep = self.asleep > 0, max(0, self.asleep - 1)
            self.ready_at.append(now + (self.make.wakes_s if is_asleep else self.make.starts_s))
            self.ups += 1
            self.flaps += bool(self.downs) and now - self.downs[-1] < FLAP_S
        while len(self.ready_at) > count:
            self.ready_at.remove(max(self.ready_at))
            self.asleep += 1
            self.downs.append(now)


def fleet(seed: int, *, hours_to_zero: bool) -> list[Pool]:
    """45 models, few of which have most of the demand; a third of them are asked for seldom and may sleep."""
    dice = random.Random(seed)  # noqa: S311  # a day that can be repeated
    makes = [LARGE] * 4 + [MIDDLE] * 14 + [SMALL] * 19 + [TINY] * 8
    dice.shuffle(makes)
    pools = []
    for number, make in enumerate(makes, 1):
        at_peak = 2.2 * make.places / make.lasts_s / number**0.8
        bursts = [(dice.randrange(DAY_S), dice.randrange(300, 2400), dice.uniform(1.5, 3)) for _ in range(3)]
        peak_hour = dice.choice([10, 11, 15, 16, 22])
        may_sleep = hours_to_zero and number > MODELS * 2 // 3
        policy = Policy(
            minimum=0 if may_sleep else 1,
            maximum=8,
            requests_at_once=make.places,
            first_token_ms=int(TARGET_S * 1000),
            zero_after_s=3600 if may_sleep else None,
        )
        rate = _rate(at_peak * (0.02 if may_sleep else 1), peak_hour, bursts)
        pools.append(Pool(f"model-{number:02}", make, rate, policy, priority=2 if number <= 5 else 1))
    return pools


def _rate(at_peak: float, peak_hour: int, bursts: Sequence[tuple[int, int, float]]) -> Callable[[int], float]:
    def rate(now: int) -> float:
        day = 0.15 + 0.85 * (1 + cos(2 * pi * (now / 3600 - peak_hour) / 24)) ** 2 / 4
        burst = max((by for start, lasts, by in bursts if start <= now < start + lasts), default=1.0)
        return at_peak * day * burst

    return rate


def run(pools: list[Pool], seed: int, *, decide: Callable[[list[Pool], int], dict[str, int]]) -> None:
    """A day. It says every simulated hour where it is."""
    dice = random.Random(seed)  # noqa: S311  # as above
    for now in range(DAY_S):
        if now % 3600 == 0:
            sys.stderr.write(f"\r{now // 3600:2} h")
        if now % LOOK_S == 0:
            for pool in pools:
                pool.look(now)
            given = decide(pools, now)
            for pool in pools:
                pool.become(given[pool.name], now)
        for pool in pools:
            pool.second(now, dice)
    sys.stderr.write("\r     \r")


def follow(pools: list[Pool], now: int) -> dict[str, int]:
    """As in production: wishes, then what there is room for."""
    return _granted(pools, lambda pool: wish(pool.policy, pool.loads, now, asked_at=pool.asked_at).replicas, now)


def _granted(pools: list[Pool], wanted: Callable[[Pool], int], now: int) -> dict[str, int]:
    claims = [
        Claim(
            pool.name,
            pool.make.size,
            pool.policy.minimum,
            wanted(pool),
            pool.priority,
            is_pressing=is_pressing(pool.policy, pool.loads, now),
            holds=len(pool.ready_at),
        )
        for pool in pools
    ]
    return grants(claims, [[GPU_MB] * GPUS] * MACHINES)


def always(count: Callable[[Pool], int]) -> Callable[[list[Pool], int], dict[str, int]]:
    """The same number of replicas all day, started before it begins."""
    kept: dict[str, int] = {}

    def decide(pools: list[Pool], now: int) -> dict[str, int]:
        if not kept:
            kept.update(_granted(pools, count, now))
            for pool in pools:
                pool.ready_at = [now] * kept[pool.name]
        return kept

    return decide


def _for_peak(pool: Pool) -> int:
    """What the busiest minute of its day asks for, known beforehand."""
    most = max(pool.rate(now) for now in range(0, DAY_S, 60)) * pool.make.lasts_s
    return max(1, int(most / (pool.make.places * 0.8)) + 1)


def _poisson(mean: float, dice: random.Random) -> int:
    """Knuth's method: products of uniform numbers until they are below exp(-mean); many are as good as normal."""
    if mean > MANY:
        return max(0, round(dice.gauss(mean, sqrt(mean))))
    limit, product, count = exp(-mean), dice.random(), 0
    while product > limit:
        product, count = product * dice.random(), count + 1
    return count


def _some(of: int, chance: float, dice: random.Random) -> int:
    if of > MANY:
        return min(of, max(0, round(dice.gauss(of * chance, sqrt(of * chance * (1 - chance))))))
    return sum(dice.random() < chance for _ in range(of))


def line(name: str, pools: Sequence[Pool]) -> str:
    """A row of the table."""
    asked = sum(pool.in_time + pool.late + pool.turned_away for pool in pools)
    in_time = sum(pool.in_time for pool in pools)
    shares = sorted(pool.share_in_time for pool in pools)
    return (
        f"| {name} | {100 * in_time / asked:.2f} % | {100 * shares[len(shares) // 2]:.2f} % | {100 * shares[0]:.1f} % "
        f"| {sum(p.turned_away for p in pools)} | {sum(p.gpu_seconds for p in pools) / 3600:.0f} "
        f"| {sum(p.ups for p in pools)} | {sum(p.flaps for p in pools)} |"
    )


def main() -> None:
    """Run the days and print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seed", type=int, default=1)
    seed = arguments.parse_args().seed
    print("| policy | in time | median model | worst model | turned away | GPU hours | starts | flaps |")  # noqa: T201
    print("|---|---|---|---|---|---|---|---|")  # noqa: T201
    days = {
        "always on, for each model's peak": (always(_for_peak), False),
        "always on, one replica each": (always(lambda _pool: 1), False),
        "following, never to zero": (follow, False),
        "following, seldom used ones to zero": (follow, True),
    }
    for name, (decide, hours_to_zero) in days.items():
        pools = fleet(seed, hours_to_zero=hours_to_zero)
        run(pools, seed, decide=decide)
        print(line(name, pools), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
