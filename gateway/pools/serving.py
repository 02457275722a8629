"""Which models are served at the moment."""

from collections.abc import Collection

from django.db.models import Exists, OuterRef, QuerySet

from gateway.pools.models import Replica
from models_catalog.models import LanguageModel


def models_with_state(names: Collection[str]) -> QuerySet[LanguageModel]:
    """The models of these names, with `is_served`: whether a replica takes their requests. In one query."""
    ready = Replica.objects.filter(pool__model=OuterRef("pk"), state=Replica.State.READY)
    found = LanguageModel.objects.filter(name__in=names).select_related("successor")
    return found.annotate(is_served=Exists(ready)).order_by("name")
