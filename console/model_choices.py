"""The models that people choose from where keys and projects are narrowed to some."""

from collections.abc import Iterable

from billing.prices.visibility import visible_models, visible_to
from gateway.pools.serving import is_served
from identity.models import Project, Tenant
from models_catalog.models import LanguageModel


def model_names(tenant: Tenant) -> list[str]:
    """The models that can be called now, then the others that the tenant sees."""
    models = visible_models(tenant).annotate(is_served=is_served()).order_by("-is_served", "name")
    return list(models.values_list("name", flat=True))


def models_for_keys(tenant: Tenant, project: Project | None, kept: Iterable[str] = ()) -> list[str]:
    """What a key of the project can be narrowed to: the project's list, or all. First what it has already (`kept`)."""
    listed = project.allowed_models if project else []
    return list(dict.fromkeys([*kept, *(_seen(tenant, listed) if listed else model_names(tenant))]))


def _seen(tenant: Tenant, names: list[str]) -> list[str]:
    """Those of the names that are not a hidden model's."""
    hidden = LanguageModel.objects.filter(name__in=names).exclude(visible_to(tenant))
    unseen = set(hidden.values_list("name", flat=True))
    return [name for name in names if name not in unseen]
