"""All that is known of one request: what its client saw, what engines did, what the ledger held and recorded."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg

from billing.pricing import METERS, Quantities
from tests.crash.clients import Transcript
from tests.crash.journals import Attempt


@dataclass(frozen=True)
class Record:
    """A usage record, as far as the rules look at it. Times are Unix seconds, money nano-EUR."""

    request_id: str
    label: str
    status: str
    http_status: int
    quantities: Quantities
    cost: int
    uncharged: int
    admitted_at: float
    settled_at: float

    @property
    def prompt(self) -> int:
        """Prompt tokens."""
        return self.quantities.input + self.quantities.cached

    @property
    def completion(self) -> int:
        """Completion tokens."""
        return self.quantities.output + self.quantities.reasoning


@dataclass
class HoldStory:
    """What the ledger's own log says of a request: how often each thing was written, when, and by which life."""

    held: list[float] = field(default_factory=list)
    amount: int = 0
    life: int = 0
    checkpoints: list[tuple[float, Quantities]] = field(default_factory=list)
    recorded: list[float] = field(default_factory=list)
    settled_by: int = 0


@dataclass
class Case:
    """One request. `fresh`: tokens on the wire that a checkpoint had to count before its gateway was killed or stopped
    (None where nothing can be said, as the database was away); `was_unconfirmed`: whether its gateway waited for the
    word of its charge as long as it may, or was struck itself; `was_lost`: whether that gateway was struck or fenced;
    `refunded`: nano-EUR that were given back.
    """

    request_id: str
    transcript: Transcript | None
    attempts: list[Attempt]
    record: Record | None
    hold: HoldStory
    fresh: int | None = None
    was_unconfirmed: bool = False
    was_lost: bool = False
    refunded: int = 0

    def told(self) -> list[str]:
        """For a person who looks for what went wrong."""
        lines = [f"request  {self.request_id}"]
        lines.append(f"client   {self.transcript.told() if self.transcript else 'nobody asked for it'}")
        for attempt in self.attempts:
            shown = {name: value for name, value in vars(attempt).items() if name != "progress"}
            lines.append(f"journal  {shown}")
        lines.append(f"ledger   {self.hold}")
        lines.append(f"record   {self.record}")
        return lines


_RECORDS = f"""
    select request_id, label, status, http_status, {", ".join(f"{meter}_quantity" for meter in METERS)}, cost_nano_eur,
        uncharged_nano_eur, extract(epoch from admitted_at)::float8, extract(epoch from settled_at)::float8
    from billing_usage_record where request_id = any(%s)
"""


def read_records(connection: psycopg.Connection[Any], request_ids: Iterable[str]) -> dict[str, Record]:
    """The usage records of these requests."""
    rows = connection.execute(_RECORDS, [[UUID(request_id) for request_id in request_ids]]).fetchall()
    return {
        str(row[0]): Record(str(row[0]), row[1], row[2], row[3], Quantities(*row[4:11]), *row[11:15]) for row in rows
    }


def read_refunds(connection: psycopg.Connection[Any]) -> dict[str, int]:
    """Nano-EUR given back, by request."""
    query = "select request_id, sum(amount_nano_eur)::bigint from billing_ledger_entry where kind = 'refund' group by 1"
    return {str(row[0]): row[1] for row in connection.execute(query)}


def checkpoint_quantities(told: dict[str, Any]) -> Quantities:
    """What a checkpoint counts on the meters."""
    return Quantities._make(int(told.get(meter, 0)) for meter in METERS)
