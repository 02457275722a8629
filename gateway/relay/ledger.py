"""The relay's side of the ledger: `admit_v1` and `settle_v1` by group commit, each on a connection of its own, and the
process's incarnation (I2): begun before the first admission, kept alive every few seconds, ended at exit.
"""

import asyncio
import logging
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import psycopg

from billing.pricing import Amounts, Quantities
from gateway.relay.batch_line import BatchLine
from gateway.relay.clock import DatabaseClock
from gateway.relay.config import Config
from gateway.relay.counts import Counts
from gateway.relay.database import FENCED, LOST, Line
from gateway.relay.failures import log_failure
from gateway.relay.group_commit import GroupCommit

logger = logging.getLogger("beffroi.ledger")
MOST_REFUSALS = 2_000  # noted at a time
NOTHING = Quantities()
UNDELIVERED = "undelivered"
NEVER = float("-inf")
AGAIN_S = 0.5  # after a heartbeat that was lost: a connection that is cut must not look like an outage

# A call that hung has been made again by the time it goes on, and what it asks for may be settled: then it comes to
# nothing (an error that nobody hears), rather than to a hold that nobody knows of.
_ADMIT = """
    select request_id, verdict, detail
    from admit_v1($1, case when clock_timestamp() < to_timestamp($3) then $2::jsonb end)
"""


class Description(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the usage record will say of a request besides its figures. What is left out the ledger knows."""

    model: str
    alias: str
    endpoint: str
    stream: bool
    max_tokens_asked: int | None
    max_tokens_given: int | None
    kwh_per_million_tokens: str | None
    label: str = ""
    guardrail: str = ""
    door: str = "api"


class Admission(msgspec.Struct, omit_defaults=True):
    """A request for a hold, as `admit_v1` reads it. `amount` in nano-EUR is the most that the request can cost.

    `replay`: it may have been asked for before; then the ledger looks further back.
    """

    request_id: uuid.UUID
    key_id: int
    key_version: int
    tenant_version: int
    model_id: int
    mode: str
    price_version_id: int
    amount: int
    tokens: int
    output_tokens: int
    idempotency: str | None
    description: Description
    replay: bool | None = None


class Verdict(NamedTuple):
    """`admit_v1`'s answer: "admitted", "stale", "budget", "limit", ... and its figures."""

    verdict: str
    detail: Any


class Settlement(msgspec.Struct):
    """The end of a request: `billing_ended` in SQL; quantities and amounts are lists in the order of the meters."""

    request_id: uuid.UUID
    status: str
    http_status: int
    finish_reason: str
    pool: str
    replica: str
    node: str
    site: str
    ttft_ms: int | None
    duration_ms: int
    quantities: Quantities
    amounts: Amounts


class Charge(NamedTuple):
    """`settle_v1`'s answer; `cost_nano_eur` is None where there was nothing to settle."""

    verdict: str
    cost_nano_eur: int | None
    uncharged_nano_eur: int | None


class Ledger:
    """The two queues, and what keeps this process's incarnation alive."""

    def __init__(self, config: Config, on_fenced: Callable[[], None]) -> None:
        self.incarnation = uuid.uuid4()
        self.begun = False
        self._beaten_at = NEVER  # monotonic, the last heartbeat that reached the database
        self.clock = DatabaseClock()
        self.counts = Counts()
        self._limits = config.limits
        self._on_fenced = on_fenced
        self._admit_line, self._settle_line = (
            BatchLine(config.database_url, name, config.limits.call_s) for name in ("admit", "settle")
        )
        self._life_line = Line(config.database_url, "life", config.limits.call_s)
        batch = config.limits.batch
        self.admissions = GroupCommit[Admission, Verdict](
            self._admit, batch=batch, on_fenced=on_fenced, on_too_late=self._undo_late_admission
        )
        self.settlements = GroupCommit[Settlement, Charge](self._settle, batch=batch, on_fenced=on_fenced)
        self._refusals: list[Mapping[str, object]] = []

    async def begin(self) -> None:
        """Begin this incarnation, waiting for the database as long as it takes."""
        told = ""
        while not self.begun:
            try:
                await self._call_with_clock(
                    "select begin_incarnation_v1(%s, %s, %s)", (self.incarnation, socket.gethostname(), os.getpid())
                )
                self.begun = True
            except psycopg.errors.UniqueViolation:
                self.begun = True  # the answer to the first try was lost
            except (psycopg.Error, *LOST) as error:
                why = " ".join(str(error).split()) or type(error).__name__  # there is no content in it yet
                if why != told:
                    logger.warning("waiting for the database: %s", why)
                    told = why
                await asyncio.sleep(0.5)

    @property
    def is_well(self) -> bool:
        """Whether a heartbeat reached the database lately; a server that hangs answers none and refuses none."""
        return time.monotonic() - self._beaten_at < 2 * self._limits.heartbeat_s

    async def admit(self, admission: Admission) -> Verdict:
        """Hold money for a request. Raises LedgerUnavailable after `admit_wait_s`; it may be held then (`undo`)."""
        return await self.admissions.submit(admission, self._limits.admit_wait_s)

    def settle(self, settlement: Settlement) -> "asyncio.Future[Charge]":
        """Queue a charge; it stays queued until the database takes it. Who waits for it never cancels it."""
        return self.settlements.submit(settlement, float("inf"))

    def undo(self, request_id: uuid.UUID) -> None:
        """Give back what an admission of unknown outcome held, if it held anything."""
        self.settle(
            Settlement(
                request_id=request_id,
                status="engine_failed",
                http_status=503,
                finish_reason="",
                pool="",
                replica="",
                node="",
                site="",
                ttft_ms=None,
                duration_ms=0,
                quantities=NOTHING,
                amounts=Amounts(),
            )
        )

    def _undo_late_admission(self, admission: Admission, verdict: Verdict) -> None:
        if verdict.verdict == "admitted":
            self.undo(admission.request_id)

    def refused(self, refusal: Mapping[str, object]) -> None:
        """Note a refused request of a known key, to be written within seconds."""
        if len(self._refusals) < self._limits.waiting_refusals:
            self._refusals.append(refusal)

    async def live(self, checkpoints: Callable[[], Mapping[str, object]]) -> None:
        """Heartbeats, checkpoints of running streams (I2 d) and refusals, for ever."""
        while True:
            await asyncio.sleep(min(self._limits.heartbeat_s, self._limits.checkpoint_s) if self.is_well else AGAIN_S)
            try:
                await self.beat(checkpoints)
            except Exception as error:  # noqa: BLE001  # were this task to end, the incarnation would be fenced
                log_failure(logger, "heartbeat", error)

    async def beat(self, checkpoints: Callable[[], Mapping[str, object]]) -> None:
        """One heartbeat with what goes with it. A slow database makes no checkpoint older: they are asked for last."""
        try:
            await self._call_with_clock("select heartbeat_v1(%s)", (self.incarnation,))
            if running := checkpoints():
                await self._life_line.call("select checkpoint_v1(%s, %s::jsonb)", (self.incarnation, _json(running)))
            await self._note_refusals()
        except LOST as error:
            self._beaten_at = NEVER
            logger.warning("no heartbeat: %s", type(error).__name__)
        except psycopg.Error as error:
            if error.sqlstate != FENCED:
                raise
            self._on_fenced()

    async def _note_refusals(self) -> None:
        """Write the refusals that wait, or let them wait on. The ledger counts a repeated one once."""
        noted = self._refusals[:MOST_REFUSALS]
        if noted:
            try:
                await self._life_line.call("select refuse_v1(%s::jsonb)", (_json(noted),))
            except LOST:
                raise
            except psycopg.Error as error:
                logger.error("%d refusals are lost: %s", len(noted), error.sqlstate)
            del self._refusals[: len(noted)]

    async def end(self) -> None:
        """Settle what is queued, then end the incarnation so that a sweeper need not wait for its silence."""
        try:
            async with asyncio.timeout(self._limits.settle_wait_s):
                await self.settlements.drained()
                await self._note_refusals()
                await self._life_line.call("select end_incarnation_v1(%s)", (self.incarnation,))
        except (TimeoutError, *LOST) as error:
            logger.warning("left to the sweeper: %s", type(error).__name__)
        for line in (self._admit_line, self._settle_line, self._life_line):
            await line.close()

    def now(self) -> float:
        """Unix seconds by the database's clock."""
        return self.clock.now()

    async def _call_with_clock(self, query: str, parameters: Sequence[object]) -> None:
        """A sign of life, which the database answers with its clock."""
        asked_at = time.monotonic()
        rows = await self._life_line.call(query, parameters)
        self._beaten_at = time.monotonic()
        self.clock.compare(rows[0][0].timestamp(), self._beaten_at - asked_at)

    async def _admit(self, batch: list[Admission], again: bool) -> list[Verdict]:  # noqa: FBT001  # as GroupCommit calls
        if again:
            for admission in batch:
                admission.replay = True
        expires = b"%.3f" % (self.now() + self._limits.call_s)
        answers = await self._admit_line.call(_ADMIT, (self.incarnation, msgspec.json.encode(batch), expires))
        verdicts = {request_id: Verdict(verdict, detail) for request_id, verdict, detail in answers}
        return [verdicts[admission.request_id] for admission in batch]

    async def _settle(self, batch: list[Settlement], again: bool) -> list[Charge]:  # noqa: FBT001  # as above
        answers = await self._settle_line.call(
            "select request_id, verdict, cost_nano_eur, uncharged_nano_eur from settle_v1($1, $2)",
            (self.incarnation, msgspec.json.encode(batch)),
        )
        charges = {row[0]: Charge(*row[1:]) for row in answers}
        self.counts.charged(charges.values())
        await self._give_back(batch, charges)
        return [charges[settlement.request_id] for settlement in batch]

    async def _give_back(self, batch: list[Settlement], charges: Mapping[uuid.UUID, Charge]) -> None:
        """Refund what was charged for answers that were withheld meanwhile: their commit hung, or its word was lost.

        Where this call is lost too, the batch is settled again, which says once more what was charged. While it runs
        further answers may be withheld whose charge is known here and not handed over yet.
        """
        asked: set[uuid.UUID] = set()
        while (
            owed := {
                settlement.request_id
                for settlement in batch
                if settlement.status == UNDELIVERED and charges[settlement.request_id].cost_nano_eur
            }
            - asked
        ):
            asked |= owed
            for request_id in owed:
                cost = charges[request_id].cost_nano_eur
                logger.error("request %s was withheld after its charge: giving %d nano-EUR back", request_id, cost)
            await self._settle_line.call("select give_back_v1(%s, %s)", (self.incarnation, list(owed)))


def _json(value: Mapping[str, object] | Iterable[object]) -> str:
    return msgspec.json.encode(value).decode()
