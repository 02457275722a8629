"""When keys are used: noted in memory as they come, written by the batch. A request waits for nothing here.

A key's first use in a minute is written within seconds, its later ones with the minute: so a key costs a row a minute
however busy it is, and a gateway that dies takes at most a minute with it. Nothing depends on it but people's eyes.
"""

import asyncio
import logging
import time

import msgspec
import psycopg

from gateway.relay.config import Config
from gateway.relay.database import LOST, Line
from gateway.relay.failures import log_failure
from gateway.relay.snapshot import Caller

logger = logging.getLogger("beffroi.key_use")

EVERY_S = 5
MINUTE_S = 60
BATCH = 1_000  # keys a call: some 20 ms of the database
MOST = 500_000  # keys noted at once; past it a use is not noted (I8)
SECRET_BYTES = 8  # of a digest, that say which secret it was: `touch_keys_v1` compares as many

_Uses = dict[tuple[int, bytes], float]


class KeyUses:
    """The uses of keys that are to be written. `soon`: of keys that were not written in this minute."""

    def __init__(self, config: Config) -> None:
        self._line = Line(config.database_url, "key use", config.limits.call_s)
        self._soon: _Uses = {}
        self._later: _Uses = {}
        self._written: set[tuple[int, bytes]] = set()
        self._turns_at = time.monotonic() + MINUTE_S

    def note(self, caller: Caller, now: float) -> None:
        """A key was used at `now` (Unix seconds)."""
        use = caller.key.id, caller.secret[:SECRET_BYTES]
        noted = self._later if use in self._written else self._soon
        if len(noted) < MOST:
            noted[use] = now

    async def run(self) -> None:
        """Write, for ever."""
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self.write(time.monotonic())
            except Exception as error:  # noqa: BLE001  # were this task to end, no use would be known any more
                log_failure(logger, "use of keys", error)

    async def write(self, now: float) -> None:
        """Write what is due at `now` (monotonic). What does not arrive is told again with the key's next use."""
        if now >= self._turns_at:
            self._turns_at = now + MINUTE_S
            self._soon = self._later | self._soon
            self._later, self._written = {}, set()
        uses, self._soon = self._soon, {}
        self._written.update(uses)
        if not uses:
            return
        told = [{"key_id": key, "secret": secret.hex(), "at": at} for (key, secret), at in uses.items()]
        try:
            for start in range(0, len(told), BATCH):
                part = msgspec.json.encode(told[start : start + BATCH]).decode()
                await self._line.call("select touch_keys_v1(%s::jsonb)", (part,))
        except (psycopg.Error, *LOST) as error:
            logger.warning("the use of %d keys is lost: %s", len(told), type(error).__name__)
        finally:
            await self._line.close()  # once a minute is no reason to keep a connection

    async def close(self) -> None:
        """Write what is left."""
        self._turns_at = 0
        await self.write(time.monotonic())
