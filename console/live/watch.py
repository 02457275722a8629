"""Looks every two seconds what is new for whom somebody listens, and tells them; nobody listens, nobody looks.

Requests are noticed by the hourly sums and counts of refusals, which the ledger writes anyway: a read by their primary
keys of the last hours of one tenant. Nothing is added to the way of a charge.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from channels.db import database_sync_to_async
from django.db import Error, connection

from billing.usage.records import Reader

EVERY_S = 2.0
_MINE = "(%(projects)s::bigint[] is null or project_id = any(%(projects)s))"
# A stream that began three hours ago and ends now shows with the next request.
_COUNTS = f"""
    select 'requests', hour, sum(requests)::bigint from billing_usage_hour
    where tenant_id = %(tenant)s and hour > now() - interval '3 hours' and {_MINE} group by 2
    union all
    select 'refusals', date_trunc('hour', minute, 'UTC'), sum(refusals)::bigint from billing_refusal_count
    where tenant_id = %(tenant)s and minute > now() - interval '1 hour' and {_MINE} group by 2
    union all
    select 'reserved', null::timestamptz, coalesce(sum(hashtext(request_id::text)), 0)::bigint from billing_hold
    where tenant_id = %(tenant)s and {_MINE}
"""  # noqa: S608  # a constant of ours

Tell = Callable[[], Awaitable[None]]
Counts = dict[tuple[str, object], int]
logger = logging.getLogger(__name__)


@dataclass
class Watch:
    """One tenant (or some projects of it) that somebody looks at in this process."""

    listeners: set[Tell] = field(default_factory=set)
    last: Counts | None = None


class Watcher:
    """The process's one watcher. Lives in the server's event loop."""

    def __init__(self) -> None:
        self._watched: dict[Reader, Watch] = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def listeners(self) -> int:
        """How many sockets listen in this process."""
        return sum(len(watch.listeners) for watch in self._watched.values())

    def add(self, reader: Reader, tell: Tell) -> None:
        """Call `tell` whenever something is new for the reader, from now on."""
        self._watched.setdefault(reader, Watch()).listeners.add(tell)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    def remove(self, reader: Reader, tell: Tell) -> None:
        """No more."""
        watch = self._watched.get(reader)
        if watch is not None:
            watch.listeners.discard(tell)
            if not watch.listeners:
                del self._watched[reader]

    async def _run(self) -> None:
        while self._watched:
            for reader, watch in list(self._watched.items()):
                try:
                    await self._look(reader, watch)
                except Error as error:
                    logger.warning("live pages: the database is away (%s)", type(error).__name__)
            await asyncio.sleep(EVERY_S)

    async def _look(self, reader: Reader, watch: Watch) -> None:
        found = await database_sync_to_async(counts)(reader)
        before, watch.last = watch.last, found
        # An hour that went out of sight is no news; what is away from a sum of nothing is.
        if before is None or all(before.get(place, 0) == number for place, number in found.items()):
            return
        for tell in list(watch.listeners):
            await tell()


def counts(reader: Reader) -> Counts:
    """What changes with each request and refusal that the reader may know of."""
    projects = None if reader.project_ids is None else sorted(reader.project_ids)
    with connection.cursor() as cursor:
        cursor.execute(_COUNTS, {"tenant": reader.tenant_id, "projects": projects})
        return {(what, when): number for what, when, number in cursor.fetchall()}
