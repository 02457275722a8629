"""Telling organisations that a model will end or has ended, as soon as somebody sets or moves its date."""

from collections.abc import Iterable
from datetime import UTC, datetime

from identity import audit
from identity.announcements import announce
from models_catalog.models import LanguageModel


def tell_of_ends(models: Iterable[LanguageModel], *, actor: audit.Actor) -> None:
    """Tell every active organisation of each of these models that has an end. The same end is told once."""
    today = datetime.now(UTC).date()
    for model in models:
        if model.retired_on is None:
            continue
        kind = "model.withdrawn" if model.retired_on <= today else "model.deprecated"
        replacement = model.successor.name if model.successor else ""
        context = {"model": model.name, "ends_on": model.retired_on.isoformat(), "replacement": replacement}
        announce(kind, context, actor=actor)
