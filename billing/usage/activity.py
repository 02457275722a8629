"""What a tenant asked for, in one list: usage records and refusals, the newest first. Reads only.

Both have an id of ours, made when the request came. The list is in the order of (time, id): a record's time is that of
its id in milliseconds, a refusal's is when it was noted. The order is total and never changes, so a page that begins
after a place of it repeats and loses nothing, whatever is written meanwhile; what is settled late appears where it
belongs, which may be behind a page that was read already.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from heapq import merge
from typing import NamedTuple
from uuid import UUID

from django.db.models import Q

from billing.models import Hold, Refusal, UsageRecord
from billing.usage.busy_hours import are_rare, rare_records
from billing.usage.records import (
    Filters,
    MeterLine,
    Reader,
    id_made_at,
    meter_lines,
    records_found,
    records_page,
    refusals_found,
)

# A page says "more than 99": nobody reads further than that.
NEWS_MAX = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_ID = re.compile(r"(?<![0-9a-f])([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})(?![0-9a-f])")


class Kind(StrEnum):
    """Which of them: all, those that were admitted and did not complete, or those that were refused."""

    ALL = ""
    TROUBLE = "trouble"
    REFUSED = "refused"


class Place(NamedTuple):
    """A place in the list."""

    at: datetime
    request_id: UUID


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to look for: `filters` as elsewhere, a kind, and the code of refusals."""

    filters: Filters = field(default_factory=Filters)
    kind: Kind = Kind.ALL
    code: str = ""

    @property
    def of_records(self) -> Filters:
        """What records are filtered by."""
        return replace(self.filters, is_trouble=self.kind is Kind.TROUBLE)

    @property
    def has_records(self) -> bool:
        """Whether a record could be among them."""
        return self.kind is not Kind.REFUSED and not self.code

    @property
    def has_refusals(self) -> bool:
        """Whether a refusal could be among them."""
        return self.kind is not Kind.TROUBLE and not self.filters.status and not self.filters.label


@dataclass(frozen=True, slots=True)
class Line:
    """One request: a record or a refusal, whichever it became."""

    place: Place
    record: UsageRecord | None = None
    refusal: Refusal | None = None

    @property
    def project_id(self) -> int:
        """Of its key."""
        return self._row.project_id

    @property
    def key_id(self) -> int:
        """Which it was sent with."""
        return self._row.key_id

    @property
    def model(self) -> str:
        """The model's name; empty where the refused request named none that is known."""
        return self._row.model

    @property
    def _row(self) -> UsageRecord | Refusal:
        row = self.record or self.refusal
        assert row is not None
        return row


@dataclass(frozen=True, slots=True)
class Page:
    """The newest first. `next` continues the list; None: it is at its end."""

    lines: Sequence[Line]
    next: Place | None


@dataclass(frozen=True, slots=True)
class Receipt:
    """A request that ended: what it used at which price. `refunded_nano_eur` of the cost was given back."""

    record: UsageRecord
    meters: Sequence[MeterLine]
    refunded_nano_eur: int


def page(reader: Reader, wanted: Wanted, *, after: Place | None = None, size: int) -> Page:
    """At most `size` requests, the newest first, after the place `after`."""
    records = _records(reader, wanted, after, size + 1) if wanted.has_records else []
    refusals = _refusals(reader, wanted, after, size + 1) if wanted.has_refusals else []
    lines = list(merge(records, refusals, key=lambda line: line.place, reverse=True))
    shown = lines[:size]
    return Page(shown, shown[-1].place if len(lines) > size else None)


def news(reader: Reader, wanted: Wanted, *, since: Place | None) -> int:
    """How many requests of those wanted came after the place `since`, up to `NEWS_MAX`; None: all there are."""
    count = 0
    if wanted.has_records:
        newest = _records(reader, wanted, None, NEWS_MAX, newer_than=_last_id_at(since) if since else None)
        count += len(newest)
    if wanted.has_refusals:
        refusals = refusals_found(reader, wanted.filters, code=wanted.code)
        if since:
            later = Q(at__gt=since.at) | Q(at=since.at, request_id__gt=since.request_id)
            refusals = refusals.filter(later, at__gte=since.at)
        count += len(refusals.values_list("request_id")[:NEWS_MAX])
    return min(count, NEWS_MAX)


def receipt(reader: Reader, request_id: UUID) -> Receipt | None:
    """The record of a request that the reader may see, with all that explains its price."""
    found = records_page(reader, Filters(request_id=request_id), size=1)
    if not found.records:
        return None
    record = found.records[0]
    lines = meter_lines(record, found.prices[record.price_version_id])
    return Receipt(record, lines, found.refunds.get(request_id, 0))


def refusal(reader: Reader, request_id: UUID) -> Refusal | None:
    """A refused request that the reader may see, while it is among those kept."""
    return refusals_found(reader, Filters(request_id=request_id)).first()


def running(reader: Reader, request_id: UUID) -> Hold | None:
    """A request that is under way."""
    found = Hold.objects.filter(request_id=request_id, tenant_id=reader.tenant_id)
    if reader.project_ids is not None:
        found = found.filter(project_id__in=reader.project_ids)
    if reader.key_id is not None:
        found = found.filter(key_id=reader.key_id)
    return found.first()


def request_id_in(text: str) -> UUID | None:
    """The first request id in what somebody pasted: a header, an answer's id (`chatcmpl-...`), a line of a log."""
    match = _ID.search(text.lower())
    return UUID("".join(match.groups())) if match else None


def place_of_record(request_id: UUID) -> Place:
    """Where a record stands: the time of a UUIDv7 is its first 48 bits, milliseconds since 1970 (RFC 9562, 5.7)."""
    return Place(id_made_at(request_id), request_id)


def _records(
    reader: Reader, wanted: Wanted, after: Place | None, size: int, newer_than: UUID | None = None
) -> list[Line]:
    below = _first_id_before(after) if after else None
    if are_rare(reader, wanted.of_records):
        rows = rare_records(reader, wanted.of_records, below=below, size=size)
        rows = [row for row in rows if newer_than is None or row.request_id > newer_than]
    else:
        found = records_found(reader, wanted.of_records)
        found = found.filter(request_id__lt=below) if below else found
        found = found.filter(request_id__gt=newer_than) if newer_than else found
        rows = list(found.order_by("-request_id")[:size])
    return [Line(place_of_record(record.request_id), record=record) for record in rows]


def _refusals(reader: Reader, wanted: Wanted, after: Place | None, size: int) -> list[Line]:
    found = refusals_found(reader, wanted.filters, code=wanted.code, after=after)[:size]
    return [Line(Place(refusal.at, refusal.request_id), refusal=refusal) for refusal in found]


def _first_id_before(place: Place) -> UUID:
    """The id below which all records stand before the place (in time) and none else."""
    whole, rest = divmod(place.at - _EPOCH, _MILLISECOND)
    lowest = UUID(int=(whole + bool(rest)) << 80)
    if rest:
        return lowest
    return max(lowest, min(place.request_id, UUID(int=(whole + 1) << 80)))


def _last_id_at(place: Place) -> UUID:
    """The id above which all records stand after the place and none else."""
    if place == place_of_record(place.request_id):
        return place.request_id
    return UUID(int=max(_first_id_before(place).int - 1, 0))
