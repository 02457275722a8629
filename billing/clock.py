"""The time that counts is the database's."""

from datetime import datetime

from django.db import connection


def database_now() -> datetime:
    """The database's clock as it stands now, not at the transaction's start: call it after the locks are held."""
    with connection.cursor() as cursor:
        cursor.execute("select clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
    return now
