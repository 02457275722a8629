"""Which models a key may call: those in its own list and in its project's, where these have one."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from django.db.models import Q

from identity.models import ApiKey


@dataclass(frozen=True, slots=True)
class ModelList:
    """The only models that a key, or its project, may call. `binds`: it leaves out what the other list, if any, has."""

    scope: Literal["key", "project"]
    models: tuple[str, ...]
    binds: bool


def model_lists_of(key: ApiKey) -> list[ModelList]:
    """The lists that there are, the nearest first. Of two that say the same the key's binds."""
    mine, theirs = set(key.allowed_models), set(key.project.allowed_models)
    lists = []
    if mine:
        lists.append(ModelList("key", tuple(key.allowed_models), binds=not theirs or not mine > theirs))
    if theirs:
        lists.append(ModelList("project", tuple(key.project.allowed_models), binds=not mine or not theirs >= mine))
    return lists


def listing_one_of(names: Iterable[str]) -> Q:
    """Of projects: those whose list has one of the names of a model, or that have no list."""
    return Q(allowed_models=[]) | Q(allowed_models__overlap=list(names))
