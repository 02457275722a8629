"""Puts a catalog file into the database. The file is the truth for the models that it names; others are left alone.

A file is JSON: `{"about": text, "models": [{"name": ..., "aliases": [...], "successor": name, ...}]}`; the other
members of a model are named as the fields of LanguageModel.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.forms.models import model_to_dict

from identity import audit
from models_catalog.endings import tell_of_ends
from models_catalog.lifecycle import NOTICE_MONTHS, STABLE_MONTHS, months_later
from models_catalog.models import LanguageModel, ModelAlias

OFFER = Path(__file__).parent / "data" / "models.json"

_RELATIONS = frozenset({"aliases", "successor"})
# What the operator decides here, whatever a file says of the model.
_DECIDED_HERE = ("visibility", "visible_tiers", "visible_tenants", "published_at")
_FIELDS = frozenset(model_to_dict(LanguageModel()).keys() - {"id", "is_demo", "successor", *_DECIDED_HERE})
_REQUIRED = ("name", "title", "kind", "publisher", "family", "licence", "context_window", "default_max_output")


class CatalogError(ValueError):
    """A catalog file that makes no sense. `problems` are sentences, each naming the line and the model."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True, slots=True)
class Entry:
    """A model of the file: a row that is not saved yet, its aliases and its successor's name."""

    line: int
    row: LanguageModel
    aliases: tuple[str, ...]
    successor: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """What loading did: names by outcome, in the file's order."""

    created: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)


def load_catalog(path: Path, *, actor: audit.Actor) -> Loaded:
    """Create and change what differs from the file, all or nothing. Raises CatalogError, OSError."""
    entries = read_catalog(path)
    loaded = Loaded()
    with transaction.atomic():
        rows = {row.name: row for row in LanguageModel.objects.select_for_update().order_by("pk")}
        ends = {row.name: row.retired_on for row in rows.values()}
        _refuse_taken_names(entries, rows)
        differing = [entry for entry in entries if _differs(entry, rows.get(entry.row.name))]
        for entry in differing:
            existing = rows.get(entry.row.name)
            (loaded.changed if existing else loaded.created).append(entry.row.name)
            entry.row.pk = existing.pk if existing else None
            entry.row.successor = existing.successor if existing else None
            for name in _DECIDED_HERE if existing else ():
                setattr(entry.row, name, getattr(existing, name))
            entry.row.save()
            rows[entry.row.name] = entry.row
        _link(differing, rows)
        given_ends = [entry.row for entry in differing if entry.row.retired_on != ends.get(entry.row.name)]
        tell_of_ends([row for row in given_ends if row.name in ends], actor=actor)
        if differing:
            detail = _told(created=loaded.created, changed=loaded.changed)
            audit.record(actor=actor, action="catalog.loaded", target=audit.Target("catalog", path.name), detail=detail)
    names = {entry.row.name for entry in differing}
    loaded.unchanged.extend(entry.row.name for entry in entries if entry.row.name not in names)
    return loaded


def read_catalog(path: Path) -> list[Entry]:
    """The file's models, checked. Raises CatalogError with every problem found, OSError."""
    text = path.read_text(encoding="utf-8")
    try:
        document = json.loads(text, parse_float=Decimal, object_pairs_hook=_object_without_duplicates)
    except ValueError as error:
        raise CatalogError([f"{path.name}: not JSON: {error}"]) from None
    items = document.get("models") if isinstance(document, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise CatalogError([f'{path.name}: expected {{"models": [{{...}}, ...]}}'])
    problems: list[str] = []
    entries: list[Entry] = []
    for index, item in enumerate(items, 1):
        line = _line_of(text, item.get("name"))
        label = f"{path.name}, line {line}, {item.get('name') or f'model {index}'}: "
        entry, found = _entry(line, item)
        problems.extend(label + problem for problem in found)
        if entry:
            entries.append(entry)
    problems.extend(f"{path.name}, {problem}" for problem in _problems_between(entries))
    if problems:
        raise CatalogError(problems)
    return entries


def problems_of(row: LanguageModel) -> list[str]:
    """What is wrong with a model by itself, in sentences."""
    try:
        row.clean_fields(exclude=["successor"])
    except ValidationError as error:
        return [f"{name}: {' '.join(texts)}" for name, texts in error.message_dict.items()]
    return [*_problems_of_dates(row), *_problems_of_sizes(row)]


def _entry(line: int, item: dict[str, Any]) -> tuple[Entry | None, list[str]]:
    problems = [f"{name} is missing" for name in _REQUIRED if item.get(name) in (None, "")]
    problems += [f"unknown field {name}" for name in item.keys() - _FIELDS - _RELATIONS]
    aliases, successor = item.get("aliases", []), item.get("successor", "")
    if not _is_text_list(aliases) or not isinstance(successor, str):
        problems.append("aliases must be a list of names, successor a name")
    if problems:
        return None, problems
    row = LanguageModel(**{name: value for name, value in item.items() if name in _FIELDS})
    problems = [*problems_of(row), *_problems_of_aliases(aliases)]
    return (None, problems) if problems else (Entry(line, row, tuple(aliases), successor), [])


def _problems_of_aliases(aliases: list[str]) -> list[str]:
    problems = []
    for alias in aliases:
        try:
            ModelAlias(alias=alias).clean_fields(exclude=["model", "tenant"])
        except ValidationError as error:
            problems.append(f"alias {alias!r}: {' '.join(error.messages)}")
    return problems


def _problems_of_dates(row: LanguageModel) -> list[str]:
    problems = []
    if row.channel == LanguageModel.Channel.STABLE and row.released_on:
        fixed = months_later(row.released_on, STABLE_MONTHS)
        if row.stable_until is None or row.stable_until < fixed:
            problems.append(f"stable_until: a stable version is fixed for {STABLE_MONTHS} months, here until {fixed}")
    if row.retired_on and row.deprecated_on is None:
        problems.append("deprecated_on: a model is announced as deprecated before it is retired")
    elif row.retired_on and row.deprecated_on and row.retired_on < months_later(row.deprecated_on, NOTICE_MONTHS):
        problems.append(f"retired_on: a model is retired {NOTICE_MONTHS} months after its deprecation at the earliest")
    dates: list[tuple[str, date | None]] = [
        (name, getattr(row, name)) for name in ("released_on", "stable_until", "retired_on")
    ]
    known = [(name, day) for name, day in dates if day]
    problems += [f"{later}: lies before {earlier}" for (earlier, a), (later, b) in pairwise(known) if b < a]
    return problems


def _problems_of_sizes(row: LanguageModel) -> list[str]:
    problems = []
    if not 0 < row.default_max_output <= row.context_window:
        problems.append("default_max_output: must be from 1 to the context window")
    total, active = row.parameters_billion, row.active_parameters_billion
    if active is not None and (total is None or active > total):
        problems.append("active_parameters_billion: more than the model has")
    media = row.media_max_tokens
    if not isinstance(media, dict) or any(type(most) is not int or most < 1 for most in media.values()):
        return [*problems, "media_max_tokens: an object of kind and tokens, 1 or more"]
    kinds = set(row.modalities) - {"text"}
    if kinds != set(media):
        problems.append("media_max_tokens: one entry for each modality but text")
    problems += [
        f"media_max_tokens: {kind} exceeds the context window" for kind, n in media.items() if n > row.context_window
    ]
    if row.kind == LanguageModel.Kind.CHAT and ("vision" in row.capabilities) != ("image" in kinds):
        problems.append("capabilities: vision goes with the modality image")
    return problems


def _problems_between(entries: list[Entry]) -> list[str]:
    problems = []
    owners: dict[str, str] = {}
    rows = {entry.row.name: entry.row for entry in entries}
    for entry in entries:
        label = f"line {entry.line}, {entry.row.name}: "
        for name in (entry.row.name, *entry.aliases):
            if name in owners:
                problems.append(f"{label}the name {name} is taken by {owners[name]}")
            owners.setdefault(name, entry.row.name)
        if not entry.successor:
            continue
        successor = rows.get(entry.successor)
        if successor is None or successor is entry.row:
            problems.append(f"{label}successor: {entry.successor} is no other model of this file")
        elif entry.row.retired_on is None or (successor.retired_on and successor.retired_on <= entry.row.retired_on):
            problems.append(f"{label}successor: for a model with a retirement, and lives longer than it")
    return problems


def _refuse_taken_names(entries: list[Entry], rows: dict[str, LanguageModel]) -> None:
    """A name means one model: not one of the file and another that the file does not know."""
    in_file = {entry.row.name for entry in entries}
    elsewhere = {row.name: row.name for row in rows.values() if row.name not in in_file}
    others = ModelAlias.objects.filter(tenant=None).exclude(model__name__in=in_file)
    elsewhere.update(others.values_list("alias", "model__name"))
    problems = [
        f"line {entry.line}, {entry.row.name}: the name {name} is taken by {elsewhere[name]}, which is not in the file"
        for entry in entries
        for name in (entry.row.name, *entry.aliases)
        if name in elsewhere
    ]
    if problems:
        raise CatalogError(problems)


def _differs(entry: Entry, row: LanguageModel | None) -> bool:
    if row is None or row.is_demo:
        return True
    if model_to_dict(row, _FIELDS) != model_to_dict(entry.row, _FIELDS):
        return True
    aliases = ModelAlias.objects.filter(model=row, tenant=None).values_list("alias", flat=True)
    return set(aliases) != set(entry.aliases) or (row.successor.name if row.successor else "") != entry.successor


def _link(entries: list[Entry], rows: dict[str, LanguageModel]) -> None:
    """Successors and aliases, once all models exist. An alias may move from one model of the file to another."""
    for entry in entries:
        ModelAlias.objects.filter(model=rows[entry.row.name], tenant=None).exclude(alias__in=entry.aliases).delete()
    for entry in entries:
        model = rows[entry.row.name]
        model.successor = rows[entry.successor] if entry.successor else None
        model.save(update_fields=["successor"])
        kept = set(ModelAlias.objects.filter(model=model, tenant=None).values_list("alias", flat=True))
        ModelAlias.objects.bulk_create(
            ModelAlias(model=model, alias=name) for name in entry.aliases if name not in kept
        )


def _told(**names: list[str]) -> dict[str, dict[str, int | list[str]]]:
    """For the audit chain, whose links are short: how many, and the first of them by name."""
    return {outcome: {"count": len(found), "first": found[:15]} for outcome, found in names.items()}


def _object_without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        twice = next(name for name, _ in pairs if [n for n, _ in pairs].count(name) > 1)
        raise ValueError(f"the member {twice!r} appears twice in {members.get('name', 'an object')}")
    return members


def _is_text_list(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _line_of(text: str, name: object) -> int:
    found = text.find(f'"name": {json.dumps(name)}')
    return text.count("\n", 0, max(found, 0)) + 1
