"""What exports are made of: rows that are read in batches, each going on after the last one's cursor (no OFFSET)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from billing.exports.formats.table import Column, Row

# A request is settled within a day of its admission: streams are cut long before. Sums of a day that ended earlier
# before the cut are those of the ledger; of later days the records are added up, as the sums go on growing.
SETTLED_WITHIN = timedelta(days=1)


class NotKept(Exception):
    """The period has usage whose records are no longer kept; the sums of its days still are."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Of what rows are read: what was admitted in `[since, until)` and settled until `cut_at`. The rest may narrow.

    is_final: nothing of the period changes any more, and its names are kept
    tenant_id: 0 for all of them, of which each has its own scope then (`all_tenants.py`)
    """

    tenant_id: int
    time_zone: str
    since: datetime
    until: datetime
    cut_at: datetime
    is_final: bool
    project_id: int | None = None
    key_id: int | None = None
    model: str = ""

    @property
    def first_day(self) -> date:
        """In the time zone."""
        return self.since.astimezone(ZoneInfo(self.time_zone)).date()

    @property
    def last_day(self) -> date:
        """In the time zone; of a period that has not ended, the day of the cut."""
        end = min(self.until, self.cut_at)
        return (end.astimezone(ZoneInfo(self.time_zone)) - timedelta(microseconds=1)).date()

    def midnight(self, day: date) -> datetime:
        """When the day begins."""
        return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(self.time_zone))

    def parameters(self) -> dict[str, Any]:
        """For queries."""
        return {
            "tenant": self.tenant_id,
            "zone": self.time_zone,
            "since": self.since,
            "until": self.until,
            "cut": self.cut_at,
            "project": self.project_id,
            "key": self.key_id,
            "model": self.model,
        }


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows, in their order. `cursor`: after which the next ones come, None at the end; `reached`: how far in time
    they go; `total_nano_eur`: what they come to.
    """

    rows: Sequence[Row]
    cursor: list[Any] | None
    reached: datetime
    total_nano_eur: int


class Source(Protocol):
    """Reads the rows of a kind of exports."""

    COLUMNS: tuple[Column, ...]

    def read(self, scope: Scope, cursor: list[Any], size: int) -> Batch:
        """At most `size` rows after the cursor; `[]` is the beginning."""
