"""Where a request goes (DESIGN, step 5), and who waits while all replicas of a model have as much as they may.

A request that waits has its hold already and keeps it; it has no engine. It leaves the line when it gets a place, when
its client leaves, when others are entitled to its place in a full line, or when its time is over. A model that wakes
when asked has a line even without an engine: who waits there is why one is started (`demand_notes.py`).
"""

import asyncio
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from gateway.relay import errors
from gateway.relay.affinity import Affinity, Shares
from gateway.relay.fair_queue import FairQueue
from gateway.relay.limits import Limits
from gateway.relay.prefixes import beginning_of
from gateway.relay.routing import Replica, least_busy, usable, with_room

if TYPE_CHECKING:
    from gateway.relay.admission import Plan
    from gateway.relay.snapshot import Caller, Model, Snapshot

Placed = Replica | errors.Refusal


class OnAsked(Protocol):
    """Is told of a model that wakes when asked; `wakes`: somebody waits until it has an engine."""

    def __call__(self, model_id: int, *, wakes: bool = False) -> None: ...


@dataclass(slots=True, eq=False)
class _Turn:
    """A request in a line. `deadline` in monotonic seconds."""

    plan: "Plan"
    deadline: float
    placed: "asyncio.Future[Placed]"


@dataclass(slots=True)
class _Line:
    """What happens at a model: who waits, how many requests of each tenant are under way, what is asked most.

    used: of those under way, how many are not the platform's own
    """

    waiting: FairQueue[_Turn]
    under_way: dict[int, int] = field(default_factory=dict)
    used: int = 0
    shares: Shares = field(default_factory=Shares)


class Placing:
    """The places at all replicas, as far as this process may use them."""

    def __init__(self, limits: Limits, snapshot: "Snapshot", on_asked: OnAsked) -> None:
        self._limits, self._snapshot, self._on_asked = limits, snapshot, on_asked
        self._affinity = Affinity(limits.remembered_prompts)
        self._lines: dict[int, _Line] = {}
        self._turns: dict[UUID, _Turn] = {}

    async def place(self, plan: "Plan", tried: Collection[Replica]) -> Placed:
        """A replica that was not tried, where the request now has a place, which it gives back (`ended`); or why there
        is none. Waits for one where all are full, or where the model is to be woken first, but not a second time after
        an engine failed it.
        """
        line = self._line_of(plan.model.id)
        found = self._usable(plan, tried)
        free = with_room(found)
        if found and (tried or (free and not line.waiting)):
            return self._begin(line, plan, free or found)
        if tried:
            return errors.no_replica(plan.model.name)
        if not found and (why := self.why_none(self._model_of(plan), plan.caller)):
            return why
        return await self._wait(line, plan, wakes=not found)

    def why_none(self, model: "Model", caller: "Caller") -> errors.Refusal | None:
        """Why a request for a model without an engine does not wait for one either. Our own probe wakes nobody."""
        if not model.wakes or caller.tenant.is_platform:
            return errors.no_replica(model.name)
        if model.is_stuck:
            self._on_asked(model.id)  # so that it goes on being tried
            return errors.no_room(model.name)
        return None

    def ended(self, plan: "Plan", replica: Replica) -> None:
        """A request gives its place back: the next one in line gets it."""
        replica.ended()
        line, tenant = self._line_of(plan.model.id), plan.caller.tenant
        line.used -= not tenant.is_platform
        line.under_way[tenant.id] -= 1
        if not line.under_way[tenant.id]:
            del line.under_way[tenant.id]
        if line.waiting:
            self._serve(line)

    def leave(self, request_id: UUID) -> None:
        """Its client left, or the process ends: whoever waits behind it moves up."""
        turn = self._turns.get(request_id)
        if turn is not None:
            self._give_up(turn, errors.stopping())

    def waiting(self) -> dict[str, int]:
        """By model that was asked for here, how many requests wait for a place."""
        models = {model.id: model.name for model in self._snapshot.models.values()}
        return {models[pk]: len(line.waiting) for pk, line in self._lines.items() if pk in models}

    def tick(self, now: float) -> None:
        """Once a second: give up those whose time is over; replicas may be well again."""
        for turn in [turn for turn in self._turns.values() if turn.deadline <= now]:
            is_busy = self._usable(turn.plan) or not self._model_of(turn.plan).wakes
            why = errors.engines_busy if is_busy else errors.still_starting
            self._give_up(turn, why(turn.plan.model.name))
        self.serve_all()
        known = {model.id for model in self._snapshot.models.values()}
        for model_id in [each for each in self._lines.keys() - known if not self._lines[each].under_way]:
            del self._lines[model_id]

    def serve_all(self) -> None:
        """Replicas may have come, or gone."""
        for line in list(self._lines.values()):
            if line.waiting:
                self._serve(line)

    def demand(self) -> dict[int, tuple[int, bool]]:
        """By model, how many wait, and of those that wake when asked, whether somebody is being answered."""
        wakes = {model.id for model in self._snapshot.models.values() if model.wakes}
        return {pk: (len(line.waiting), pk in wakes and line.used > 0) for pk, line in self._lines.items()}

    # ---- inside
    def _line_of(self, model_id: int) -> _Line:
        line = self._lines.get(model_id)
        if line is None:
            line = self._lines[model_id] = _Line(FairQueue(self._limits.waiting_for_engine))
        return line

    def _model_of(self, plan: "Plan") -> "Model":
        return self._snapshot.models.get(plan.model.name, plan.model)  # its replicas may have changed

    def _usable(self, plan: "Plan", tried: Collection[Replica] = ()) -> list[Replica]:
        return usable(self._model_of(plan).replicas, tried, time.monotonic())

    def _begin(self, line: _Line, plan: "Plan", replicas: Sequence[Replica]) -> Replica:
        """Take a place at one of them, at least one."""
        replica = self._choose(line, plan, replicas)
        replica.began()
        tenant = plan.caller.tenant
        line.under_way[tenant.id] = line.under_way.get(tenant.id, 0) + 1
        if not tenant.is_platform:
            line.used += 1
            if plan.model.wakes:
                self._on_asked(plan.model.id)
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

    async def _wait(self, line: _Line, plan: "Plan", *, wakes: bool) -> Placed:
        loop = asyncio.get_running_loop()
        seconds = self._limits.wake_wait_s if wakes else self._limits.engine_wait_s
        turn = _Turn(plan, time.monotonic() + seconds, loop.create_future())
        self._turns[plan.request_id] = turn
        is_first = not line.waiting
        given_up = line.waiting.push(plan.caller.tenant.id, turn)
        if given_up is not None:
            self._give_up(given_up, errors.engines_busy(plan.model.name))
        if wakes and is_first:
            self._on_asked(plan.model.id, wakes=True)
        self._serve(line)
        return await turn.placed

    def _serve(self, line: _Line) -> None:
        """Fill the places that are free, in turn."""
        while line.waiting:
            tenant, turn = line.waiting.first(line.under_way)
            found = self._usable(turn.plan)
            free = with_room(found)
            why = None if found else self.why_none(self._model_of(turn.plan), turn.plan.caller)
            if not free and why is None:
                return
            line.waiting.take(tenant, turn)
            self._answer(turn, why or self._begin(line, turn.plan, free))

    def _give_up(self, turn: _Turn, why: errors.Refusal) -> None:
        self._line_of(turn.plan.model.id).waiting.remove(turn.plan.caller.tenant.id, turn)
        self._answer(turn, why)

    def _answer(self, turn: _Turn, placed: Placed) -> None:
        del self._turns[turn.plan.request_id]
        turn.placed.set_result(placed)
