"""The time that a table of usage is about: days of a time zone, or hours."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

_DAY, _HOUR = timedelta(days=1), timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Days:
    """Whole days of the time zone, the last one included."""

    first: date
    last: date
    time_zone: str

    @property
    def slots(self) -> list[date]:
        """Each day."""
        return [self.first + number * _DAY for number in range((self.last - self.first).days + 1)]

    def bounds(self) -> tuple[datetime, datetime]:
        """From the first midnight to the one after the last day, in UTC."""
        zone = ZoneInfo(self.time_zone)
        since, until = (datetime.combine(day, time(), zone).astimezone(UTC) for day in (self.first, self.last + _DAY))
        return since, until

    def before(self) -> "Days":
        """As many days, just before."""
        return Days(self.first - len(self.slots) * _DAY, self.first - _DAY, self.time_zone)


@dataclass(frozen=True, slots=True)
class Hours:
    """`count` hours as the ledger keeps them: whole ones in UTC, the first one `since`."""

    since: datetime
    count: int

    @property
    def slots(self) -> list[datetime]:
        """When each hour begins."""
        return [self.since + number * _HOUR for number in range(self.count)]

    def bounds(self) -> tuple[datetime, datetime]:
        """Of the first, and after the last."""
        return self.since, self.since + self.count * _HOUR

    def before(self) -> "Hours":
        """As many hours, just before."""
        return Hours(self.since - self.count * _HOUR, self.count)


Span = Days | Hours


def month_of_days(first: date, time_zone: str) -> Days:
    """All days of the month that begins on `first`."""
    return Days(first, (first + 31 * _DAY).replace(day=1) - _DAY, time_zone)
