"""Engines and nodes that die, hang, are slow or talk nonsense, on a real network: who notices, and what it costs.

What was not begun is answered by another engine, at most once more; a stream under way ends with an error in it and is
charged for what came; afterwards the books are exact, by the rules of `tests/crash`.
"""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from bench.node_loss import KILLED, judge, lose
from gateway.relay.limits import Limits
from tests.crash.clients import Saw, Transcript
from tests.failures.fleet import Crowd, Engine, Fleet
from tests.failures.wishes import chat, usual

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

LIMITS = Limits()
RATE = 15  # requests a second, of which the machine takes no notice
SLACK_S = 3.0  # of a busy machine
# Silence, a look that came just before, the one that nobody answers, and the ticks between.
LOOKED_S = LIMITS.look_after_s + LIMITS.look_every_s + 2 + SLACK_S
NOTICED_S = LOOKED_S + LIMITS.connect_s


def run(crowd: Crowd, play: Callable[[], Awaitable[None]]) -> None:
    """Play, wait for the end of all answers, and audit the books."""

    async def played() -> None:
        await play()
        await crowd.end()

    asyncio.run(played())
    assert crowd.audit() == []


async def until(is_true: Callable[[], bool], what: str, seconds: float = 20) -> None:
    """Until it is."""
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.02)


async def until_used(crowd: Crowd, engine: Engine) -> None:
    """Requests come, until the engine begins one that came after now."""
    before = crowd.begun(engine)
    for _ in range(200):
        if crowd.begun(engine) > before:
            return
        crowd.begin(chat(1, 0, stream=False))
        await asyncio.sleep(0.1)
    raise AssertionError(f"{engine.name} gets no requests")


def failed_by(fleet: Fleet, told: Transcript) -> list[str]:
    """The replicas that failed a request before its first byte, in their order."""
    return fleet.failures().get(told.request_id or "", [])


def took(told: Transcript) -> float:
    """Seconds from a request to its end."""
    assert told.ended_at is not None
    return told.ended_at - told.begun_at


def test_a_killed_engine_costs_only_the_streams_that_it_had_begun(fleet: Fleet, crowd: Crowd) -> None:
    engine = fleet.engines[0]
    half: list[Transcript] = []
    waiting: list[Transcript] = []

    def all_begun() -> int:
        return sum(crowd.begun(each) for each in fleet.engines)

    before = all_begun()

    async def play() -> None:
        half.extend(crowd.begin(chat(200, 40, stream=True)) for _ in range(12))
        await until(lambda: all(told.all_tokens > 3 for told in half), "all streams run")
        for stream in (False, True):
            waiting.extend(crowd.begin(chat(5, 0, stream=stream, first_token_ms=2_000)) for _ in range(12))
        await until(lambda: all_begun() - before == 36, "all are at an engine")
        engine.kill()
        await crowd.arrive(RATE, 2, usual)
        engine.start()
        await until_used(crowd, engine)

    run(crowd, play)
    first = {attempts[0].request_id for attempts in crowd.attempts() if attempts[0].engine == engine.name}
    broken = [told for told in half if told.request_id in first]
    assert broken
    assert {(told.saw, told.error) for told in broken} == {(Saw.ERROR, "engine_failed")}
    assert crowd.statuses()["engine_died"] == len(broken)
    others = [told for told in crowd.told if told not in broken]
    assert Counter(told.saw for told in others) == {Saw.WHOLE: len(others)}
    moved = [told for told in waiting if told.request_id in first]
    assert moved
    assert all(len(failed_by(fleet, told)) == 1 for told in moved)


def test_a_node_whose_cable_is_pulled_costs_one_retry_and_comes_back(fleet: Fleet, crowd: Crowd) -> None:
    node, moments = fleet.nodes[1], {}

    async def play() -> None:
        usually = asyncio.create_task(crowd.arrive(RATE, 10, usual))
        await asyncio.sleep(2)
        moments["pulled"] = time.time()
        node.machine.pull()
        await usually
        node.machine.plug()
        moments["plugged"] = time.time()
        await until_used(crowd, node.engines[0])
        moments["back"] = time.time()

    run(crowd, play)
    pulled = moments["pulled"]
    lost = [told for told in crowd.told if told.saw is not Saw.WHOLE]
    # Streams under way on the node wait for it, as it may come back; then they end with an error.
    assert all(told.wish.stream and told.begun_at < pulled and told.error == "engine_failed" for told in lost)
    assert all(took(told) < LIMITS.away_s + NOTICED_S for told in lost)
    retried = [told for told in crowd.told if failed_by(fleet, told)]
    assert retried
    assert all(len(failed_by(fleet, told)) == 1 for told in retried)
    assert all(took(told) < NOTICED_S + 2 for told in retried)
    # From when the first of them knew better nobody else is sent there.
    known = min(told.ended_at or 0 for told in retried)
    assert not [told for told in retried if told.begun_at > known]
    assert moments["back"] - moments["plugged"] < LIMITS.look_every_s + LIMITS.connect_s + 2 + SLACK_S


def test_a_node_on_which_all_is_killed_costs_only_the_streams_that_it_had_begun(fleet: Fleet, crowd: Crowd) -> None:
    """The small form of `python -m bench.node_loss`."""
    node = fleet.nodes[0]
    lost_at = asyncio.run(lose(crowd, node, KILLED, usual, 2 * RATE, 2, 2))
    loss = judge(fleet, crowd, node, lost_at)
    assert (loss.others, loss.twice, loss.late, loss.violations) == ([], 0, 0, [])
    assert loss.requests > 80
    assert loss.cut <= 10  # of some ten streams at a time a quarter was there

    async def play() -> None:
        for engine in node.engines:
            engine.start()
            await until_used(crowd, engine)

    run(crowd, play)


def test_a_stream_outlives_a_cable_that_is_plugged_in_again(fleet: Fleet, crowd: Crowd) -> None:
    node = fleet.nodes[2]
    streams: list[Transcript] = []

    async def play() -> None:
        streams.extend(crowd.begin(chat(180, 30, stream=True)) for _ in range(8))
        await until(lambda: all(told.all_tokens > 3 for told in streams), "all streams run")
        node.machine.pull()
        await asyncio.sleep(3)
        node.machine.plug()

    run(crowd, play)
    assert [told.saw for told in streams] == [Saw.WHOLE] * 8


def test_an_engine_that_hangs_is_found_out_and_used_again_when_it_goes_on(fleet: Fleet, crowd: Crowd) -> None:
    engine = fleet.engines[3]
    streams: list[Transcript] = []
    asked: list[Transcript] = []

    async def play() -> None:
        streams.extend(crowd.begin(chat(120, 40, stream=True)) for _ in range(8))
        await until(lambda: all(told.all_tokens > 3 for told in streams), "all streams run")
        engine.send(signal.SIGSTOP)
        asked.extend(crowd.begin(chat(3, 0, stream=number % 2 == 0)) for number in range(8))
        await until(lambda: all(told.ended_at for told in asked), "all are answered", 40)
        later = [crowd.begin(usual(crowd.dice)) for _ in range(8)]
        await until(lambda: all(told.ended_at for told in later), "all are answered", 40)
        assert not any(failed_by(fleet, told) for told in later)
        await until(lambda: all(told.ended_at for told in streams), "the streams there are given up", 40)
        engine.send(signal.SIGCONT)
        await until_used(crowd, engine)

    run(crowd, play)
    broken = [told for told in streams if told.saw is not Saw.WHOLE]
    assert broken
    assert {(told.saw, told.error) for told in broken} == {(Saw.ERROR, "engine_failed")}
    assert {told.saw for told in crowd.told if told not in broken} == {Saw.WHOLE}
    moved = [told for told in asked if failed_by(fleet, told)]
    assert moved
    assert all(took(told) < LOOKED_S + LIMITS.look_s for told in moved)


def test_an_engine_that_is_slow_is_waited_for(fleet: Fleet, crowd: Crowd) -> None:
    """It says that it is there, so nobody asks another one to do the same work."""
    slow: list[Transcript] = []

    async def play() -> None:
        slow.extend(crowd.begin(chat(3, 0, stream=stream, first_token_ms=5_000)) for stream in (False, True) * 4)

    run(crowd, play)
    assert [told.saw for told in slow] == [Saw.WHOLE] * 8
    assert not any(failed_by(fleet, told) for told in slow)
    assert [len(attempts) for attempts in crowd.attempts()] == [1] * 8


NONSENSE: dict[str, dict[str, object]] = {
    "bytes that are no HTTP": {"garbage": "http"},
    "events that are no JSON": {"garbage": "json"},
    "RST": {"close_after": 6, "reset": True},
}


@pytest.mark.parametrize("what", NONSENSE)
def test_an_engine_that_talks_nonsense_is_charged_for_what_it_said_before(crowd: Crowd, what: str) -> None:
    async def play() -> None:
        for stream in (False, True) * 3:
            crowd.begin(chat(30, 60, stream=stream, **NONSENSE[what]))
        await crowd.end()
        await crowd.arrive(RATE, 1, usual)

    run(crowd, play)
    faulty, others = crowd.told[:6], crowd.told[6:]
    assert {told.saw for told in faulty} <= {Saw.ERROR, Saw.REFUSED}
    assert {told.saw for told in others} == {Saw.WHOLE}
