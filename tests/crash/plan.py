"""What a campaign does and in which order: points, victims, ways, and the rounds that a seed makes of them. Pure."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Point(StrEnum):
    """Where a round strikes. Each is reached in a gateway process, the two commits in the proxy before PostgreSQL."""

    COMMIT_OF_HOLD = "hold committed, not answered"
    HOLD = "after the hold"
    FIRST_BYTE = "after the first byte"
    LAST_USAGE = "after the last usage"
    COMMIT_OF_CHARGE = "charge committed, not answered"
    CHARGE = "after the charge, before the end"
    SWEEPER_FOUND = "in the sweeper: holds found"
    SWEEPER_SETTLED = "in the sweeper: holds settled"
    RANDOM = "at any moment"


class Victim(StrEnum):
    """Who is struck."""

    GATEWAY = "gateway"
    ENGINE = "engine"
    POSTGRES = "postgres"
    BACKEND = "backend"
    NETWORK = "network"
    DJANGO = "django"
    WORKER = "worker"


class Way(StrEnum):
    """How. A short stop is shorter than the silence after which a gateway is fenced, a long one longer."""

    KILL = "kill -9"
    STOP_SHORT = "stop, short"
    STOP_LONG = "stop, long"
    IMMEDIATE = "immediate"
    TERMINATE = "terminate"
    DROP = "answer dropped"
    HANG = "answer withheld"


COMMITS = (Point.COMMIT_OF_HOLD, Point.COMMIT_OF_CHARGE)
SWEEPS = (Point.SWEEPER_FOUND, Point.SWEEPER_SETTLED)
_STOPS = (Way.STOP_SHORT, Way.STOP_LONG)
WAYS: dict[Victim, tuple[Way, ...]] = {
    Victim.GATEWAY: (Way.KILL, *_STOPS),
    Victim.ENGINE: (Way.KILL, *_STOPS),
    Victim.POSTGRES: (Way.IMMEDIATE, Way.KILL, *_STOPS),
    Victim.BACKEND: (Way.KILL, Way.TERMINATE),
    Victim.NETWORK: (Way.DROP, Way.HANG),
    Victim.DJANGO: (Way.KILL, Way.STOP_SHORT),
    Victim.WORKER: (Way.KILL, Way.STOP_SHORT),
}
# How often, relatively: money passes through the first ones, nothing of it through Django and the worker.
_WEIGHTS = {
    Victim.GATEWAY: 4.0, Victim.ENGINE: 2.0, Victim.POSTGRES: 3.0, Victim.BACKEND: 1.5, Victim.NETWORK: 6.0,
    Victim.DJANGO: 0.6, Victim.WORKER: 0.6,
}  # fmt: skip
AWAY_S = (0.0, 0.0, 5.0)  # how long PostgreSQL stays away once it was stopped: the last is longer than answers wait


@dataclass(frozen=True, slots=True)
class Choice:
    """One round. `away_s`: how long a stopped PostgreSQL is not started again; `moment_s`: when RANDOM strikes."""

    number: int
    point: Point
    victim: Victim
    way: Way
    away_s: float
    moment_s: float

    def __str__(self) -> str:
        away = f" (away {self.away_s:g} s)" if self.away_s else ""
        return f"{self.point} / {self.victim} / {self.way}{away}"


def combinations(point: Point) -> list[tuple[Victim, Way]]:
    """What can be done at a point: only where an answer is under way can the network lose it."""
    return [
        (victim, way)
        for victim, ways in WAYS.items()
        for way in ways
        if victim is not Victim.NETWORK or point in COMMITS
    ]


def rounds(seed: int) -> Iterator[Choice]:
    """Rounds without end: every point in turn, at each every victim and way once before any comes again."""
    dice = random.Random(seed)
    left: dict[Point, list[tuple[Victim, Way]]] = {point: [] for point in Point}
    number = 0
    while True:
        points = list(Point)
        dice.shuffle(points)
        for point in points:
            if not left[point]:
                left[point] = _shuffled(combinations(point), dice)
            victim, way = left[point].pop()
            number += 1
            is_outage = victim is Victim.POSTGRES and way in (Way.KILL, Way.IMMEDIATE)
            away_s, moment_s = dice.choice(AWAY_S), dice.uniform(0.05, 1.5)
            yield Choice(number, point, victim, way, away_s if is_outage else 0.0, moment_s)


def _shuffled(found: list[tuple[Victim, Way]], dice: random.Random) -> list[tuple[Victim, Way]]:
    """In random order, those of a larger weight mostly last, from where they are taken."""
    return sorted(found, key=lambda pair: dice.random() ** (1 / _WEIGHTS[pair[0]]))
