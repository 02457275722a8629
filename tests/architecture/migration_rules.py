"""What a migration may not do beside a running installation: each rule with the reason that a failure shows.

Tables that a migration makes itself are nobody's yet: the rules are about those that were there before.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from django.db import connection, migrations, models
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

LONGEST_LOCK_WAIT_S = 2
REWRITES = "writes the whole table anew under a lock that stops everybody"
SCANS = "reads the whole table under a lock: say `not valid`, and validate in the next migration"
LEAVES = "the last release still uses it: take it away one release later, and name the migration in EXEMPT"
INSERTS = "the last release inserts rows without it: give it a default, or let it be null"
HOLDS = "holds its locks until the migration ends: fill rows in batches, by a command"

_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_BODY = re.compile(r"(\$\w*\$).*?\1", re.DOTALL)
_CREATED = re.compile(r"^create (?:unlogged )?table (?:if not exists )?(\w+)")
_INDEX = re.compile(r"^create (?:unique )?index (?!concurrently)(?:if not exists )?(?:\w+ )?on (?:only )?(\w+)")
_ALTERED = re.compile(r"^alter table (?:if exists )?(?:only )?(\w+) (.*)")
_LOCK_TIMEOUT = re.compile(r"^set (?:local |session )?lock_timeout (?:=|to) '?(\d+)(ms|s|min)?'?$")

IN_TABLE = {
    r"\badd (constraint \w+ )?(check|foreign key)\b(?!.*\bnot valid\b)": SCANS,
    r"\badd (constraint \w+ )?(unique|primary key|exclude)\b(?!.*\busing index\b)": "builds an index under a lock that "
    "stops everybody: create it concurrently, then add the constraint `using index`",
    r"\bset not null\b": SCANS + ": a check (... is not null) first",
    r"\badd (column )?(?!constraint)(if not exists )?\w+ (?!.*\bdefault\b)[^,]*\bnot null\b": INSERTS,
    r"\balter (column )?\w+ (set data )?type\b": REWRITES,
    r"\badd (column )?[^,]*\b(small|big)?serial\b": REWRITES,
    r"\badd (column )?[^,]*\bgenerated (always|by default) as\b": REWRITES,
    r"\badd (column )?[^,]*\bdefault [^,]*\b(random|gen_random_uuid|clock_timestamp|nextval)\b": REWRITES,
    r"\bset (logged|unlogged|tablespace|access method)\b": REWRITES,
    r"\bdrop (column )?(?!column\b|constraint\b|identity\b|default\b|not\b|expression\b)\w+": LEAVES,
    r"\brename\b": LEAVES,
}
ANYWHERE = {
    r"^vacuum full\b|^cluster\b": REWRITES,
    r"^lock\b": "stops everybody until the migration ends",
    r"^truncate\b|^drop (table|view|function|type|trigger|sequence)\b": LEAVES,
    r"^alter (function|type|view)\b.*\brename\b": LEAVES,
    r"^(with\b.*)?(update|delete from)\b": HOLDS,
}
DJANGO = {
    "AddIndex": "an index that is not built concurrently stops the table's writers: AddIndexConcurrently",
    "AddConstraint": SCANS + ": AddConstraintNotValid, ValidateConstraint",
    "AlterUniqueTogether": "builds an index under a lock that stops everybody",
    "RunPython": HOLDS,
    **dict.fromkeys(
        ("RemoveField", "RenameField", "RenameModel", "RenameIndex", "AlterModelTable", "DeleteModel"), LEAVES
    ),
}


def offences(migration: migrations.Migration, state: ProjectState) -> list[str]:
    """What of a migration breaks a rule, in words. `state`: Django's models before it."""
    operations = list(_flat(migration.operations))
    found = list(_offences_of_whole(migration, operations))
    own_tables: set[str] = set()
    own_models: set[str] = set()
    for operation in operations:
        if isinstance(operation, migrations.CreateModel):
            own_models.add(operation.name_lower)
            own_tables.add(operation.options.get("db_table") or f"{migration.app_label}_{operation.name_lower}")
        elif isinstance(operation, migrations.RunSQL):
            found += _offences_of_sql(operation, own_tables)
        else:
            model = str(getattr(operation, "model_name_lower", getattr(operation, "name_lower", "")))
            if model not in own_models and _has_table(state, migration.app_label, model):
                found += _offences_of_operation(operation, migration.app_label, state)
    return found


def _has_table(state: ProjectState, app: str, model: str) -> bool:
    """Whether Django makes and changes the model's table; an operation on no model always counts."""
    known = state.models.get((app, model))
    return known is None or bool(known.options.get("managed", True))


def _flat(operations: Iterable[Operation]) -> Iterator[Operation]:
    for operation in operations:
        if isinstance(operation, migrations.SeparateDatabaseAndState):
            yield from _flat(operation.database_operations)
        else:
            yield operation


def _offences_of_whole(migration: migrations.Migration, operations: list[Operation]) -> Iterator[str]:
    is_concurrent = any(
        "Concurrently" in type(operation).__name__
        or (isinstance(operation, migrations.RunSQL) and any("concurrently" in line for line in statements(operation)))
        for operation in operations
    )
    if is_concurrent and migration.atomic:
        yield "builds an index concurrently inside a transaction: atomic = False"
    if not migration.atomic and len(operations) > 1:
        yield "is not atomic and has several operations: cut off after the first, it could not be run again"


def statements(operation: migrations.RunSQL) -> list[str]:
    """The statements of an operation, in lower case and on one line each, without comments and bodies of functions."""
    given = operation.sql if isinstance(operation.sql, list | tuple) else [operation.sql]
    text = ";".join(part if isinstance(part, str) else str(part[0]) for part in given)
    text = _BODY.sub("body", _COMMENT.sub(" ", text)).lower()
    return [" ".join(statement.split()) for statement in text.split(";") if statement.strip()]


def _offences_of_sql(operation: migrations.RunSQL, own_tables: set[str]) -> Iterator[str]:
    for statement in statements(operation):
        shown = statement[:120]
        if created := _CREATED.match(statement):
            own_tables.add(created[1])
        if (index := _INDEX.match(statement)) and index[1] not in own_tables:
            yield f"`{shown}` {DJANGO['AddIndex']}"
        if (altered := _ALTERED.match(statement)) and altered[1] not in own_tables:
            yield from (f"`{shown}` {why}" for rule, why in IN_TABLE.items() if re.search(rule, altered[2]))
        if (waits := _LOCK_TIMEOUT.match(statement)) and not 0 < _seconds(waits) <= LONGEST_LOCK_WAIT_S:
            yield f"`{shown}` lets everybody wait for longer than {LONGEST_LOCK_WAIT_S} s behind it"
        yield from (f"`{shown}` {why}" for rule, why in ANYWHERE.items() if re.search(rule, statement))


def _seconds(waits: re.Match[str]) -> float:
    return int(waits[1]) * {None: 0.001, "ms": 0.001, "s": 1, "min": 60}[waits[2]]


def _offences_of_operation(operation: Operation, app: str, state: ProjectState) -> Iterator[str]:
    kind = type(operation).__name__
    if kind in DJANGO:
        yield f"{operation.describe()}: {DJANGO[kind]}"
    if isinstance(operation, migrations.AddField) and not operation.field.many_to_many:
        new: Any = operation.field
        if not new.null and new.db_default is models.NOT_PROVIDED:
            yield f"{operation.describe()}: {INSERTS} (db_default)"
        if new.unique or new.db_index:
            yield f"{operation.describe()}: {DJANGO['AddIndex']}"
    if isinstance(operation, migrations.AlterField):
        old = state.models[app, operation.model_name_lower].fields[operation.name]
        yield from (f"{operation.describe()}: {why}" for why in _offences_of_change(old, operation.field))


def _offences_of_change(old: Any, new: Any) -> Iterator[str]:
    if old.null and not new.null:
        yield SCANS
    if (new.unique or new.db_index) and not (old.unique or old.db_index):
        yield DJANGO["AddIndex"]
    if old.is_relation or new.is_relation:
        return
    before, after = old.db_type(connection), new.db_type(connection)
    if before != after and not _is_wider_text(before, after):
        yield REWRITES


def _is_wider_text(before: str, after: str) -> bool:
    lengths = [re.fullmatch(r"varchar\((\d+)\)", kind) for kind in (before, after)]
    if lengths[0] and lengths[1]:
        return int(lengths[1][1]) >= int(lengths[0][1])
    return bool(lengths[0]) and after == "text"
