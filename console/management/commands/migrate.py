"""`manage.py migrate`, beside a running installation: nobody waits behind it for longer than two seconds."""

import time
from typing import Any

import psycopg
from django.core.management.commands import migrate
from django.db import OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

# A statement that waits for a lock makes everybody wait who comes after it: then it gives up, and tries again later.
LOCK_TIMEOUT = "2s"
LONGEST_PAUSE_S = 15.0
PATIENCE_S = 480  # behind a backup, say; `make up` gives a step 600 seconds
ONE_AT_A_TIME = 7300  # advisory lock; 7301 to 7303 are the ledger's
BUSY = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)

# What a concurrent build leaves that was cut off. Those of `reindex concurrently` are somebody else's.
_UNFINISHED = r"""
    select quote_ident(relname) from pg_index join pg_class on pg_class.oid = indexrelid
    where not indisvalid and relkind = 'i' and relnamespace = current_schema()::regnamespace and relname !~ '_ccnew\d*$'
"""


class Command(migrate.Command):
    """Django's, with a time-out for locks and further tries."""

    def handle(self, *args: Any, **options: Any) -> None:
        """Apply what is not applied. Raises: OperationalError after PATIENCE_S of tables that others hold."""
        connection = connections[options["database"]]
        deadline, pause_s = time.monotonic() + PATIENCE_S, 1.0
        while True:
            try:
                _prepare(connection)
                super().handle(*args, **options)
            except OperationalError as error:
                if not isinstance(error.__cause__, BUSY) or time.monotonic() > deadline:
                    raise
            else:
                return
            connection.close()
            connection.close_pool()  # type: ignore[attr-defined]  # PostgreSQL's has one; the session may be in any state
            self.stderr.write(f"The tables are in use by others; the next try is in {pause_s:.0f} s.")
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def _prepare(connection: BaseDatabaseWrapper) -> None:
    """Be the only one, with two seconds of patience for each lock, without what an earlier try left half-built."""
    with connection.cursor() as cursor:
        cursor.execute(f"set lock_timeout = '{LOCK_TIMEOUT}'")
        cursor.execute("select pg_advisory_lock(%s)", [ONE_AT_A_TIME])
        cursor.execute(_UNFINISHED)
        for (index,) in cursor.fetchall():
            cursor.execute(f"drop index concurrently {index}")
