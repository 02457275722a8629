"""The wait of an answer for its charge, which may end before the charge is durable; the charge itself goes on (I1)."""

import asyncio
from collections.abc import Generator

from gateway.relay.ledger import Charge


class ChargeWait:
    """Awaited, it is over once the charge is done, late (`deadline`: monotonic seconds) or not to be waited for.

    asyncio.wait does the same for five times the CPU, and each answer waits once.
    """

    __slots__ = ("_deadline", "_over")

    def __init__(self, charge: "asyncio.Future[Charge]", deadline: float) -> None:
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._deadline = deadline
        charge.add_done_callback(self._charge_came)

    def __await__(self) -> Generator[object, None, None]:
        return self._over.__await__()

    def check_time(self, now: float) -> None:
        """End it where it is late (`now`: monotonic seconds)."""
        if now > self._deadline:
            self.end()

    def end(self) -> None:
        """Wait no longer."""
        if not self._over.done():
            self._over.set_result(None)

    def _charge_came(self, _: "asyncio.Future[Charge]") -> None:
        self.end()
