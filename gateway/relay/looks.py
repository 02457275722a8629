"""Whether an engine is there at all: who is silent is asked, and who is away is asked again until it answers.

An engine that thinks for long is silent, and so is one that hangs, or whose machine lost its network: then nobody
refuses a connection, and nothing says that it is gone. So while an answer is overdue the engine is asked for /health
on a connection of its own, and any answer counts. One that gives none gets no request until it does: clients are no
probes. What it had not begun to answer goes to another engine.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from gateway.relay.engine_call import is_answering
from gateway.relay.limits import Limits
from gateway.relay.routing import Replica, usable
from gateway.relay.upstream import Pool

logger = logging.getLogger("beffroi.looks")


class Looks:
    """The looks of this process at the engines that it uses. Times are monotonic seconds.

    missed: told of each look that nobody answered, as no request goes there that could fail
    """

    def __init__(self, limits: Limits, pool_of: Callable[[Replica], Pool], missed: Callable[[Replica], None]) -> None:
        self._limits, self._pool_of, self._missed = limits, pool_of, missed
        self._under_way: dict[Replica, asyncio.Task[None]] = {}
        self._away: set[Replica] = set()

    def trouble_of(
        self, replica: Replica, silent_s: float, replicas: Sequence[Replica], now: float, *, is_relayed: bool
    ) -> str:
        """Why an answer is waited for no longer, of which nothing came for so long; "" where it is.

        replicas: all of the model; is_relayed: whether bytes of the answer went to the client
        """
        if silent_s > replica.patience(self._limits, is_relayed=is_relayed):
            return "was silent for too long"
        if silent_s < self._limits.look_after_s:
            return ""
        self.look(replica, now)
        if replica.away_since is None:
            return ""
        away_s = now - replica.away_since
        if away_s > self._limits.away_s:
            return "is away"
        # Nothing is lost by asking another one, where there is one.
        is_sure = away_s >= self._limits.connect_s and not is_relayed
        return "is away" if is_sure and _others(replica, replicas, now) else ""

    def look(self, replica: Replica, now: float) -> None:
        """Ask it, unless that is being done or was done just now."""
        if replica not in self._under_way and now - replica.looked_at >= self._limits.look_every_s:
            replica.looked_at = now
            self._under_way[replica] = asyncio.get_running_loop().create_task(self._look(replica, now))

    def unreachable(self, replica: Replica, now: float) -> None:
        """No connection could be made: it rests until one can."""
        self._miss(replica, now)
        replica.looked_at = 0.0
        self.look(replica, now)

    def tick(self, known: set[tuple[str, int, bool]], now: float) -> None:
        """Once a second: ask those that are away; `known`: where engines still are."""
        self._away = {replica for replica in self._away if replica.place in known}
        for replica in self._away:
            self.look(replica, now)

    # ---- inside
    async def _look(self, replica: Replica, began: float) -> None:
        try:
            if await is_answering(self._pool_of(replica), replica, self._limits.look_s):
                self._find(replica)
            else:
                self._missed(replica)
                self._miss(replica, began)
        finally:
            del self._under_way[replica]

    def _miss(self, replica: Replica, since: float) -> None:
        if replica.away_since is not None:
            replica.went_away(min(since, replica.away_since))
            return
        logger.warning("replica %s is away: it gets no requests until it answers", replica.name)
        replica.went_away(since)
        self._away.add(replica)
        self._pool_of(replica).close()  # of what is open nothing is known

    def _find(self, replica: Replica) -> None:
        self._away.discard(replica)
        if replica.away_since is not None:
            logger.warning("replica %s answers again after %.1f s", replica.name, time.monotonic() - replica.away_since)
            replica.came_back()


def _others(replica: Replica, replicas: Sequence[Replica], now: float) -> bool:
    return any(other.away_since is None for other in usable(replicas, (replica,), now))
