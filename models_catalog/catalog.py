"""What the catalog answers. Verbs that change it are in `loading`."""

from identity.models import Tenant
from models_catalog.lifecycle import Lifecycle, lifecycle_of
from models_catalog.models import LanguageModel, ModelAlias

__all__ = ["Lifecycle", "lifecycle_of", "model_by_name_or_alias"]


def model_by_name_or_alias(name: str, tenant: Tenant | None = None) -> LanguageModel | None:
    """The model that `name` means to the tenant: its own alias, else a model's name, else everybody's alias."""
    aliases = ModelAlias.objects.filter(alias=name).select_related("model")
    if tenant is not None and (own := aliases.filter(tenant=tenant).first()):
        return own.model
    if model := LanguageModel.objects.filter(name=name).first():
        return model
    everybodys = aliases.filter(tenant=None).first()
    return everybodys.model if everybodys else None
