"""Seals what the usage records of a closed month add up to, and detaches the month once nobody has to keep it (I7).

Only the owner of the tables may: `manage.py seal_usage`. Both are in the audit chain, the seal with its digest; so who
rewrites rows, seal and all has to rewrite the chain too, and `verify_ledger` compares the three.

    digest of a record      billing_usage_digest_v1
    of an hour of a key     SHA-256 of its records' digests in the order of their ids: a row of billing_sealed_hour
    of the month            SHA-256 of one digest an hour: of those, in order, of its rows, with their sums and digest
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Self

from django.db import connection, transaction

from billing.checks import recount
from billing.checks.verification import partition_differences
from billing.models import SealedMonth
from identity import audit
from identity.errors import Conflict, Invalid
from identity.service import read_service

LOCK_SECONDS = 2  # detaching locks every charge out: behind a long reader it gives up rather than make them wait
_MONTH = re.compile(r"(20[0-9]{2})-(0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True)
class Month:
    """A calendar month in UTC, as the usage records are partitioned."""

    first_day: date

    @classmethod
    def parse(cls, text: str) -> Self:
        """Of `2026-10`. Raises Invalid."""
        match = _MONTH.fullmatch(text)
        if match is None:
            raise Invalid("month", "A month looks like 2026-10.")
        return cls(date(int(match[1]), int(match[2]), 1))

    def __str__(self) -> str:
        return f"{self.first_day:%Y-%m}"

    @property
    def partition(self) -> str:
        """The table of its records."""
        return f"billing_usage_record_{self.first_day:%Y_%m}"

    def later(self, months: int) -> datetime:
        """The instant at which the month begins that is so many later."""
        number = self.first_day.year * 12 + self.first_day.month - 1 + months
        return datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC)


def seal(month: Month, *, actor: audit.Actor) -> SealedMonth:
    """Write the month's totals down for ever. Raises Conflict: not over, requests under way, or sealed already."""
    with transaction.atomic(), connection.cursor() as cursor:
        # Whoever seals the same month at once waits here, and then finds it sealed.
        cursor.execute("lock table billing_sealed_month in share row exclusive mode")
        if SealedMonth.objects.filter(pk=month.first_day).exists():
            raise Conflict(f"{month} is sealed already.")
        _check_attached(cursor, month)
        cursor.execute(recount.IS_CLOSED, [month.later(1), month.later(1)])
        is_over, has_holds = cursor.fetchone()
        if not is_over or has_holds:
            raise Conflict(f"{month} is not over yet." if not is_over else f"Requests of {month} are still under way.")
        cursor.execute(recount.seal_hours(month.partition), [month.first_day])
        cursor.execute(recount.SEAL_MONTH, [month.first_day, month.first_day])
        sealed = SealedMonth.objects.get(pk=month.first_day)
        audit.record(actor=actor, action="usage.sealed", target=_target(month), detail=_detail(sealed))
    return sealed


def detach(month: Month, *, actor: audit.Actor) -> None:
    """Take the month's records out of the ledger: its sealed totals stand in for them from now on.

    They stay in a table of their own, `month.partition`, for the owner to archive and drop. Raises Conflict: not
    sealed, still to be kept (`identity/service.py: months_of_usage`), or the records are not those that were sealed.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"set local lock_timeout = '{LOCK_SECONDS}s'")
        if not SealedMonth.objects.filter(pk=month.first_day).exists():
            raise Conflict(f"{month} is not sealed.")
        _check_attached(cursor, month)
        kept_until = month.later(1 + read_service().months_of_usage)
        cursor.execute("select now() >= %s", [kept_until])
        if not cursor.fetchone()[0]:
            raise Conflict(f"The records of {month} are kept until {kept_until:%Y-%m-%d}.")
        wrong = next(partition_differences(cursor, month.partition), None)
        if wrong is not None:
            raise Conflict(f"The records of {month} are not what was sealed: {wrong}.")
        cursor.execute(f"alter table billing_usage_record detach partition {month.partition}")
        # Their words are the client's: they go with the records.
        bounds = [month.later(0), month.later(1)]
        cursor.execute("delete from billing_usage_label where hour >= %s and hour < %s", bounds)
        audit.record(actor=actor, action="usage.detached", target=_target(month))


@dataclass(frozen=True, slots=True)
class Seals:
    """The months that are sealed: the first and the last, when the last one was, and those taken out of the ledger."""

    first: Month | None
    last: Month | None
    sealed_at: datetime | None
    detached: list[Month]


def seals() -> Seals:
    """What `seal` and `detach` have done so far. Two queries."""
    rows = list(SealedMonth.objects.order_by("month").values_list("month", "sealed_at"))
    with connection.cursor() as cursor:
        cursor.execute(recount.PARTITIONS)
        attached = {row[0] for row in cursor.fetchall()}
    months = [Month(first_day) for first_day, _sealed_at in rows]
    gone = [month for month in months if month.partition not in attached]
    if not months:
        return Seals(None, None, None, [])
    return Seals(months[0], months[-1], max(sealed_at for _month, sealed_at in rows), gone)


def _check_attached(cursor: Any, month: Month) -> None:
    cursor.execute(recount.PARTITIONS)
    if month.partition not in [row[0] for row in cursor.fetchall()]:
        raise Conflict(f"There are no records of {month} in the ledger.")


def _target(month: Month) -> audit.Target:
    return audit.Target("usage_month", str(month))


def _detail(sealed: SealedMonth) -> dict[str, Any]:
    return {
        "requests": sealed.requests,
        "cost_nano_eur": int(sealed.cost_nano_eur),
        "uncharged_nano_eur": int(sealed.uncharged_nano_eur),
        "digest": bytes(sealed.digest).hex(),
    }
