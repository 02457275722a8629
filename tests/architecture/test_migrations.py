"""Every migration can be applied beside a running installation, and the last release runs on what it leaves."""

from typing import Any

import pytest
from django.apps import apps
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ModelState, ProjectState

from tests.architecture.migration_rules import offences
from tests.architecture.sources import PACKAGES

# By `app.migration`, why it may. For what is taken away: which release stopped to use it.
EXEMPT = {
    "pools.0005_published_models": "the catalog has some dozens of rows, which no request locks",
    "identity.0002_rules": "a part of the first release, whose tables have no rows yet",
    "billing.0010_records_that_did_not_complete": "PostgreSQL builds a partitioned table's index concurrently only"
    " partition by partition: a loop, which reads the catalog alone",
    "billing.0013_usage_day_of_before": "fills a day in a transaction of its own, with a lock that lasts as long",
    "billing.0026_usage_label_of_before": "fills a day in a transaction of its own, with a lock that lasts as long",
    "billing.0038_export_schedules_of_all": "at most twenty rows an organisation, which no request locks",
    "identity.0015_names_of_keys_are_searched": "an extension that need not be there, then an index, concurrently",
}


def our_migrations() -> list[tuple[str, str]]:
    """All migrations of ours as (app, name), in an order in which they can be applied."""
    ours = {config.label for config in apps.get_app_configs() if config.name.split(".")[0] in PACKAGES}
    graph = MigrationLoader(None).graph
    keys = [key for leaf in sorted(graph.leaf_nodes()) for key in graph.forwards_plan(leaf) if key[0] in ours]
    return list(dict.fromkeys(keys))


@pytest.fixture(scope="module")
def found() -> dict[tuple[str, str], list[str]]:
    """What each of them does that it may not."""
    loader = MigrationLoader(None)
    return {key: offences(loader.graph.nodes[key], loader.project_state(key, at_end=False)) for key in our_migrations()}


@pytest.mark.parametrize("key", our_migrations(), ids=".".join)
def test_it_can_be_applied_beside_a_running_installation(
    found: dict[tuple[str, str], list[str]], key: tuple[str, str]
) -> None:
    assert ".".join(key) in EXEMPT or not found[key], f"{key[0]}/migrations/{key[1]}.py"


def offences_of(*operations: Operation, atomic: bool = True) -> list[str]:
    """What a migration of these would break, of an app that has a table `shop_thing` with a name and a price."""
    content = {"operations": list(operations), "atomic": atomic}
    migration = type("Migration", (migrations.Migration,), content)("0002_test", "shop")
    fields: list[tuple[str, models.Field[Any, Any]]] = [
        ("id", models.BigAutoField(primary_key=True)),
        ("name", models.CharField(max_length=20)),
        ("price", models.IntegerField(null=True)),
    ]
    state = ProjectState()
    state.add_model(ModelState("shop", "Thing", fields))
    return offences(migration, state)


@pytest.mark.parametrize(
    "sql",
    [
        "create index x on shop_thing (name)",
        "CREATE UNIQUE INDEX IF NOT EXISTS x ON ONLY shop_thing (name)",
        "create index on shop_thing (name)",
        "alter table shop_thing add column a int not null",
        "alter table shop_thing alter column price set not null",
        "alter table shop_thing alter price type bigint",
        "alter table shop_thing add column a uuid default gen_random_uuid()",
        "alter table shop_thing add column a int generated always as (price * 2) stored",
        "alter table shop_thing add column a bigserial",
        "alter table shop_thing add constraint c check (price > 0)",
        "alter table shop_thing add constraint c unique (name)",
        "alter table shop_thing add constraint f foreign key (price) references other",
        "alter table shop_thing set unlogged",
        "alter table shop_thing drop column name",
        "alter table shop_thing drop name",
        "alter table shop_thing rename column name to title",
        "alter table only shop_thing\n  rename to shop_stuff -- why not",
        "drop function admit_v1",
        "update shop_thing set price = 0",
        "with a as (select 1) delete from shop_thing",
        "lock table shop_thing",
        "truncate shop_thing",
        "vacuum full shop_thing",
        "select 1; set lock_timeout = 0; select 2",
        "set local lock_timeout to '10s'",
        "create index concurrently x on shop_thing (name)",  # in a transaction
    ],
)
def test_sql_that_stops_others_or_breaks_the_last_release_is_found(sql: str) -> None:
    assert len(offences_of(migrations.RunSQL(sql))) == 1


@pytest.mark.parametrize(
    "sql",
    [
        "create table shop_new (a int not null); create index x on shop_new (a); alter table shop_new add check (a>0)",
        "alter table shop_thing add column a int",
        "alter table shop_thing add column a int not null default 0, add column b text",
        "alter table shop_thing add constraint c check (price is not null) not valid",
        "alter table shop_thing validate constraint c",
        "alter table shop_thing drop constraint c",
        "alter table shop_thing alter column price drop not null, alter column price set default 1",
        "create or replace function f() returns void language sql as $$ delete from shop_thing; drop table x $$",
        "-- drop table shop_thing\nselect 1",
        "set local lock_timeout = '500ms'",
    ],
)
def test_sql_that_stops_nobody_passes(sql: str) -> None:
    assert offences_of(migrations.RunSQL(sql)) == []


INDEX = models.Index(fields=["name"], name="x")


@pytest.mark.parametrize(
    "operation",
    [
        migrations.AddIndex("thing", INDEX),
        migrations.AddField("thing", "a", models.IntegerField()),
        migrations.AddField("thing", "a", models.IntegerField(default=0)),  # Django drops the default from the table
        migrations.AddField("thing", "a", models.IntegerField(null=True, db_index=True)),
        migrations.AlterField("thing", "price", models.IntegerField()),
        migrations.AlterField("thing", "price", models.BigIntegerField(null=True)),
        migrations.AlterField("thing", "name", models.CharField(max_length=10)),
        migrations.AlterField("thing", "name", models.CharField(max_length=20, unique=True)),
        migrations.AddConstraint("thing", models.CheckConstraint(condition=models.Q(price__gt=0), name="c")),
        migrations.RemoveField("thing", "name"),
        migrations.RenameField("thing", "name", "title"),
        migrations.DeleteModel("Thing"),
        migrations.SeparateDatabaseAndState([migrations.RenameModel("Thing", "Stuff")]),
        migrations.RunPython(migrations.RunPython.noop),
        AddIndexConcurrently("thing", INDEX),  # in a transaction
    ],
    ids=lambda operation: operation.describe(),
)
def test_operations_that_stop_others_or_break_the_last_release_are_found(operation: Operation) -> None:
    assert len(offences_of(operation)) == 1


@pytest.mark.parametrize(
    "operation",
    [
        migrations.AddField("thing", "a", models.IntegerField(null=True)),
        migrations.AddField("thing", "a", models.IntegerField(db_default=0)),
        migrations.AlterField("thing", "name", models.CharField(max_length=40)),
        migrations.AlterField("thing", "name", models.TextField()),
        migrations.AlterField("thing", "price", models.IntegerField(null=True, help_text="In cents.")),
        migrations.CreateModel("New", [("id", models.BigAutoField(primary_key=True))]),
    ],
    ids=lambda operation: operation.describe(),
)
def test_operations_that_stop_nobody_pass(operation: Operation) -> None:
    assert offences_of(operation) == []


def test_what_is_not_atomic_does_one_thing() -> None:
    """Cut off between two, it could be neither run again nor taken for done."""
    other = models.Index(fields=["price"], name="y")
    one, two = AddIndexConcurrently("thing", INDEX), AddIndexConcurrently("thing", other)
    assert offences_of(one, atomic=False) == []
    assert len(offences_of(one, two, atomic=False)) == 1
