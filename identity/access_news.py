"""Tells whoever keeps a door open for somebody (a page's socket) that what they may do changed, so that it asks again
at once. Only a hint, by PostgreSQL's NOTIFY when the transaction commits: a listener that missed it asks anyway, later.
"""

from collections.abc import Iterable

from django.db import connection

CHANNEL = "beffroi_access"
_TELL = "select pg_notify(%s, id::text) from unnest(%s::bigint[]) id"


def tell_access_changed(person_ids: Iterable[int]) -> None:
    """These people's sessions or memberships changed or ended, if the transaction holds."""
    ids = sorted(set(person_ids))
    if ids:
        with connection.cursor() as cursor:
            cursor.execute(_TELL, [CHANNEL, ids])
