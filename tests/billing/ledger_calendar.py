"""The periods of budgets and windows of limits, cut once more: in Python's calendar."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

NEVER = datetime(1970, 1, 1, tzinfo=UTC)
FOREVER = datetime(9000, 1, 1, tzinfo=UTC)


def bounds(period: str, zone: str, now: datetime) -> tuple[datetime, datetime]:
    """The period around an instant, in the calendar of a zone; minutes and hours in UTC."""
    if period == "once":
        return NEVER, FOREVER
    if period in ("minute", "hour"):
        start = now.replace(second=0, microsecond=0)
        start = start.replace(minute=0) if period == "hour" else start
        return start, start + (timedelta(hours=1) if period == "hour" else timedelta(minutes=1))
    day = now.astimezone(ZoneInfo(zone)).date()
    if period == "day":
        first, last = day, day + timedelta(days=1)
    elif period == "week":
        first = day - timedelta(days=day.weekday())
        last = first + timedelta(days=7)
    else:
        months = {"month": 1, "quarter": 3, "year": 12}[period]
        first = day.replace(month=(day.month - 1) // months * months + 1, day=1)
        last = first.replace(year=first.year + (first.month + months > 12), month=(first.month + months - 1) % 12 + 1)
    midnights = [datetime(at.year, at.month, at.day, tzinfo=ZoneInfo(zone)).astimezone(UTC) for at in (first, last)]
    return midnights[0], midnights[1]
