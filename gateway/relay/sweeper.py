"""Settles the holds that no living process answers for (I2 d): of fenced incarnations, and ours that we lost sight of.
Puts the end of budgets that were raised for a time in force.

Every gateway has a sweeper; an advisory lock lets one at a time fence. Two that settle one hold charge it once.
"""

import asyncio
import logging
import math
import random
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg

from billing.pricing import METERS, Amounts, MissingPrice, Prices, Quantities
from gateway.relay.charging import priced
from gateway.relay.config import Config
from gateway.relay.database import FENCED, LOST, Line
from gateway.relay.failures import log_failure
from gateway.relay.ledger import NOTHING, Ledger, Settlement

logger = logging.getLogger("beffroi.sweeper")

EVERY_S = 5
FRESH_S = 2  # as far as clocks may differ
BATCH = 500
KEPT_REFUSALS = 1000  # a key, one by one (DESIGN)
IDEMPOTENCY_MEMORY = "24 hours"
TIDY_ROUNDS = 120  # tidied every ten minutes

_FENCE = """
    select case when clock_timestamp() < to_timestamp(%s)
        then fence_silent_v1(make_interval(secs => %s), make_interval(secs => %s)) else 0 end
"""
_ORPHANS = "select request_id, price_version_id, checkpoint, age_ms from orphaned_holds_v1(%s)"
_OURS = """
    select request_id, price_version_id, checkpoint, (extract(epoch from now() - admitted_at) * 1000)::int
    from billing_hold
    where incarnation = %s and admitted_at < now() - interval '60 seconds' and request_id <> all(%s::uuid[])
    order by request_id limit %s
"""
_PRICES = """
    select version_id, jsonb_object_agg(meter, nano_eur_per_million) from billing_meterprice
    where version_id = any(%s) group by 1
"""


class Sweeper:
    """The task that sweeps. `works_on` gives the requests that this process works on."""

    def __init__(self, config: Config, ledger: Ledger, works_on: Callable[[], list[UUID]]) -> None:
        self._limits, self._ledger, self._works_on = config.limits, ledger, works_on
        self._line = Line(config.database_url, "sweeper", config.limits.call_s)
        self._suspects: set[UUID] = set()
        self._round = random.randrange(TIDY_ROUNDS)  # noqa: S311  # so that not all gateways tidy at once
        self._well_since = math.inf
        self.swept_at = 0.0  # Unix seconds

    async def run(self) -> None:
        """Sweep every few seconds, for ever."""
        while True:
            await asyncio.sleep(min(EVERY_S, self._limits.silent_s))
            try:
                await self.sweep()
                self._well_since, self.swept_at = min(self._well_since, time.monotonic()), time.time()
            except LOST as error:
                self._well_since = math.inf
                logger.warning("cannot sweep: %s", type(error).__name__)
            except psycopg.Error as error:
                if error.sqlstate != FENCED:
                    logger.error("cannot sweep: %s", error.sqlstate)
            except Exception as error:  # noqa: BLE001  # were this task to end, nobody would settle for the lost
                log_failure(logger, "sweep", error)

    async def sweep(self) -> None:
        """One round: fence the silent, settle what they left, then what this process lost sight of; end the raises of
        budgets whose time is over; then tidy up.
        """
        await self._fence_silent()
        await self._settle(await self._line.call(_ORPHANS, (BATCH,)))
        await self._settle_lost_ones()
        await self._end_raises()
        self._round += 1
        if self._round % TIDY_ROUNDS == 0:
            await self._line.call("select tidy_v1(%s, %s::interval)", (KEPT_REFUSALS, IDEMPOTENCY_MEMORY))

    async def _fence_silent(self) -> None:
        """Fence who was silent while we were heard: PostgreSQL's own start says nothing where a standby took over.

        Where it stood still it would take up our question before anybody's heartbeat, so the question expires. Where we
        stood still we are not well before our own heartbeat.
        """
        if not self._ledger.is_well:
            self._well_since = math.inf
        if time.monotonic() - self._well_since < self._limits.silent_s:
            return
        fenced = await self._line.call(
            _FENCE, (self._ledger.now() + FRESH_S, self._limits.silent_s, self._limits.grace_s)
        )
        if fenced[0][0]:
            self._ledger.counts.fenced_incarnations += fenced[0][0]
            logger.warning("fenced %d silent incarnations", fenced[0][0])

    async def _end_raises(self) -> None:
        """Put the end of budgets' raises in force. A database of the release before knows none."""
        try:
            for _ in range(BATCH):
                [(was_one,)] = await self._line.call("select end_raise_v1()", ())
                if not was_one:
                    return
        except psycopg.errors.UndefinedFunction:
            return

    async def close(self) -> None:
        """Close the connection."""
        await self._line.close()

    async def _settle_lost_ones(self) -> None:
        """Holds of ours that nothing here works on, seen twice: an admission whose answer was lost."""
        holds = await self._line.call(_OURS, (self._ledger.incarnation, self._works_on(), BATCH))
        await self._settle([row for row in holds if row[0] in self._suspects])
        self._suspects = {row[0] for row in holds}

    async def _settle(self, holds: list[tuple[Any, ...]]) -> None:
        if not holds:
            return
        rows = await self._line.call(_PRICES, ([row[1] for row in holds],))
        prices = {version: Prices(version, meters) for version, meters in rows}
        waiting = [self._ledger.settle(_last_settlement(row[0], row[2], row[3], prices.get(row[1]))) for row in holds]
        charges = await asyncio.gather(*waiting, return_exceptions=True)
        settled = sum(not isinstance(charge, BaseException) for charge in charges)
        self._ledger.counts.swept_holds += settled
        logger.warning("settled %d holds without an owner", settled)


def _last_settlement(request_id: UUID, checkpoint: Any, age_ms: int, prices: Prices | None) -> Settlement:
    """The charge of a request whose gateway was lost: what its stream last reported, 0 without a report."""
    told = checkpoint or {}
    quantities = Quantities._make(int(told.get(meter, 0)) for meter in METERS) if told else NOTHING
    try:
        amounts = priced(quantities, prices) if prices is not None else Amounts()
    except MissingPrice:
        amounts = Amounts()
    return Settlement(
        request_id=request_id,
        status="gateway_lost",
        http_status=CLIENT_SAW_NO_END,
        finish_reason="",
        pool=told.get("pool", ""),
        replica=told.get("replica", ""),
        node=told.get("node", ""),
        site=told.get("site", ""),
        ttft_ms=None,
        duration_ms=age_ms,
        quantities=quantities,
        amounts=amounts,
    )


CLIENT_SAW_NO_END = 502
