"""Names for the ids in rows, within a tenant, one query a page. A key's public id is its look-up."""

from collections.abc import Collection
from typing import NamedTuple

from identity.models import ApiKey, Project


class KeyName(NamedTuple):
    """What a key is called outside of the database."""

    lookup: str
    name: str


def key_names(tenant_id: int, key_ids: Collection[int]) -> dict[int, KeyName]:
    """Id -> public id and name."""
    if not key_ids:
        return {}
    rows = ApiKey.objects.filter(tenant_id=tenant_id, pk__in=key_ids).values_list("pk", "lookup", "name")
    return {key_id: KeyName(lookup, name) for key_id, lookup, name in rows}


def project_names(tenant_id: int, project_ids: Collection[int]) -> dict[int, str]:
    """Id -> name."""
    if not project_ids:
        return {}
    return dict(Project.objects.filter(tenant_id=tenant_id, pk__in=project_ids).values_list("pk", "name"))


class KeyAndProject(NamedTuple):
    """What a key and its project are called."""

    lookup: str
    name: str
    project: str


def key_and_project(tenant_id: int, key_id: int) -> KeyAndProject | None:
    """The names of a key and of its project, in one query."""
    found = ApiKey.objects.filter(tenant_id=tenant_id, pk=key_id).values_list("lookup", "name", "project__name")
    row = found.first()
    return KeyAndProject(*row) if row else None
