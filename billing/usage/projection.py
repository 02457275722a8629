"""What a month will have cost at its end, if it goes on like the last days. Pure integer arithmetic, nano-EUR.

    projection = spent + reserved + recent x (seconds left) / (seconds in which `recent` was spent)

`recent` is what today and the seven days before it cost; of a tenant that used nothing before, what it cost since its
first day, but for a day at least, so that a first hour is not taken for a habit. Divided once, rounded down.
"""

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

WINDOW = timedelta(days=7)
SHORTEST = timedelta(days=1)


def projected(
    *, spent: int, reserved: int, recent: int, recent_since: datetime, now: datetime, ends_at: datetime
) -> int:
    """Nano-EUR at `ends_at`; `recent` nano-EUR were spent in `[recent_since, now)`. Never below what is spent."""
    span = max(_seconds(now - recent_since), _seconds(SHORTEST))
    left = max(_seconds(ends_at - now), 0)
    return spent + reserved + recent * left // span


def recent_since(first_day: date | None, today: date, time_zone: str) -> datetime:
    """When `recent` begins: the midnight of its first day with use (None: there was none in the window)."""
    return datetime.combine(first_day or today - WINDOW, time(), ZoneInfo(time_zone))


def _seconds(span: timedelta) -> int:
    return span // timedelta(seconds=1)
