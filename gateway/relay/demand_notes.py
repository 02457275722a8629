"""Tells the database who waits for an engine and which models are asked for, so that whoever looks after the fleet
starts engines, wakes models that have none, and lets those sleep that nobody asks for. Figures only.

A model without an engine for which somebody begins to wait is told at once; everything else every few seconds. What a
gateway said counts for seconds: one that died is soon counted no more.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from uuid import UUID

import msgspec
import psycopg

from gateway.relay.config import Config
from gateway.relay.database import LOST, Line
from gateway.relay.failures import log_failure

logger = logging.getLogger("beffroi.demand")

EVERY_S = 5
_NOTE = "select note_demand_v1(%s, %s::jsonb, %s)"

Lines = Callable[[], Mapping[int, tuple[int, bool]]]


class DemandNotes:
    """What this process has to tell. `lines` gives, by model, how many wait and whether some are being answered."""

    def __init__(self, config: Config, incarnation: UUID) -> None:
        self._line = Line(config.database_url, "demand", config.limits.call_s)
        self._incarnation = incarnation
        self._asked: set[int] = set()
        self._told: set[int] = set()  # of whom some waited when it was told last
        self._is_urgent = asyncio.Event()

    def asked(self, model_id: int, *, wakes: bool = False) -> None:
        """Somebody asked for the model; `wakes`: and waits until it has an engine."""
        self._asked.add(model_id)
        if wakes:
            self._is_urgent.set()

    async def run(self, lines: Lines) -> None:
        """Tell, for ever."""
        while True:
            try:
                async with asyncio.timeout(EVERY_S):
                    await self._is_urgent.wait()
            except TimeoutError:
                pass
            try:
                await self.tell(lines())
            except (psycopg.Error, *LOST) as error:
                logger.warning("who waits is not told: %s", type(error).__name__)
                await asyncio.sleep(1)
            except Exception as error:  # noqa: BLE001  # were this task to end, nothing would wake any more
                log_failure(logger, "demand", error)
                await asyncio.sleep(1)

    async def tell(self, lines: Mapping[int, tuple[int, bool]]) -> None:
        """Tell what there is to tell, once. What does not arrive is told the next time. Raises one of LOST."""
        is_urgent = self._is_urgent.is_set()
        self._is_urgent.clear()
        asked, self._asked = self._asked, set()
        in_use = asked | {model for model, (_, is_busy) in lines.items() if is_busy}
        waiting = {model: count for model, (count, _) in lines.items() if count}
        told = [
            {"model": model, "waiting": waiting.get(model, 0), "asked": model in in_use or model in waiting}
            for model in sorted(in_use | waiting.keys() | self._told)
        ]
        if not told:
            return
        try:
            await self._line.call(_NOTE, (self._incarnation, msgspec.json.encode(told).decode(), is_urgent))
        except BaseException:
            self._asked |= asked
            if is_urgent:
                self._is_urgent.set()
            raise
        self._told = set(waiting)

    async def close(self) -> None:
        """Close the connection."""
        await self._line.close()
