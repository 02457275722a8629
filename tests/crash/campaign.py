"""The whole of a campaign: rounds one after another under load, a look at the books after each, the report."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psycopg

from tests.crash.clients import Saw, Transcript, long_stream
from tests.crash.plan import SWEEPS, Choice, Point, Victim, rounds
from tests.crash.rounds import Outcome, Round
from tests.crash.rules import Violation
from tests.crash.traffic import Traffic
from tests.crash.watch import Watch
from tests.crash.wellness import wait_until_well
from tests.crash.world import SILENT_S, STEADY, World

LONG_STREAM_S = 600.0
HARMLESS = (Victim.DJANGO, Victim.WORKER)
MONEY_ERRORS = ("insufficient_quota", "rate_limit_exceeded")
SWEPT_AT_THE_END_S = 90.0

Tell = Callable[[str], None]


@dataclass
class Result:
    """What a campaign found."""

    seed: int
    outcomes: list[Outcome] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    watch: Watch | None = None
    long_streams: list[Transcript] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def hits(self) -> dict[Point, int]:
        """How often each point was really hit."""
        return {
            point: sum(outcome.choice.point is point and outcome.struck_at is not None for outcome in self.outcomes)
            for point in Point
        }


class Campaign:
    """Rounds in a world for some time, or a number of them."""

    def __init__(self, world: World, seed: int, tell: Tell = print) -> None:
        self._world, self._seed, self._tell = world, seed, tell
        self._watch = Watch(world.journals, world.keeper, world.prices, SILENT_S)
        self._traffic = Traffic(world, self._watch, seed)
        self.result = Result(seed, watch=self._watch)
        self._connection: psycopg.Connection[Any] | None = None

    async def run(self, seconds: float, most_rounds: int | None = None, plan: list[Choice] | None = None) -> Result:
        """Until the time is over, or after so many rounds; or just the rounds of a plan."""
        began = time.monotonic()
        await self._world.proxy.start()
        sampling = asyncio.create_task(self._sample())
        await self._until_well("the start")
        deadline = time.monotonic() + seconds
        self._traffic.start()
        streaming = asyncio.create_task(self._stream_on(deadline))
        for choice in plan if plan is not None else rounds(self._seed):
            is_over = time.monotonic() > deadline or (most_rounds is not None and choice.number > most_rounds)
            if plan is None and is_over:
                break
            await self._round(choice)
        await streaming
        await self._traffic.stop()
        await self._finish()
        sampling.cancel()
        await self._world.proxy.stop()
        self.result.seconds = time.monotonic() - began
        return self.result

    async def _sample(self) -> None:
        """How long the journals were when."""
        while True:
            for journal in self._world.journals:
                journal.sample()
            await asyncio.sleep(0.1)

    async def _stream_on(self, deadline: float) -> None:
        """Streams of ten minutes, or as long as the campaign, through the gateway that nobody harms."""
        number = 0
        while (left := deadline - time.monotonic()) > 1:
            number += 1
            label = f"long{number}"
            await self._traffic.begin(STEADY, label, long_stream(min(LONG_STREAM_S, left)), calm=True)
            told = self._watch.transcripts[label]
            self.result.long_streams.append(told)
            if told.saw is not Saw.WHOLE:
                self._note([Violation("a long stream survives", f"{label} did not", (str(told.told()),))])
                await asyncio.sleep(1)

    # ---- rounds
    async def _round(self, choice: Choice) -> None:
        before, began = len(self._watch.transcripts), time.monotonic()
        outcome = await Round(self._world, self._watch, self._traffic, choice, self._seed).run()
        told = list(self._watch.transcripts.values())[before:]
        took = await self._until_well(str(choice))
        outcome.requests = len(told)
        self.result.outcomes.append(outcome)
        found = [Violation("round", f"{choice}: {wrong}") for wrong in outcome.wrongs]
        if choice.victim in HARMLESS and choice.point not in SWEEPS:  # for a sweeper a gateway had to die too
            found += _failures_of(choice, told)
        found += await self._look()
        self._note(found)
        hit = "hit" if outcome.struck_at is not None else "NOT HIT"
        spent = f"{time.monotonic() - began:4.1f} s (well after {took:3.1f} s)"
        self._tell(
            f"round {choice.number:4}  {choice!s:66} {hit}, {spent}, {outcome.requests} requests,"
            f" {len(found)} violations"
        )

    async def _until_well(self, after: str) -> float:
        """Everything is back, by itself. Seconds that it took."""
        began = time.monotonic()
        missing = await wait_until_well(self._world)
        if missing:
            self._note([Violation("comes back", f"after {after}: {missing}")])
        now = time.time()
        self._watch.troubles = [(begin, min(end, now)) for begin, end in self._watch.troubles]
        return time.monotonic() - began

    async def _look(self) -> list[Violation]:
        """Compare everything; a database that goes away meanwhile is asked again."""
        for _ in range(20):
            try:
                if self._connection is None or self._connection.closed:
                    self._connection = await self._world.connect()
                return await asyncio.to_thread(self._watch.look, self._connection)
            except psycopg.OperationalError:
                self._connection = None
        return [Violation("comes back", "the database cannot be read")]

    def _note(self, found: list[Violation]) -> None:
        for violation in found:
            self._tell(str(violation))
        self.result.violations += found

    async def _finish(self) -> None:
        """Wait until nothing is held and everything given back, then judge what is left."""
        deadline = time.monotonic() + SWEPT_AT_THE_END_S
        self._note(await self._look())
        while (self._watch.held or self._watch.owed) and time.monotonic() < deadline:
            await asyncio.sleep(0.5)
            self._note(await self._look())
        assert self._connection is not None
        self._note(await asyncio.to_thread(self._watch.look_last, self._connection))
        self._connection.close()
        differences = await asyncio.to_thread(self._world.verify_ledger)
        if differences:
            self._note([Violation("verify_ledger", "the product's own recount does not agree", tuple(differences))])


def _failures_of(choice: Choice, told: list[Transcript]) -> list[Violation]:
    """Pages and background work have nothing to do with inference: whoever asked in such a round was answered."""
    failed = [
        one
        for one in told
        if one.ended_at is not None and one.saw is not Saw.WHOLE
        and not (one.left or one.wish.fault or one.error in MONEY_ERRORS)
    ]  # fmt: skip
    return [Violation("inference goes on", f"{choice}", (str(one.told()),)) for one in failed]
