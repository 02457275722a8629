"""Which release this is, and whether its schema is in place."""

import re
from functools import lru_cache
from pathlib import Path

from django.core.cache import cache
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

_CHANGELOG = Path(__file__).resolve().parent.parent / "CHANGELOG.md"
_CACHE_KEY, _KEPT_S = "console.pending_migrations", 60


@lru_cache
def version() -> str:
    """The newest heading of the changelog; "" where that says "Unreleased"."""
    found = re.search(r"^## (\d\S*)", _CHANGELOG.read_text(encoding="utf-8"), re.MULTILINE)
    first = re.search(r"^## (\S+)", _CHANGELOG.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found and first and found[1] == first[1] else ""


def pending_migrations() -> list[str]:
    """What the code brings and the database has not; a minute old at most."""
    found: list[str] = cache.get_or_set(_CACHE_KEY, _pending, _KEPT_S) or []
    return found


def _pending() -> list[str]:
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [f"{migration.app_label}.{migration.name}" for migration, _ in plan]
