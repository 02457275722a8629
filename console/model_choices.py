"""The models that people choose from where keys and projects are narrowed to some."""

from collections.abc import Iterable

from django.db.models import Exists, OuterRef

from gateway.pools.models import Replica
from identity.models import Project
from models_catalog.models import LanguageModel


def model_names() -> list[str]:
    """The models that can be called now, then the others."""
    ready = Replica.objects.filter(pool__model=OuterRef("pk"), state=Replica.State.READY)
    models = LanguageModel.objects.annotate(is_ready=Exists(ready)).order_by("-is_ready", "name")
    return list(models.values_list("name", flat=True))


def models_for_keys(project: Project | None, kept: Iterable[str] = ()) -> list[str]:
    """What a key of the project can be narrowed to: the project's list, or all. First what it has already (`kept`)."""
    offered = project.allowed_models if project and project.allowed_models else model_names()
    return list(dict.fromkeys([*kept, *offered]))
