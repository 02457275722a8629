"""`python -m tests.crash.armed_gateway --fd N`: the very gateway, which strikes when it comes to the armed point.

The product has no hooks for this: its functions are wrapped from outside, in this process. A function that the relay
no longer has fails the start of this process, and so the campaign: no point can be lost in silence.
"""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.relay import __main__ as relay
from gateway.relay.exchange import Exchange
from gateway.relay.ledger import Ledger
from gateway.relay.sweeper import Sweeper
from tests.crash.plan import Point
from tests.crash.trigger import BACKEND, ENGINE, SELF, Order, Trigger

_trigger = Trigger(Path(os.environ["CRASH_TRIGGER"]))


def reached(point: Point, label: str, *, port: int | None, line: Any) -> None:
    """Strike if this is the armed point; `port` of the request's engine, `line` the connection that is at work."""
    order = _trigger.take(point, label)
    if order is not None:
        _trigger.strike(_pids(order, port, line), order.signal, label)


def _pids(order: Order, port: int | None, line: Any) -> list[int]:
    match order.target:
        case target if target == SELF:
            return [os.getpid()]
        case target if target == ENGINE:
            return [order.engines.get(str(port)) or next(iter(order.engines.values()))]
        case target if target == BACKEND:
            connection = line._connection
            return [connection.info.backend_pid] if connection is not None and not connection.closed else []
        case pids:
            return [int(pid) for pid in pids.split()]


def _in_exchange(point: Point, exchange: Any) -> None:
    """Strike for a request under way."""
    plan, replica = exchange._plan, exchange._replica
    if plan is not None:
        port = replica.place[1] if replica is not None else None
        reached(point, plan.label, port=port, line=exchange._gateway.ledger._settle_line)


def _wrap(owner: type, name: str, make: Callable[[Any], Any]) -> None:
    setattr(owner, name, make(getattr(owner, name)))


def _admit(original: Any) -> Any:
    async def admit(self: Any, admission: Any) -> Any:
        verdict = await original(self, admission)
        if verdict.verdict == "admitted":
            reached(Point.HOLD, admission.description.label, port=None, line=self._admit_line)
        return verdict

    return admit


def _send(original: Any) -> Any:
    def send(self: Any, events: bytes) -> None:
        original(self, events)
        # The event loop hands bytes to the kernel at the end of its turn: strike in the next one.
        asyncio.get_running_loop().call_soon(_in_exchange, Point.FIRST_BYTE, self)

    return send


def _end(original: Any) -> Any:
    async def end(self: Any, plan: Any, trouble: str) -> None:
        _in_exchange(Point.LAST_USAGE, self)
        await original(self, plan, trouble)

    return end


def _charged(original: Any) -> Any:
    async def charged(self: Any, charge: Any) -> int:
        cost: int = await original(self, charge)
        _in_exchange(Point.CHARGE, self)
        return cost

    return charged


def _sweep(original: Any) -> Any:
    async def settle(self: Any, holds: list[Any]) -> None:
        if holds:
            reached(Point.SWEEPER_FOUND, "", port=None, line=self._line)
        await original(self, holds)
        if holds:
            reached(Point.SWEEPER_SETTLED, "", port=None, line=self._line)

    return settle


def main() -> None:
    """The gateway's own command, armed."""
    _wrap(Ledger, "admit", _admit)
    _wrap(Exchange, "_send", _send)
    _wrap(Exchange, "_end", _end)
    _wrap(Exchange, "_charged", _charged)
    _wrap(Sweeper, "_settle", _sweep)
    relay.main()


if __name__ == "__main__":
    main()
