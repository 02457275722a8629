"""Which release this is, and whether its schema is in place."""

import re
from functools import lru_cache
from pathlib import Path

from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

_CHANGELOG = Path(__file__).resolve().parent.parent / "CHANGELOG.md"


@lru_cache
def version() -> str:
    """The newest heading of the changelog; "" where that says "Unreleased"."""
    found = re.search(r"^## (\d\S*)", _CHANGELOG.read_text(encoding="utf-8"), re.MULTILINE)
    first = re.search(r"^## (\S+)", _CHANGELOG.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found and first and found[1] == first[1] else ""


def pending_migrations() -> list[str]:
    """What the code brings and the database has not. One query."""
    applied = set(MigrationRecorder.Migration.objects.values_list("app", "name"))
    return [f"{app}.{name}" for app, name in sorted(_brought() - applied)]


@lru_cache
def _brought() -> frozenset[tuple[str, str]]:
    return frozenset(MigrationLoader(None).disk_migrations)
