"""Where a request goes (DESIGN, step 5), and who waits while all replicas of a model have as much as they may.

A request that waits has its hold already and keeps it; it has no engine. It leaves the line when it gets a place, when
its client leaves, when others are entitled to its place in a full line, or when its time is over.
"""

import asyncio
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

from gateway.relay import errors
from gateway.relay.affinity import Affinity, Shares
from gateway.relay.fair_queue import FairQueue
from gateway.relay.limits import Limits
from gateway.relay.prefixes import beginning_of
from gateway.relay.routing import Replica, least_busy, usable, with_room

if TYPE_CHECKING:
    from gateway.relay.admission import Plan
    from gateway.relay.snapshot import Snapshot

Placed = Replica | errors.Refusal


@dataclass(slots=True, eq=False)
class _Turn:
    """A request in a line. `deadline` in monotonic seconds."""

    plan: "Plan"
    deadline: float
    placed: "asyncio.Future[Placed]"


@dataclass(slots=True)
class _Line:
    """What happens at a model: who waits, how many requests of each tenant are under way, what is asked most."""

    waiting: FairQueue[_Turn]
    under_way: dict[int, int] = field(default_factory=dict)
    shares: Shares = field(default_factory=Shares)


class Placing:
    """The places at all replicas, as far as this process may use them."""

    def __init__(self, limits: Limits, snapshot: "Snapshot") -> None:
        self._limits, self._snapshot = limits, snapshot
        self._affinity = Affinity(limits.remembered_prompts)
        self._lines: dict[int, _Line] = {}
        self._turns: dict[UUID, _Turn] = {}

    async def place(self, plan: "Plan", tried: Collection[Replica]) -> Placed:
        """A replica that was not tried, where the request now has a place, which it gives back (`ended`); or why there
        is none. Waits for one where all are full, but not a second time after an engine failed it.
        """
        line = self._line_of(plan.model.id)
        found = self._usable(plan, tried)
        if not found:
            return errors.no_replica(plan.model.name)
        free = with_room(found)
        if tried or (free and not line.waiting):
            return self._begin(line, plan, free or found)
        return await self._wait(line, plan)

    def ended(self, plan: "Plan", replica: Replica) -> None:
        """A request gives its place back: the next one in line gets it."""
        replica.ended()
        line, tenant = self._line_of(plan.model.id), plan.caller.tenant.id
        line.under_way[tenant] -= 1
        if not line.under_way[tenant]:
            del line.under_way[tenant]
        if line.waiting:
            self._serve(line)

    def leave(self, request_id: UUID) -> None:
        """Its client left, or the process ends: whoever waits behind it moves up."""
        turn = self._turns.get(request_id)
        if turn is not None:
            self._give_up(turn, errors.stopping())

    def tick(self, now: float) -> None:
        """Once a second: give up those whose time is over; replicas may have come, or be well again."""
        for turn in [turn for turn in self._turns.values() if turn.deadline <= now]:
            self._give_up(turn, errors.engines_busy(turn.plan.model.name))
        for line in list(self._lines.values()):
            if line.waiting:
                self._serve(line)
        known = {model.id for model in self._snapshot.models.values()}
        for model_id in [each for each in self._lines.keys() - known if not self._lines[each].under_way]:
            del self._lines[model_id]

    # ---- inside
    def _line_of(self, model_id: int) -> _Line:
        line = self._lines.get(model_id)
        if line is None:
            line = self._lines[model_id] = _Line(FairQueue(self._limits.waiting_for_engine))
        return line

    def _usable(self, plan: "Plan", tried: Collection[Replica] = ()) -> list[Replica]:
        model = self._snapshot.models.get(plan.model.name, plan.model)  # its replicas may have changed
        return usable(model.replicas, tried, time.monotonic())

    def _begin(self, line: _Line, plan: "Plan", replicas: Sequence[Replica]) -> Replica:
        """Take a place at one of them, at least one."""
        replica = self._choose(line, plan, replicas)
        replica.began()
        tenant = plan.caller.tenant.id
        line.under_way[tenant] = line.under_way.get(tenant, 0) + 1
        return replica

    def _choose(self, line: _Line, plan: "Plan", replicas: Sequence[Replica]) -> Replica:
        if len(replicas) == 1:
            return replicas[0]
        now = time.monotonic()
        beginning = beginning_of(plan.inference, plan.caller.tenant.cache_salt)
        if beginning is None or replicas[0].rests_until > now:
            least = least_busy(replicas, now)
            assert least is not None
            return least
        return self._affinity.choose(plan.model.id, line.shares, replicas, beginning)

    async def _wait(self, line: _Line, plan: "Plan") -> Placed:
        loop = asyncio.get_running_loop()
        turn = _Turn(plan, time.monotonic() + self._limits.engine_wait_s, loop.create_future())
        self._turns[plan.request_id] = turn
        given_up = line.waiting.push(plan.caller.tenant.id, turn)
        if given_up is not None:
            self._give_up(given_up, errors.engines_busy(plan.model.name))
        self._serve(line)
        return await turn.placed

    def _serve(self, line: _Line) -> None:
        """Fill the places that are free, in turn."""
        while line.waiting:
            tenant, turn = line.waiting.first(line.under_way)
            found = self._usable(turn.plan)
            free = with_room(found)
            if found and not free:
                return
            line.waiting.take(tenant, turn)
            self._answer(turn, self._begin(line, turn.plan, free) if free else errors.no_replica(turn.plan.model.name))

    def _give_up(self, turn: _Turn, why: errors.Refusal) -> None:
        self._line_of(turn.plan.model.id).waiting.remove(turn.plan.caller.tenant.id, turn)
        self._answer(turn, why)

    def _answer(self, turn: _Turn, placed: Placed) -> None:
        del self._turns[turn.plan.request_id]
        turn.placed.set_result(placed)
