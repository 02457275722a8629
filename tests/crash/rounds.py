"""One round: arm a point, let requests run into it, strike, let the struck go on or come back."""

import asyncio
import os
import random
import signal
import time
from dataclasses import dataclass, field

from tests.crash.clients import Wish, bait, lingering
from tests.crash.plan import COMMITS, SWEEPS, Choice, Point, Victim, Way
from tests.crash.traffic import Traffic
from tests.crash.trigger import BACKEND, ENGINE, SELF, Order
from tests.crash.watch import Watch
from tests.crash.world import ARMED, SILENT_S, World

SIGNALS = {
    Way.KILL: signal.SIGKILL, Way.IMMEDIATE: signal.SIGQUIT, Way.TERMINATE: signal.SIGTERM,
    Way.STOP_SHORT: signal.SIGSTOP, Way.STOP_LONG: signal.SIGSTOP,
}  # fmt: skip
SHORT_S, LONG_S, HANG_S = 1.2, SILENT_S + 2, 4.5
HIT_WITHIN_S = {point: 12.0 if point in SWEEPS else 6.0 for point in Point}
FENCED_WITHIN_S = 3 * SILENT_S + 3
POLL_S = 0.01


@dataclass
class Outcome:
    """What became of a round. `pids`: who was struck."""

    choice: Choice
    struck_at: float | None = None
    pids: list[int] = field(default_factory=list)
    wrongs: list[str] = field(default_factory=list)
    requests: int = 0


class Round:
    """One choice, carried out in a world under load."""

    def __init__(self, world: World, watch: Watch, traffic: Traffic, choice: Choice, seed: int) -> None:
        self._world, self._watch, self._traffic, self._choice = world, watch, traffic, choice
        self._dice = random.Random(f"{seed}/{choice.number}")
        self._prefix = f"r{choice.number}-"
        self.outcome = Outcome(choice)

    async def run(self) -> Outcome:
        """Strike and wait until what was struck goes on; who was killed comes back in its own time."""
        choice, outcome = self._choice, self.outcome
        if choice.victim is Victim.POSTGRES:
            self._world.kept["postgres"][0].away_s = choice.away_s
        baits = []
        if choice.point in SWEEPS:
            await self._leave_holds()
        self._arm()
        if choice.point not in SWEEPS:
            baits = [self._traffic.begin(ARMED, f"{self._prefix}{number}", self._bait()) for number in range(3)]
        try:
            await self._wait_for_hit()
        finally:
            self._world.trigger.disarm()
            self._world.proxy.await_none()
            if outcome.struck_at is None:
                self._world.kept["postgres"][0].away_s = 0.0
        if outcome.struck_at is not None:
            await self._aftermath(outcome.struck_at)
        if baits:
            await asyncio.wait(baits, timeout=5)
        return outcome

    def _bait(self) -> Wish:
        if self._choice.point is Point.COMMIT_OF_CHARGE and self._choice.victim is Victim.POSTGRES:
            return bait(self._dice, stream=False)  # an outage long enough withholds it, and gives its charge back
        return bait(self._dice, stream=True if self._choice.point is Point.FIRST_BYTE else None)

    async def _leave_holds(self) -> None:
        """For a sweeper to have work: kill an armed gateway that is at some requests."""
        for number in range(4):
            self._traffic.begin(ARMED, f"{self._prefix}left{number}", lingering())
        await asyncio.sleep(0.7)
        owners = await asyncio.to_thread(self._world.gateways_that_hold, f"{self._prefix}left%")
        armed = [pid for pid in self._world.pids(f"{ARMED} gateway") if pid in owners] or self._world.pids(
            f"{ARMED} gateway"
        )
        victim = self._dice.choice(armed)
        self._note_lost([victim], time.time())
        os.kill(victim, signal.SIGKILL)

    # ---- arming
    def _arm(self) -> None:
        choice = self._choice
        if choice.point in COMMITS:
            line = "admit" if choice.point is Point.COMMIT_OF_HOLD else "settle"
            self._world.proxy.await_commit(line, self._at_commit)
        elif choice.point is not Point.RANDOM:
            prefix = "" if choice.point in SWEEPS else self._prefix
            number = SIGNALS[choice.way]
            self._world.trigger.arm(Order(choice.point, prefix, number, self._target(), self._world.engine_ports))

    def _target(self) -> str:
        """Whom the gateway that comes to the point has to strike."""
        own = {Victim.GATEWAY: SELF, Victim.ENGINE: ENGINE, Victim.BACKEND: BACKEND}
        return own.get(self._choice.victim) or " ".join(str(pid) for pid in self._others())

    def _others(self) -> list[int]:
        """The victim's processes where they are known beforehand."""
        victim = self._choice.victim
        if victim is Victim.POSTGRES:
            is_stopped = self._choice.way in (Way.STOP_SHORT, Way.STOP_LONG)
            return self._world.postgres._pids() if is_stopped else self._world.pids("postgres")
        return self._world.pids(victim.value)

    # ---- striking
    async def _wait_for_hit(self) -> None:
        choice, outcome = self._choice, self.outcome
        if choice.point is Point.RANDOM:
            await asyncio.sleep(choice.moment_s)
            self._strike(await self._anybody(), SIGNALS[choice.way])
            return
        deadline = time.monotonic() + HIT_WITHIN_S[choice.point]
        while outcome.struck_at is None and time.monotonic() < deadline:
            await asyncio.sleep(POLL_S)
            hit = self._world.trigger.hit
            if hit is not None:
                outcome.struck_at, outcome.pids = hit.at, hit.pids
                self._note_lost(hit.pids, hit.at)

    async def _anybody(self) -> list[int]:
        """The victim at a random moment."""
        match self._choice.victim:
            case Victim.GATEWAY:
                return [self._dice.choice(self._world.pids(f"{ARMED} gateway"))]
            case Victim.ENGINE:
                return [self._dice.choice(self._world.pids("engine"))]
            case Victim.BACKEND:
                found = await asyncio.to_thread(self._world.gateways_backends)
                return [self._dice.choice(found)] if found else []
            case _:
                return self._others()

    async def _at_commit(self, life: int, backend: int) -> bool:
        """PostgreSQL has committed, its answer is with us; whether the gateway gets it."""
        choice = self._choice
        gateway = self._world.keeper.pid_of_life.get(life, 0)
        own = {Victim.GATEWAY: [gateway], Victim.BACKEND: [backend], Victim.NETWORK: []}
        pids = own.get(choice.victim)
        self._strike(pids if pids is not None else await self._anybody(), SIGNALS.get(choice.way))
        if choice.way is Way.HANG:
            await asyncio.sleep(HANG_S)
        # A gateway that is only stopped, and one that nobody touched, reads the answer; else it is lost.
        return choice.victim in (Victim.GATEWAY, Victim.ENGINE, Victim.DJANGO, Victim.WORKER)

    def _strike(self, pids: list[int], number: signal.Signals | None) -> None:
        now = time.time()
        self.outcome.struck_at, self.outcome.pids = now, pids
        self._note_lost(pids, now)
        for pid in pids:
            try:
                os.kill(pid, number or 0)
            except ProcessLookupError:
                self.outcome.wrongs.append(f"process {pid} had ended before it was struck")

    def _note_lost(self, pids: list[int], at: float) -> None:
        """From when on a gateway may have lost what it was at."""
        for life, pid in self._world.keeper.pid_of_life.items():
            if pid in pids and self._world.keeper.ended_at.get(life, at) >= at:
                self._watch.lost_at[life] = at
        if self._choice.victim in (Victim.POSTGRES, Victim.BACKEND, Victim.NETWORK):
            self._watch.troubles.append((at, float("inf")))

    # ---- afterwards
    async def _aftermath(self, struck_at: float) -> None:
        choice = self._choice
        if choice.way is Way.HANG:
            await asyncio.sleep(HANG_S)
        if choice.way in (Way.STOP_SHORT, Way.STOP_LONG):
            if choice.victim is Victim.POSTGRES:
                self._world.postgres.freeze()  # those processes too that were new then
            await self._let_lie(struck_at)
            self._world.thaw_all()

    async def _let_lie(self, struck_at: float) -> None:
        if self._choice.way is Way.STOP_SHORT:
            await asyncio.sleep(SHORT_S)
        elif self._choice.victim is not Victim.GATEWAY:
            await asyncio.sleep(LONG_S)
        else:
            await self._until_fenced(struck_at)

    async def _until_fenced(self, struck_at: float) -> None:
        """I2: a silent gateway is fenced, whichever it is."""
        lives = [life for life, pid in self._world.keeper.pid_of_life.items() if pid in self.outcome.pids]
        while time.time() < struck_at + FENCED_WITHIN_S:
            if await asyncio.to_thread(self._world.are_fenced, self.outcome.pids):
                await asyncio.sleep(0.3)
                return
            await asyncio.sleep(0.1)
        self.outcome.wrongs.append(f"life {lives} was stopped for {FENCED_WITHIN_S:g} s and not fenced")
