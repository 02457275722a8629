"""Which time the closing of a tenant's month has: from where the one before ended to the end of the month.

Months are those of the tenant's time zone. A request belongs to the whole hour (UTC) in which it was admitted, as in
the sums of hours and days, so that an invoice and a statement agree where a time zone is half an hour off (0003). Where
a tenant changes its time zone, the next period begins where the last one ended: no hour is billed twice or never.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

_HOUR = timedelta(hours=1)
# After a month's end: an admission that is behind by so much was never one.
SETTLES_FOR = timedelta(minutes=10)
_NAMED = re.compile(r"(20[0-9]{2})-(0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True)
class Period:
    """`[starts_at, ends_at)`, both a full hour."""

    starts_at: datetime
    ends_at: datetime

    def is_over(self, now: datetime) -> bool:
        """Whether no admission can come to it any more."""
        return now >= self.ends_at + SETTLES_FOR

    def last_day(self, time_zone: str) -> date:
        """That on which its last hour begins: its rate of VAT counts (article 64 of directive 2006/112/EC)."""
        return (self.ends_at - _HOUR).astimezone(ZoneInfo(time_zone)).date()


def period_of(month: date, time_zone: str, begun: datetime | None = None) -> Period:
    """The period of the month of that day. begun: where the closing of the month before ended; None: there is none."""
    first = month.replace(day=1)
    starts_at = begun or _hour_from(first, time_zone)
    return Period(starts_at, max(starts_at, _hour_from(following(first), time_zone)))


def month_named(text: str) -> date | None:
    """The first day of a month such as `2026-10`; None for any other text."""
    named = _NAMED.fullmatch(text)
    return date(int(named[1]), int(named[2]), 1) if named else None


def following(month: date) -> date:
    """The first day of the next month."""
    return (month.replace(day=1) + timedelta(days=32)).replace(day=1)


def preceding(month: date) -> date:
    """The first day of the month before."""
    return (month.replace(day=1) - timedelta(days=1)).replace(day=1)


def _hour_from(day: date, time_zone: str) -> datetime:
    """The first whole hour that begins on that day."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(time_zone)).astimezone(UTC)
    whole = midnight.replace(minute=0, second=0, microsecond=0)
    return whole if whole == midnight else whole + _HOUR
