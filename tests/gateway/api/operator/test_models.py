"""A model, its price and its engines through the operator's API: from nothing to a model that tenants see."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from billing.models import PriceVersion, Tier
from gateway.pools.models import Replica
from gateway.pools.publishing import earliest_end
from gateway.pools.registry import register_pool, register_replica
from identity.models import AuditEvent
from identity.scopes import OperatorScope
from models_catalog.models import LanguageModel
from tests.gateway.api.conftest import Api, problem_of
from tests.gateway.simulated_engine.process import EngineProcess
from tests.support.ledger import make_model, unique
from tests.support.operators import HeldOperatorKey, held_operator_key
from tests.support.people import TESTS, make_tenant

pytestmark = pytest.mark.usefixtures("database")
KEY = "an engine's secret"
ENTRY = {"kind": "chat", "context_window": 8_192}


@pytest.fixture
def script(database: None) -> HeldOperatorKey:
    return held_operator_key(OperatorScope.MODELS_WRITE, OperatorScope.PRICES_WRITE, OperatorScope.POOLS_WRITE)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[tuple[str, EngineProcess]]:
    """An engine that serves a chat model, and the name of that."""
    name = f"acme/{unique('apertus')}:8b"
    quick = ("--tokens-per-second=0", "--first-token-ms=0")
    with EngineProcess({name: "chat"}, tmp_path / "journal.jsonl", KEY, *quick) as running:
        yield name, running


def fields_of(response: Any) -> list[str]:
    assert response.status_code == 400, response.content
    return [one["field"] for one in problem_of(response)["errors"]]


def test_a_script_offers_a_model_and_once_more_changes_nothing(
    api: Api, script: HeldOperatorKey, engine: tuple[str, EngineProcess]
) -> None:
    name, running = engine
    tenant, tier = make_tenant(), Tier.objects.create(code=unique("t")[:32], name="Team")
    seen = {"visibility": "chosen", "tenants": [tenant.slug], "tiers": [tier.code]}
    steps: list[tuple[str, str, dict[str, object]]] = [
        ("PUT", f"/api/operator/models/{name}", ENTRY | {"title": "Apertus"}),
        ("PUT", f"/api/operator/prices/{name}", {"nano_eur_per_million": {"input": 5, "output": 7}}),
        ("POST", "/api/operator/engines", {"model": name, "url": running.url, "api_key": KEY}),
        ("PUT", f"/api/operator/models/{name}", ENTRY | {"title": "Apertus"} | seen),
    ]
    first = [api.ask(method, address, script, body) for method, address, body in steps]
    assert [one.status_code for one in first] == [201, 200, 201, 200]
    assert first[0].json()["missing"] == ["price", "engine"]
    assert first[2].json()["state"] == "ready"
    assert KEY not in first[2].content.decode()
    done = first[3].json()
    assert (done["stage"], done["tenants"], done["tiers"]) == ("published", [tenant.slug], [tier.code])
    assert done == api.get(f"/api/operator/models/{name}", script).json()

    told = AuditEvent.objects.filter(tenant=None).count()
    again = [api.ask(method, address, script, body) for method, address, body in steps[1:]]
    assert [one.status_code for one in again] == [200, 200, 200]
    assert [one.json() for one in (again[0], again[2])] == [first[1].json(), done]
    assert AuditEvent.objects.filter(tenant=None).count() == told
    [version] = PriceVersion.objects.filter(model__name=name)
    assert again[0].json()["version_id"] == version.pk


def test_a_model_is_published_when_it_has_a_price_and_an_engine_or_not_at_all(
    api: Api, script: HeldOperatorKey
) -> None:
    name = unique("early")
    refused = api.ask("PUT", f"/api/operator/models/{name}", script, ENTRY | {"visibility": "everybody"})
    assert (refused.status_code, problem_of(refused)["code"]) == (409, "conflict")
    assert "no engine is ready" in problem_of(refused)["detail"]
    assert not LanguageModel.objects.filter(name=name).exists()


def test_what_a_put_leaves_out_stays_and_what_it_says_changes(api: Api, script: HeldOperatorKey) -> None:
    model = make_model(description="Before", modalities=["text"])
    address = f"/api/operator/models/{model.name}"
    changed = api.ask("PUT", address, script, {"title": "Better", "context_window": 16_384}).json()
    assert (changed["title"], changed["context_window"], changed["description"]) == ("Better", 16_384, "Before")
    [event] = AuditEvent.objects.filter(action="catalog.model_changed", target=str(model.pk))
    assert (event.detail["before"]["context_window"], event.detail["after"]["context_window"]) == (8_192, 16_384)
    hidden = api.ask("PUT", address, script, {"visibility": "nobody"}).json()
    assert (hidden["visibility"], hidden["title"]) == ("nobody", "Better")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"kind": "embedding"}, "kind"),
        ({"visibility": "chosen", "tiers": ["no-such-tier"]}, "tiers"),
        ({"visibility": "chosen", "tenants": ["no-such-tenant"]}, "tenants"),
        ({"visibility": "all"}, "visibility"),
        ({"tiers": ["x"]}, "visibility"),
        ({"successor": "other"}, "successor"),
        ({"ends_on": "2020-01-01"}, "ends_on"),
        ({"default_max_output": 9_000}, "default_max_output"),
        ({"visible": "nobody"}, "visible"),
    ],
)
def test_a_wish_that_makes_no_sense_says_where(
    api: Api, script: HeldOperatorKey, body: dict[str, object], field: str
) -> None:
    model = make_model(modalities=["text"])
    assert fields_of(api.ask("PUT", f"/api/operator/models/{model.name}", script, body)) == [field]


def test_a_new_model_needs_a_kind_and_a_window(api: Api, script: HeldOperatorKey) -> None:
    address = f"/api/operator/models/{unique('bare')}"
    assert fields_of(api.ask("PUT", address, script, {})) == ["kind"]
    assert fields_of(api.ask("PUT", address, script, {"kind": "chat"})) == ["context_window"]
    assert api.get(address, script).status_code == 404


def test_an_end_is_announced_once_and_moved(api: Api, script: HeldOperatorKey) -> None:
    model, heir = make_model(), make_model()
    address, day = f"/api/operator/models/{model.name}", earliest_end()
    wish = {"ends_on": str(day), "successor": heir.name}
    for _ in range(2):
        answer = api.ask("PUT", address, script, wish).json()
        assert (answer["ends_on"], answer["successor"]) == (str(day), heir.name)
    assert AuditEvent.objects.filter(action="model.withdrawn", target=str(model.pk)).count() == 1
    moved = api.ask("PUT", address, script, {"ends_on": str(day + timedelta(days=9))}).json()
    assert (moved["ends_on"], moved["successor"]) == (str(day + timedelta(days=9)), None)


def test_lists_are_continued(api: Api, script: HeldOperatorKey) -> None:
    made = [make_model(kind="embedding").name for _ in range(3)]
    for name in made:
        body = {"nano_eur_per_million": {"input": 20_000_000}}
        assert api.ask("PUT", f"/api/operator/prices/{name}", script, body).status_code == 200
    for noun, member in (("models", "id"), ("prices", "model")):
        found: list[dict[str, Any]] = []
        address = f"/api/operator/{noun}?limit=2"
        while address:
            answer = api.get(address, script).json()
            assert len(answer["results"]) <= 2
            found += answer["results"]
            address = answer["next"]
        assert [one[member] for one in found][-3:] == made
    assert found[-1]["nano_eur_per_million"] == {"input": 20_000_000, "output": 0}


@pytest.mark.parametrize("prices", [{}, {"tokens": 1}, {"input": -1}, {"input": "much"}, {"input": 10**18}])
def test_a_price_is_by_known_meters_in_whole_numbers(
    api: Api, script: HeldOperatorKey, prices: dict[str, object]
) -> None:
    address = f"/api/operator/prices/{make_model().name}"
    assert fields_of(api.ask("PUT", address, script, {"nano_eur_per_million": prices}))
    assert api.get(address, script).status_code == 404


def test_an_engine_is_taken_out_of_service_and_off_the_list(
    api: Api, script: HeldOperatorKey, engine: tuple[str, EngineProcess]
) -> None:
    name, running = engine
    model = make_model()
    sent = {"model": model.name, "served_name": name, "url": running.url, "api_key": KEY, "node": "gpu-1"}
    made = api.ask("POST", "/api/operator/engines", script, sent).json()
    address = f"/api/operator/engines/{made['id']}"
    for service, state in (("draining", "draining"), ("draining", "draining"), ("ejected", "ejected"), ("in", "ready")):
        assert api.ask("PATCH", address, script, {"service": service}).json()["state"] == state
    assert api.get("/api/operator/engines?limit=1000", script).json()["results"][-1] == api.get(address, script).json()
    assert made["silent_since"] is None
    Replica.objects.filter(pk=made["id"]).update(silent_since=datetime(2026, 11, 22, 12, tzinfo=UTC))
    assert api.get(address, script).json()["silent_since"] == "2026-11-22T12:00:00Z"
    assert fields_of(api.ask("PATCH", address, script, {"service": "off"})) == ["service"]
    assert api.ask("DELETE", address, script).status_code == 204
    assert api.ask("DELETE", address, script).status_code == 404


def test_a_pool_is_bounded_by_any_of_its_engines(
    api: Api, script: HeldOperatorKey, engine: tuple[str, EngineProcess]
) -> None:
    name, running = engine
    sent = {"model": make_model().name, "served_name": name, "url": running.url, "api_key": KEY}
    made = api.ask("POST", "/api/operator/engines", script, sent).json()
    address = f"/api/operator/engines/{made['id']}"
    assert made["requests_at_once"] is None
    for given, shown in ((8, 8), (8, 8), (0, None)):
        answer = api.ask("PATCH", address, script, {"requests_at_once": given}).json()
        assert (answer["requests_at_once"], answer["state"]) == (shown, "ready")
    assert fields_of(api.ask("PATCH", address, script, {"requests_at_once": -1})) == ["requests_at_once"]
    pool = Replica.objects.get(pk=made["id"]).pool
    changes = AuditEvent.objects.filter(action="pool.changed", target=str(pool.pk)).order_by("pk")
    assert [(change.detail["before"], change.detail["after"]) for change in changes] == [
        ({"requests_at_once": None}, {"requests_at_once": 8}),
        ({"requests_at_once": 8}, {"requests_at_once": None}),
    ]


def test_an_engine_that_is_silent_is_on_the_list_with_its_reason(api: Api, script: HeldOperatorKey) -> None:
    sent = {"model": make_model().name, "url": "http://127.0.0.1:9"}
    answer = api.ask("POST", "/api/operator/engines", script, sent)
    assert (answer.status_code, answer.json()["state"]) == (201, "failed")
    assert answer.json()["reason"]
    assert fields_of(api.ask("POST", "/api/operator/engines", script, sent | {"url": "gpu-1"})) == ["url"]
    assert api.ask("POST", "/api/operator/engines", script, sent | {"model": "none"}).status_code == 404


def test_an_engine_of_the_environment_is_not_taken_off_the_list(api: Api, script: HeldOperatorKey) -> None:
    pool = register_pool(model=make_model(), served_name="m", actor=TESTS)
    kept = register_replica(pool=pool, url="http://gpu:8000", source=Replica.Source.ENVIRONMENT, actor=TESTS)
    refused = api.ask("DELETE", f"/api/operator/engines/{kept.pk}", script)
    assert (refused.status_code, problem_of(refused)["code"]) == (409, "conflict")


def test_targets_are_set_left_alone_and_taken_away(api: Api, script: HeldOperatorKey) -> None:
    address = f"/api/operator/models/{make_model().name}"
    aim = {"target_answered": 9_990, "target_first_token_ms": 800}
    made = api.ask("PUT", address, script, aim).json()
    assert {name: made[name] for name in aim} == aim
    assert (made["target_met"], made["minutes_probed"], made["first_token_p95_ms"]) == (None, 0, None)
    assert api.ask("PUT", address, script, {"target_first_token_ms": 700}).json()["target_answered"] == 9_990
    gone = api.ask("PUT", address, script, {"target_answered": 0}).json()
    assert (gone["target_answered"], gone["target_first_token_ms"]) == (None, 700)
    assert fields_of(api.ask("PUT", address, script, {"target_answered": 10_001})) == ["target_answered"]
