"""How many replicas a pool should have, from the load it had: up at once, down slowly, to none where allowed. Pure.

Nothing is remembered between two looks: the same loads give the same wish, so that any number of reconcilers agree and
one that was killed is missed by nobody. What was needed lately is still needed: the wish is the highest need of the
last `CALM_S` seconds, as in Kubernetes' stabilization window (kubernetes.io, HorizontalPodAutoscaler, "Flapping"), and
a replica that answers is kept until the others would have it easy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import ceil
from typing import NamedTuple

CALM_S = 600.0  # a start takes minutes: what is given up is not wanted back at once
FULL = 0.8  # of its places: above it a burst waits
EASY = 0.6  # of its places: a replica more is given up only where the others stay below it
# Where GPUs are short, the last replica of a pool that nobody asked for so long makes room for one that is asked.
YIELDS_AFTER_S = 60.0
CACHE_FULL = 0.85  # of the KV cache: above it vLLM begins to preempt
# A late first token asks for more replicas only where they are at work: else the prompts are long, not the queue.
BUSY = 0.4


class Why(StrEnum):
    """What the number of a wish follows from."""

    REQUESTS = "requests"
    CACHE = "cache"
    FIRST_TOKEN = "first_token"  # noqa: S105  # no password
    LATELY = "lately"
    MINIMUM = "minimum"
    MAXIMUM = "maximum"
    ONE = "one"
    IDLE = "idle"


@dataclass(frozen=True, slots=True)
class Policy:
    """What operators set for a pool.

    requests_at_once: what one replica answers well, in requests under way
    first_token_ms: aimed at, at the 95th percentile; None: nothing is
    zero_after_s: without a request for so long it has none; None: never fewer than one
    """

    minimum: int
    maximum: int
    requests_at_once: int
    first_token_ms: int | None = None
    zero_after_s: float | None = None


class Load(NamedTuple):
    """What a pool had to do when it was looked at (`at`, seconds): `ready` replicas, requests `running` on them and
    `waiting` for them (there and in the gateways), the mean use of their KV cache (0 to 1) and the time to the first
    token in the minute before (95th percentile; None: no answer began).
    """

    at: float
    ready: int
    running: int
    waiting: int
    kv_cache_use: float = 0.0
    first_token_ms: int | None = None


class Wish(NamedTuple):
    """How many replicas a pool should have, and why; `until` (seconds) where only the past keeps them."""

    replicas: int
    why: Why
    until: float | None = None


def wish(policy: Policy, loads: Sequence[Load], now: float, *, asked_at: float | None = None) -> Wish:
    """What the pool should have. `loads`: of at least `CALM_S`, oldest first, none after `now`.

    asked_at: when somebody asked last, in seconds; None: nobody ever did. Only for a pool that may have none.

    Without any load it is the minimum, and one replica unless the pool may have none.
    """
    recent = [load for load in loads if load.at > now - CALM_S]
    needs = [(*need(policy, load), load.at) for load in recent]
    current, why = needs[-1][:2] if needs else (0, Why.IDLE)
    if not current and _may_be_none(policy, asked_at, now):
        return _bounded(policy, Wish(0, Why.IDLE))
    lately, at = max([_kept(policy, recent), *((count, at) for count, _why, at in needs)], default=(0, now))
    found = Wish(lately, Why.LATELY, at + CALM_S) if lately > current else Wish(current, why)
    return _bounded(policy, found if found.replicas else Wish(1, Why.ONE))


def is_pressing(policy: Policy, loads: Sequence[Load], now: float) -> bool:
    """Whether somebody asked for the pool just now: `loads` as for `wish`."""
    return any(need(policy, load)[0] for load in loads if load.at > now - YIELDS_AFTER_S)


def need(policy: Policy, load: Load) -> tuple[int, Why]:
    """How many replicas that load asks for, unbounded, and by which measure; the measure that asks for most wins."""
    places = policy.requests_at_once
    asked = load.running + load.waiting
    needs = [(ceil(asked / (places * FULL)), Why.REQUESTS)]
    if load.kv_cache_use > CACHE_FULL:
        needs.append((ceil(load.ready * load.kv_cache_use / CACHE_FULL), Why.CACHE))
    is_late = policy.first_token_ms is not None and (load.first_token_ms or 0) > policy.first_token_ms
    if is_late and load.ready and asked >= BUSY * places * load.ready:
        needs.append((load.ready + 1, Why.FIRST_TOKEN))
    return max(needs, key=lambda one: one[0])


def _kept(policy: Policy, recent: Sequence[Load]) -> tuple[int, float]:
    """How many of the replicas that answer now are kept so that they have it easy, and when that was needed last."""
    if not recent:
        return 0, 0.0
    easy = [(ceil((load.running + load.waiting) / (policy.requests_at_once * EASY)), load.at) for load in recent]
    most, at = max(easy)
    return min(most, recent[-1].ready), at


def _may_be_none(policy: Policy, asked_at: float | None, now: float) -> bool:
    """Whether nobody asked for so long that the pool gives up its last replica."""
    return policy.zero_after_s is not None and (asked_at is None or now - asked_at >= policy.zero_after_s)


def _bounded(policy: Policy, found: Wish) -> Wish:
    if found.replicas < policy.minimum:
        return Wish(policy.minimum, Why.MINIMUM)
    if found.replicas > policy.maximum:
        return Wish(policy.maximum, Why.MAXIMUM)
    return found
