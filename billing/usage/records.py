"""Reads of what was used, for pages and the API: usage records one by one, their sums by hour, refusals.

Who may see what is decided before (`identity/access.py`); here a `Reader` says it: a tenant, perhaps narrowed to
projects or a key. Every list is bounded: records and refusals by keyset pages, sums by `MOST_ROWS`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import Model, Q, QuerySet, Sum
from django.db.models.functions import TruncDay, TruncHour

from billing.models import LedgerEntry, MeterPrice, Refusal, RefusalCount, UsageHour, UsageRecord
from billing.pricing import METERS, MissingPrice, Prices
from identity.access import Caller
from identity.permissions import Permission
from models_catalog.models import LanguageModel

# A page of sums larger than this is no page; whoever needs more asks for a shorter time or exports the records.
MOST_ROWS = 10_000
# A request id is made before the request waits for its admission (15 s at most), by another clock than the database's.
ID_MARGIN = timedelta(hours=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_Row = TypeVar("_Row", bound=Model)
_QUANTITIES = tuple(f"{meter}_quantity" for meter in METERS)
_SUMMED = ("requests", "failed_requests", *_QUANTITIES, "cost_nano_eur", "uncharged_nano_eur")


class TooManyRows(ValueError):
    """More than `MOST_ROWS` sums were asked for at once."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Whose usage may be read: the whole tenant's, or only that of some projects or of one key of it."""

    tenant_id: int
    key_id: int | None = None
    project_ids: frozenset[int] | None = None


@dataclass(frozen=True, slots=True)
class Filters:
    """What to look for; empty ones do not narrow. `[since, until)` is when it was admitted, `model` a model's name,
    `label` what its client called it, `is_trouble` what did not complete. Sums by hour know no label.
    """

    since: datetime | None = None
    until: datetime | None = None
    model: str = ""
    key_id: int | None = None
    project_id: int | None = None
    label: str = ""
    status: str = ""
    is_trouble: bool = False
    request_id: UUID | None = None


def reader_of_member(caller: Caller) -> Reader:
    """What a person may read of the tenant's usage: that of their projects. Raises `Forbidden`."""
    caller.require(Permission.USAGE_READ)
    return Reader(caller.tenant.pk, project_ids=caller.project_ids)


class MeterLine(NamedTuple):
    """How much of a meter a request used. The amounts (nano-EUR) of a record add up to its cost and `uncharged`.

    `price` is in nano-EUR per million units, None where its price version has none.
    """

    meter: str
    quantity: int
    price: int | None
    amount: int


@dataclass(frozen=True, slots=True)
class RecordPage:
    """Usage records, the newest first, the prices they were billed at, and what was given back of their cost (nano-EUR,
    by request). `next` continues the list; None: its end.
    """

    records: Sequence[UsageRecord]
    prices: Mapping[int, Prices]
    refunds: Mapping[UUID, int]
    next: UUID | None


@dataclass(frozen=True, slots=True)
class RefusalPage:
    """Refused requests, the newest first. `next` continues the list; None: it is at its end."""

    refusals: Sequence[Refusal]
    next: tuple[datetime, UUID] | None


class Interval(StrEnum):
    """How long the times are that usage is added up over. ALL: one sum for all of the time."""

    HOUR = "hour"
    DAY = "day"
    ALL = "all"


class Grouping(StrEnum):
    """By what usage is added up, beside time."""

    MODEL = "model"
    KEY = "key"
    PROJECT = "project"


@dataclass(frozen=True, slots=True)
class UsageSum:
    """Usage records added up. What they were not grouped by is None; quantities are units a meter, money nano-EUR.

    `kwh_per_million_tokens` is the model's, as the catalogue declares it today.
    """

    starts_at: datetime | None
    model: str | None
    kwh_per_million_tokens: Decimal | None
    key_id: int | None
    project_id: int | None
    requests: int
    failed_requests: int
    quantities: Mapping[str, int]
    cost_nano_eur: int
    uncharged_nano_eur: int


class RefusalSum(NamedTuple):
    """How many requests of a key were refused with a code."""

    key_id: int
    code: str
    refusals: int


def records_page(reader: Reader, filters: Filters, *, after: UUID | None = None, size: int) -> RecordPage:
    """One page of at most `size` records, the newest first, continued after the id `after`.

    No record appears twice while others are written. A request that was slow may be settled, and so appear, behind a
    page that was read already: who follows usage closely asks again by `since`.
    """
    found = records_found(reader, filters)
    if after is not None:
        found = found.filter(request_id__lt=after)
    rows = list(found.order_by("-request_id")[: size + 1])
    records = rows[:size]
    prices = prices_of_versions({record.price_version_id for record in records})
    return RecordPage(
        records, prices, refunds_of(reader.tenant_id, records), records[-1].request_id if len(rows) > size else None
    )


def refunds_of(tenant_id: int, records: Iterable[UsageRecord]) -> dict[UUID, int]:
    """Nano-EUR by request that were given back for answers withheld after their charge (`give_back_v1`)."""
    keys = [f"withheld {record.request_id}" for record in records if not record.stream and record.cost_nano_eur]
    found = LedgerEntry.objects.filter(tenant_id=tenant_id, idempotency_key__in=keys)
    return {entry.request_id: entry.amount_nano_eur for entry in found if entry.request_id}


def meter_lines(record: UsageRecord, prices: Prices) -> list[MeterLine]:
    """What the record's amounts are made of: one line a meter that was used."""
    lines = []
    for place, meter in enumerate(METERS):
        quantity, amount = getattr(record, f"{meter}_quantity"), getattr(record, f"{meter}_nano_eur")
        if quantity or amount:
            lines.append(MeterLine(meter, quantity, _price(prices, place), amount))
    return lines


def prices_of_versions(version_ids: Iterable[int]) -> dict[int, Prices]:
    """The prices of each price version, by its id, in one query."""
    given: dict[int, dict[str, int]] = {version_id: {} for version_id in version_ids}
    for price in MeterPrice.objects.filter(version_id__in=given):
        given[price.version_id][price.meter] = price.nano_eur_per_million
    return {version_id: Prices(version_id, prices) for version_id, prices in given.items()}


def sums(
    reader: Reader, filters: Filters, *, by: Sequence[Grouping], interval: Interval, time_zone: str
) -> list[UsageSum]:
    """The usage that began in `[filters.since, filters.until)`, added up a group and interval, in the order of time.

    Usage is kept by whole hours (UTC): `since` is rounded down to one, `until` up. Days are those of `time_zone`;
    where that lies half an hour off, an hour counts to the day in which it begins. Raises TooManyRows.
    """
    hours = hours_found(reader, filters)
    if interval is not Interval.ALL:
        truncate = TruncHour("hour") if interval is Interval.HOUR else TruncDay("hour", tzinfo=ZoneInfo(time_zone))
        hours = hours.annotate(starts_at=truncate)
    totals = {f"sum_{name}": Sum(name) for name in _SUMMED}
    columns = (["starts_at"] if interval is not Interval.ALL else []) + [f"{group}_id" for group in by]
    if not columns:
        total = hours.aggregate(**totals)
        return [_usage_sum(total, {})] if total["sum_requests"] else []
    found = hours.values(*columns).annotate(**totals).order_by(*columns)
    rows = list(found[: MOST_ROWS + 1])
    if len(rows) > MOST_ROWS:
        raise TooManyRows(f"more than {MOST_ROWS} rows: ask for a shorter time, longer intervals or fewer groups")
    models = LanguageModel.objects.in_bulk({row["model_id"] for row in rows}) if Grouping.MODEL in by else {}
    return [_usage_sum(row, models) for row in rows]


def refusals_page(
    reader: Reader, filters: Filters, *, code: str = "", after: tuple[datetime, UUID] | None = None, size: int
) -> RefusalPage:
    """One page of at most `size` refused requests, the newest first, continued after `after` (time, id)."""
    rows = list(refusals_found(reader, filters, code=code, after=after)[: size + 1])
    last = rows[:size][-1] if len(rows) > size else None
    return RefusalPage(rows[:size], (last.at, last.request_id) if last else None)


def refusals_found(
    reader: Reader, filters: Filters, *, code: str = "", after: tuple[datetime, UUID] | None = None
) -> QuerySet[Refusal]:
    """The refused requests that the reader may see and the filters let by, the newest first, after `after`."""
    found = _narrowed(Refusal.objects.all(), reader, filters, time="at")
    exact = {"request_id": filters.request_id, "model": filters.model, "code": code}
    found = found.filter(**{name: value for name, value in exact.items() if value})
    if after is not None:
        at, request_id = after
        found = found.filter(Q(at__lt=at) | Q(at=at, request_id__lt=request_id), at__lte=at)
    return found.order_by("-at", "-request_id")


def refusal_sums(reader: Reader, filters: Filters) -> list[RefusalSum]:
    """How often each key was refused with each code, in the whole minutes of the filters' time. Raises TooManyRows."""
    found = _narrowed(RefusalCount.objects.all(), reader, filters, time="minute")
    counted = found.values("key_id", "code").annotate(total=Sum("refusals")).order_by("key_id", "code")
    rows = list(counted[: MOST_ROWS + 1])
    if len(rows) > MOST_ROWS:
        raise TooManyRows(f"more than {MOST_ROWS} rows: ask for one project or key")
    return [RefusalSum(row["key_id"], row["code"], row["total"]) for row in rows]


def lowest_request_id(at: datetime) -> UUID:
    """The lowest UUIDv7 that can be made at `at`: milliseconds since 1970 in its first 48 bits (RFC 9562, 5.7)."""
    return UUID(int=max(int(at.timestamp() * 1000), 0) << 80)


def id_made_at(request_id: UUID) -> datetime:
    """When a UUIDv7 was made, in whole milliseconds."""
    return _EPOCH + timedelta(milliseconds=request_id.int >> 80)


def records_found(reader: Reader, filters: Filters) -> QuerySet[UsageRecord]:
    """The records that the reader may see and the filters let by, in no order."""
    found = _narrowed(UsageRecord.objects.all(), reader, filters, time="admitted_at")
    # The ids bound the partitions and the part of the index to be read; the exact time then decides.
    if filters.since:
        found = found.filter(request_id__gte=lowest_request_id(filters.since - ID_MARGIN))
    if filters.until:
        found = found.filter(request_id__lt=lowest_request_id(filters.until + ID_MARGIN))
    if filters.is_trouble:
        found = found.filter(~Q(status="completed"))
    exact = {
        "request_id": filters.request_id, "model": filters.model, "label": filters.label, "status": filters.status,
    }  # fmt: skip
    return found.filter(**{name: value for name, value in exact.items() if value})


def hours_found(reader: Reader, filters: Filters) -> QuerySet[UsageHour]:
    """The hourly sums that the reader may see and the filters' time, model, key and project let by, in no order."""
    since = filters.since and filters.since.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    found = _narrowed(UsageHour.objects.all(), reader, replace(filters, since=since), time="hour")
    if filters.model:
        found = found.filter(model_id__in=LanguageModel.objects.filter(name=filters.model).values("pk"))
    return found


def _narrowed(rows: QuerySet[_Row], reader: Reader, filters: Filters, *, time: str) -> QuerySet[_Row]:
    """The rows that the reader may see, of the key, project and time (column `time`) of the filters."""
    exact = {"tenant_id": reader.tenant_id, "project_id": filters.project_id}
    found = rows.filter(**{name: value for name, value in exact.items() if value is not None})
    for key_id in (reader.key_id, filters.key_id):
        if key_id is not None:
            found = found.filter(key_id=key_id)
    if reader.project_ids is not None:
        found = found.filter(project_id__in=reader.project_ids)
    if filters.since:
        found = found.filter(**{f"{time}__gte": filters.since})
    if filters.until:
        found = found.filter(**{f"{time}__lt": filters.until})
    return found


def _price(prices: Prices, meter_index: int) -> int | None:
    try:
        return prices.of(meter_index)
    except MissingPrice:
        return None


def _usage_sum(row: Mapping[str, Any], models: Mapping[int, LanguageModel]) -> UsageSum:
    model = models[row["model_id"]] if "model_id" in row else None
    return UsageSum(
        starts_at=row.get("starts_at"),
        model=model.name if model else None,
        kwh_per_million_tokens=model.kwh_per_million_tokens if model else None,
        key_id=row.get("key_id"),
        project_id=row.get("project_id"),
        requests=row["sum_requests"],
        failed_requests=row["sum_failed_requests"],
        quantities={meter: row[f"sum_{meter}_quantity"] for meter in METERS},
        cost_nano_eur=row["sum_cost_nano_eur"],
        uncharged_nano_eur=row["sum_uncharged_nano_eur"],
    )
