"""Telling organisations that a model will end or has ended, as soon as somebody sets or moves its date."""

from collections.abc import Iterable
from datetime import UTC, datetime

from identity import audit
from identity.announcements import announce
from identity.models import Tenant
from models_catalog.models import LanguageModel


def tell_of_ends(models: Iterable[LanguageModel], *, actor: audit.Actor) -> None:
    """Tell every active organisation of each of these models that has an end. The same end is told once.

    Of a model that not everybody sees nobody is told here: `gateway/pools/publishing.py: withdraw()` tells who does.
    """
    for model in models:
        if model.retired_on is not None and model.visibility == LanguageModel.Visibility.EVERYBODY:
            tell_of_end(model, actor=actor)


def tell_of_end(
    model: LanguageModel, *, actor: audit.Actor, tenants: Iterable[Tenant] | None = None, names_successor: bool = True
) -> int:
    """Tell these tenants (None: all that are active) of the model's end; gives how many. The same end is told once."""
    assert model.retired_on is not None
    kind = "model.withdrawn" if model.retired_on <= datetime.now(UTC).date() else "model.deprecated"
    replacement = model.successor.name if model.successor and names_successor else ""
    context = {"model": model.name, "ends_on": model.retired_on.isoformat(), "replacement": replacement}
    return announce(kind, context, actor=actor, tenants=tenants)
