"""Catalogue entries that somebody makes here, of models that no file describes. Nobody sees them until published."""

from collections.abc import Mapping
from dataclasses import dataclass

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from identity import audit
from identity.errors import Conflict, Invalid
from models_catalog.loading import problems_of
from models_catalog.models import LanguageModel, ModelAlias

MOST_DEFAULT_OUTPUT = 4_096  # tokens
# What of an entry may change later: not what a model is, by which requests were checked and billed.
CHANGEABLE = ("title", "publisher", "licence", "description", "context_window", "default_max_output")
UNTOLD = "–"  # where nobody said who publishes a model and under which licence


@dataclass(frozen=True, slots=True)
class NewEntry:
    """What an entry needs; the rest of the description comes with a catalogue file. Sizes in tokens.

    default_max_output, template_overhead_tokens: None takes what suits the window
    """

    name: str
    kind: str
    context_window: int
    title: str = ""
    publisher: str = ""
    family: str = ""
    licence: str = ""
    description: str = ""
    default_max_output: int | None = None
    template_overhead_tokens: int | None = None


def add_model(entry: NewEntry, *, actor: audit.Actor) -> LanguageModel:
    """A new entry that nobody sees yet. Raises `Invalid`, or `Conflict` where the name means a model already."""
    publisher = entry.publisher or entry.name.rpartition("/")[0] or UNTOLD  # as the hubs of models name them
    row = LanguageModel(
        name=entry.name,
        title=entry.title or entry.name,
        kind=entry.kind,
        publisher=publisher,
        family=entry.family or publisher,
        licence=entry.licence or UNTOLD,
        description=entry.description,
        context_window=entry.context_window,
        default_max_output=entry.default_max_output or default_output(entry.kind, entry.context_window),
        modalities=["text"],
        visibility=LanguageModel.Visibility.NOBODY,
    )
    if entry.template_overhead_tokens is not None:
        row.template_overhead_tokens = entry.template_overhead_tokens
    _check(row)
    with transaction.atomic():
        if ModelAlias.objects.filter(alias=row.name, tenant=None).exists():
            raise Conflict(_("There is a model of this name already."))
        try:
            with transaction.atomic():
                row.save(force_insert=True)
        except IntegrityError:
            raise Conflict(_("There is a model of this name already.")) from None
        target = audit.Target("languagemodel", str(row.pk), row.name)
        audit.record(actor=actor, action="catalog.model_added", target=target, detail={"model": row.name})
    return row


def change_model(model: LanguageModel, changes: Mapping[str, object], *, actor: audit.Actor) -> bool:
    """Change what an entry says, of the fields `CHANGEABLE`; False where it says so already. Raises `Invalid`."""
    with transaction.atomic():
        row = LanguageModel.objects.select_for_update(no_key=True).get(pk=model.pk)
        before = {field: getattr(row, field) for field in CHANGEABLE if field in changes}
        after = {field: changes[field] for field in before}
        if before == after:
            return False
        for field, value in after.items():
            setattr(row, field, value)
        _check(row)
        row.save(update_fields=list(after))
        target = audit.Target("languagemodel", str(row.pk), row.name)
        detail = {"model": row.name}
        audit.record(
            actor=actor, action="catalog.model_changed", target=target, detail=detail, before=before, after=after
        )
    model.refresh_from_db()
    return True


def _check(row: LanguageModel) -> None:
    for problem in problems_of(row)[:1]:
        field, message = problem.split(": ", 1)
        raise Invalid(field, message)


def default_output(kind: str, context_window: int) -> int:
    """What an answer may take where the client does not say: at most half the window; of no use but for a chat."""
    return min(MOST_DEFAULT_OUTPUT, max(1, context_window // 2)) if kind == LanguageModel.Kind.CHAT else 1
