"""Loading a catalog file: what differs is changed, the rest is left alone, and nonsense is told by line and model."""

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command

from identity.audit import Actor
from identity.models import AuditEvent, Tenant
from models_catalog.catalog import model_by_name_or_alias
from models_catalog.loading import CatalogError, Loaded, load_catalog, read_catalog
from models_catalog.models import LanguageModel, ModelAlias

Item = dict[str, Any]
Write = Callable[..., Path]


def a_name() -> str:
    return f"test-{uuid.uuid4().hex[:12]}:1b"


def an_item(**changes: Any) -> Item:
    """A sane model of a catalog file."""
    item: Item = {
        "name": a_name(),
        "title": "A Model",
        "kind": "chat",
        "publisher": "Somebody",
        "family": "Test",
        "licence": "MIT",
        "context_window": 8192,
        "default_max_output": 1024,
        "modalities": ["text"],
        "kwh_per_million_tokens": 2.37,
        "released_on": "2026-01-01",
        "stable_until": "2026-07-01",
    }
    return {name: value for name, value in {**item, **changes}.items() if value is not None}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a catalog file of these models, one member a line."""

    def to_file(*items: Item) -> Path:
        path = tmp_path / "catalog.json"
        path.write_text(json.dumps({"models": items}, indent=1))
        return path

    return to_file


def load(path: Path) -> Loaded:
    return load_catalog(path, actor=Actor.system("test"))


def test_a_file_loaded_twice_changes_nothing_the_second_time(database: None, write: Write) -> None:
    old, new = an_item(), an_item(parameters_billion=7, aliases=[f"org/{a_name()}"])
    old |= {"deprecated_on": "2026-08-01", "retired_on": "2026-12-01", "successor": new["name"]}
    names = [old["name"], new["name"]]
    path = write(old, new)
    assert load(path).created == names
    links = AuditEvent.objects.filter(action="catalog.loaded").count()
    assert load(path) == Loaded(unchanged=names)
    assert AuditEvent.objects.filter(action="catalog.loaded").count() == links
    row = LanguageModel.objects.get(name=old["name"])
    assert row.successor is not None
    assert row.successor.name == new["name"]
    assert str(row.kwh_per_million_tokens) == "2.370"


def test_only_what_differs_is_changed(database: None, write: Write) -> None:
    first, second = an_item(aliases=[a_name()]), an_item()
    load(write(first, second))
    moved = {**second, "aliases": first["aliases"]}
    loaded = load(write({**first, "aliases": [], "title": "Another Title"}, moved))
    assert loaded.changed == [first["name"], second["name"]]
    assert LanguageModel.objects.get(name=first["name"]).title == "Another Title"
    found = model_by_name_or_alias(first["aliases"][0])
    assert found is not None
    assert found.name == second["name"]


def test_models_that_the_file_does_not_name_are_left_alone(database: None, write: Write) -> None:
    other = an_item()
    load(write(other))
    load(write(an_item()))
    assert LanguageModel.objects.filter(name=other["name"]).exists()


def test_a_name_or_alias_in_use_elsewhere_is_refused_and_nothing_is_loaded(database: None, write: Write) -> None:
    other = an_item(aliases=[a_name()])
    load(write(other))
    fresh = an_item(aliases=other["aliases"])
    with pytest.raises(CatalogError, match=f"is taken by {other['name']}"):
        load(write(fresh))
    with pytest.raises(CatalogError, match=f"is taken by {other['name']}"):
        load(write({**fresh, "aliases": [other["name"]]}))
    assert not LanguageModel.objects.filter(name=fresh["name"]).exists()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"title": None}, "title is missing"),
        ({"colour": "red"}, "unknown field colour"),
        ({"kind": "robot"}, "kind: "),
        ({"name": "spaces in it"}, "name: Use letters"),
        ({"aliases": ["<x>"]}, "alias '<x>'"),
        ({"aliases": "x"}, "aliases must be a list"),
        ({"context_window": "big"}, "context_window: "),
        ({"default_max_output": 9000}, "default_max_output: must be from 1 to the context window"),
        ({"default_max_output": 0}, "default_max_output"),
        ({"stable_until": "2026-06-30"}, "fixed for 6 months, here until 2026-07-01"),
        ({"stable_until": None}, "fixed for 6 months"),
        ({"retired_on": "2026-12-01"}, "announced as deprecated before"),
        ({"deprecated_on": "2026-08-01", "retired_on": "2026-10-31"}, "3 months after its deprecation"),
        ({"deprecated_on": "2026-01-01", "retired_on": "2026-06-30"}, "retired_on: lies before stable_until"),
        ({"released_on": "soon"}, "released_on: "),
        ({"parameters_billion": 7, "active_parameters_billion": 8}, "active_parameters_billion"),
        ({"modalities": ["text", "image"], "capabilities": ["vision"]}, "one entry for each modality"),
        ({"modalities": ["text", "image"], "media_max_tokens": {"image": 1}}, "vision goes with"),
        ({"modalities": ["text", "audio"], "media_max_tokens": {"audio": 9000}}, "audio exceeds the context window"),
        ({"modalities": ["text", "audio"], "media_max_tokens": {"audio": "many"}}, "kind and tokens"),
        ({"successor": "nobody"}, "nobody is no other model of this file"),
    ],
)
def test_nonsense_is_told_by_line_and_model(write: Write, changes: Item, problem: str) -> None:
    item = an_item(**changes)
    path = write(an_item(), item)
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if item["name"] in text)
    with pytest.raises(CatalogError) as caught:
        read_catalog(path)
    assert any(problem in told for told in caught.value.problems), caught.value.problems
    assert all(told.startswith(f"catalog.json, line {line}, {item['name']}: ") for told in caught.value.problems)


def test_all_problems_of_a_file_are_told_at_once(write: Write) -> None:
    twin = an_item()
    with pytest.raises(CatalogError) as caught:
        read_catalog(write(an_item(kind="robot"), twin, twin, an_item(licence="")))
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize(
    ("text", "problem"),
    [("{", "not JSON"), ("[]", "expected"), ('{"models": [1]}', "expected"), ('{"models": [], "models": []}', "twice")],
)
def test_a_file_that_is_no_catalog_is_told_so(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "catalog.json"
    path.write_text(text)
    with pytest.raises(CatalogError, match=problem):
        read_catalog(path)


def test_the_command_loads_the_offer_and_says_what_it_did(database: None, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("load_catalog")
    call_command("load_catalog")
    assert capsys.readouterr().out.splitlines()[-1] == "Catalog: 0 created, 0 changed, 64 unchanged."
    with pytest.raises(CommandError, match="Cannot read"):
        call_command("load_catalog", "no-such-file.json")


def test_a_tenants_own_alias_comes_before_everybodys_names(database: None, write: Write) -> None:
    shared = a_name()
    ours, theirs = an_item(aliases=[shared]), an_item()
    load(write(ours, theirs))
    tenant = Tenant.objects.create(slug=f"t{uuid.uuid4().hex[:12]}", name="Alice's")
    stranger = Tenant.objects.create(slug=f"t{uuid.uuid4().hex[:12]}", name="Charlie's")
    model = LanguageModel.objects.get(name=theirs["name"])
    ModelAlias.objects.create(model=model, alias=shared, tenant=tenant)
    assert model_by_name_or_alias(shared, tenant) == model
    for who in (stranger, None):
        found = model_by_name_or_alias(shared, who)
        assert found is not None
        assert found.name == ours["name"]
    assert model_by_name_or_alias("nobody's") is None


def test_gateways_may_read_the_catalog_and_hear_of_its_changes(
    database: None, write: Write, gateway_database_url: str
) -> None:
    with psycopg.connect(gateway_database_url, autocommit=True) as gateway:
        gateway.execute("listen beffroi_policy")
        item = an_item(aliases=[a_name()])
        load(write(item))
        assert [told.payload for told in gateway.notifies(timeout=5, stop_after=1)] == ["catalog"]
        row = gateway.execute(
            "select m.name from models_catalog_languagemodel m join models_catalog_modelalias a on a.model_id = m.id"
            " where a.alias = %s",
            [item["aliases"][0]],
        ).fetchone()
        assert row == (item["name"],)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            gateway.execute("update models_catalog_languagemodel set title = ''")
