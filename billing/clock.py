"""The time that counts is the database's."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from django.db import connection


def database_now() -> datetime:
    """The database's clock as it stands now, not at the transaction's start: call it after the locks are held."""
    with connection.cursor() as cursor:
        cursor.execute("select clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
    return now


def is_to_come(day: date, now: datetime, time_zone: str) -> bool:
    """Whether a day has begun neither in UTC, whose days documents bear, nor in a tenant's time zone."""
    return day > max(now.astimezone(UTC).date(), now.astimezone(ZoneInfo(time_zone)).date())
