"""Whether the schema of this release is in place."""

from functools import lru_cache

from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder


def pending_migrations() -> list[str]:
    """What the code brings and the database has not. One query."""
    applied = set(MigrationRecorder.Migration.objects.values_list("app", "name"))
    return [f"{app}.{name}" for app, name in sorted(_brought() - applied)]


@lru_cache
def _brought() -> frozenset[tuple[str, str]]:
    return frozenset(MigrationLoader(None).disk_migrations)
