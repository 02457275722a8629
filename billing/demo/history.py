"""A past for demo organisations: usage that never was, in the ledger's own tables, such that all of it adds up.

Records, rollups, refusals and what budgets spent are left as the ledger's functions would have left them, which write
at the present instant only. The owner of the tables does it, for organisations that are marked as demo and for no
other; each record names the site "demo" and no pool, so that no engine's counters are held against it.

What is made is told by rows of the temporary table `past_source`, one drawn for each request: who asked which model,
and how much on average. Only numbers are made up, no text.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection, transaction

from billing.contracts.contracts import contract_in_force
from billing.demo import queries as queries
from billing.models import PriceVersion
from billing.models.prices import Mode
from billing.prices.price_book import prices_of
from identity.errors import Conflict
from identity.models import Tenant

SITE = "demo"
BATCH_RECORDS = 250_000
_NANO_A_UNIT = 1_000_000  # prices are a million units': those of the demo are whole nano-EUR a unit
_METERS = ("input", "output", "reasoning", "documents")


class Source(NamedTuple):
    """One of those that ask: `prompt` and `answer` are tokens (`documents` where it ranks) of an average request.

    `reasoning`: the share of the answer that is reasoning, in percent. It asks in `[since, until)`.
    """

    key_id: int
    project_id: int
    owner: str | None
    model: str
    endpoint: str
    prompt: int
    answer: int
    documents: int
    reasoning: int
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Past:
    """How much there is to be, and of when. `skew` 1: all sources are drawn alike; the higher, the more the first."""

    records: int
    since: datetime
    until: datetime
    skew: float = 1.0


class Day(NamedTuple):
    """How many requests there were on a day."""

    day: datetime
    requests: int


def begin(tenant: Tenant) -> None:
    """Make the connection ready: prices, an empty `past_source`, partitions are made by `write`. Raises Conflict."""
    if not tenant.is_demo:
        raise Conflict("only an organisation that is marked as demo is given a past")
    contract = contract_in_force(tenant)
    if contract is None:
        raise Conflict("the organisation has no contract")
    with connection.cursor() as cursor:
        cursor.execute(queries.MAKE_TABLES)
        cursor.executemany(queries.ADD_PRICE, _prices(contract.rate_card_id))
        cursor.execute(
            queries.REMEMBER, {"tenant": tenant.pk, "contract": contract.pk, "site": SITE, "zone": tenant.time_zone}
        )


def add_sources(sources: Sequence[Source]) -> None:
    """Who asks; one that is there twice asks twice as often."""
    with connection.cursor() as cursor:
        cursor.executemany(queries.ADD_SOURCE, sources)


def write(past: Past) -> Iterator[int]:
    """Write records and rollups, a batch a transaction; yields how many records there are by now."""
    _make_partitions(past.since)
    written = 0
    for days in _batches(past):
        values: dict[str, Any] = {
            "days": [day.day for day in days],
            "counts": [day.requests for day in days],
            "skew": past.skew,
            "until": past.until,
        }
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("set local synchronous_commit = off")
            cursor.execute("set local work_mem = '256MB'")
            cursor.execute(queries.WRITE_RECORDS, values)
            written += cursor.fetchone()[0]
        yield written


def write_refusals(past: Past, count: int) -> None:
    """Requests that were refused, one by one and counted, the more the later."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(queries.WRITE_REFUSALS, {"count": count, "since": past.since, "until": past.until})


def count_into_budgets(since: datetime) -> None:
    """Let the organisation's contract and budgets have been there since then, and count what was spent in each period
    of them that has not begun.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(queries.BEGIN_EARLIER, {"since": since})
        cursor.execute(queries.SPEND, {"since": since})


def _prices(rate_card_id: int) -> list[dict[str, Any]]:
    """The prices of each model, version by version, with the time in which each is in force."""
    versions = PriceVersion.objects.filter(rate_card=rate_card_id, mode=Mode.STANDARD).select_related("model")
    rows: list[dict[str, Any]] = []
    for version in versions.order_by("model_id", "-valid_from"):
        follows = rows[-1] if rows and rows[-1]["model_id"] == version.model_id else None
        given = dict.fromkeys(_METERS, 0) | dict(prices_of(version).nano_eur_per_million)
        given.setdefault("reasoning", given["output"])
        if any(given[meter] % _NANO_A_UNIT for meter in _METERS):
            continue
        rows.append(
            {"model_id": version.model_id, "name": version.model.name, "version_id": version.pk}
            | {"kwh": version.model.kwh_per_million_tokens, "since": version.valid_from}
            | {"until": follows["since"] if follows else None}
            | {meter: given[meter] // _NANO_A_UNIT for meter in _METERS}
        )
    return rows


def _batches(past: Past) -> Iterator[list[Day]]:
    batch: list[Day] = []
    for day in _days(past):
        if batch and sum(known.requests for known in batch) + day.requests > BATCH_RECORDS:
            yield batch
            batch = []
        batch.append(day)
    yield batch


def _days(past: Past) -> list[Day]:
    """Working days have five times the requests of a Saturday or Sunday; they double over the time."""
    span = (past.until - past.since).days
    days = [past.since + timedelta(days=number) for number in range(span + 1)]
    weights = [(1 if day.weekday() >= 5 else 5) * (span + number) for number, day in enumerate(days)]
    whole, given, taken = sum(weights), 0, []
    for day, weight in zip(days, weights, strict=True):
        before, given = given, given + weight
        taken.append(Day(day, past.records * given // whole - past.records * before // whole))
    return taken


def _make_partitions(since: datetime) -> None:
    """Those of the months before the installation was made."""
    with connection.cursor() as cursor:
        cursor.execute(queries.MAKE_PARTITIONS, {"since": since})
        cursor.execute(queries.DRAW_ALIKE)
