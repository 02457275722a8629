"""Nodes and managed pools through the operator's API; and how a machine joins."""

from base64 import b64encode
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from billing.clock import database_now
from gateway.api import nodes
from gateway.pools.fleet_tables import EngineLog, Node, PoolConfiguration
from gateway.pools.models import Pool
from identity.release import version
from identity.scopes import OperatorScope
from tests.gateway.api.conftest import Api, problem_of
from tests.support.ledger import make_model, unique
from tests.support.operators import HeldOperatorKey, held_operator_key


@pytest.fixture
def script(database: None) -> HeldOperatorKey:
    return held_operator_key(OperatorScope.POOLS_WRITE)


@pytest.fixture
def node(api: Api, script: HeldOperatorKey, valkey: str) -> Any:
    made = api.ask("POST", "/api/operator/nodes", script, {"name": unique("gpu"), "labels": {"site": "paris"}})
    assert made.status_code == 201
    yield made.json()
    Node.objects.filter(name=made.json()["name"]).delete()


def configuration(**changes: object) -> dict[str, object]:
    weights = {"source": "hugging_face", "location": "org/model"}
    return {"engine": "vllm", "gpus": 1, "gpu_memory_mb": 40_000, "weights": weights, **changes}


def test_a_node_is_added_labelled_cordoned_drained_and_removed(
    api: Api, script: HeldOperatorKey, node: dict[str, Any]
) -> None:
    address = f"/api/operator/nodes/{node['name']}"
    assert node["token"].startswith("bfn_")
    assert api.get("/api/operator/nodes?limit=1000", script).json()["results"][-1] == api.get(address, script).json()
    assert "token" not in api.get(address, script).json()
    changed = api.ask("PATCH", address, script, {"service": "draining", "labels": {"site": "lyon"}}).json()
    assert (changed["service"], changed["labels"]) == ("draining", {"site": "lyon"})
    assert api.ask("PATCH", address, script, {"labels": {"a b": "c"}}).status_code == 400
    assert api.ask("POST", "/api/operator/nodes", script, {"name": node["name"]}).status_code == 409
    kinds = [
        event["kind"] for event in api.get(f"/api/operator/fleet-events?node={node['name']}", script).json()["results"]
    ]
    assert kinds == ["added", "drained"]
    assert api.ask("DELETE", address, script).status_code == 204
    assert api.get(address, script).status_code == 404


def test_a_machine_joins_with_the_token_and_nothing_else(
    api: Api, script: HeldOperatorKey, node: dict[str, Any]
) -> None:
    key = b64encode(Ed25519PrivateKey.generate().public_key().public_bytes_raw()).decode()
    sent = {"token": node["token"], "public_key": key, "version": version()}  # "" before there is a release
    wrong = api.ask("POST", "/api/nodes/join", None, sent | {"token": "bfn_wrong"})
    assert (wrong.status_code, problem_of(wrong)["code"]) == (404, "not_found")
    joined = api.ask("POST", "/api/nodes/join", None, sent)
    assert joined.json().keys() == {"name", "broker_url", "queue", "reports_queue", "platform_public_key"}
    assert joined.headers["Cache-Control"] == "no-store"
    assert api.ask("POST", "/api/nodes/join", None, sent).json() == joined.json()
    other = b64encode(Ed25519PrivateKey.generate().public_key().public_bytes_raw()).decode()
    assert api.ask("POST", "/api/nodes/join", None, sent | {"public_key": other}).status_code == 404
    renewed = api.ask("POST", f"/api/operator/nodes/{node['name']}/token", script).json()["token"]
    assert api.ask("POST", "/api/nodes/join", None, sent | {"public_key": other, "token": renewed}).status_code == 200


def test_who_tries_tokens_has_to_wait(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "TRIES_A_MINUTE", 0)
    sent = {"token": "bfn_x", "public_key": b64encode(bytes(32)).decode(), "version": "1"}
    assert api.ask("POST", "/api/nodes/join", None, sent).status_code == 429


def test_a_pool_is_managed_scaled_configured_and_let_go(api: Api, script: HeldOperatorKey) -> None:
    count = {"minimum": 0, "maximum": 4, "wanted": 0, "policy": "manual"}
    asked = {"model": make_model().name, "configuration": configuration(), **count}
    made = api.ask("POST", "/api/operator/pools", script, asked).json()
    assert (made["policy"], made["generation"], made["configuration"]["gpu_memory_mb"]) == ("manual", 1, 40_000)
    assert api.ask("POST", "/api/operator/pools", script, asked).json() == made
    address = f"/api/operator/pools/{made['name']}"
    changed = api.ask("PUT", f"{address}/configuration", script, configuration(arguments={"--max-model-len": 4096}))
    assert (changed.json()["generation"], changed.json()["configuration"]["arguments"]) == (
        2,
        {"--max-model-len": 4096},
    )
    assert PoolConfiguration.objects.filter(pool__name=made["name"]).count() == 2
    assert api.ask("PUT", address, script, count | {"maximum": 6}).json()["maximum"] == 6
    nonsense: list[dict[str, object]] = [{"wanted": 9}, {"minimum": 5}, {"maximum": -1}, {"policy": "perhaps"}]
    for wrong in nonsense:
        assert api.ask("PUT", address, script, {**count, **wrong}).status_code == 400
    assert api.ask("PUT", address, script, count | {"policy": "unmanaged"}).json()["policy"] == "unmanaged"
    assert api.get(address, script).json() == api.get("/api/operator/pools?limit=1000", script).json()["results"][-1]


@pytest.mark.parametrize(
    "change",
    [
        {"arguments": {"rm -rf": 1}},
        {"arguments": {"--allowed-local-media-path": "/"}},
        {"arguments": {"--a": {"b": 1}}},
        {"arguments": {"--a": "\0"}},
        {"gpu_memory_mb": 0},
        {"weights": {"source": "hugging_face"}},
        {"weights": {"source": "somewhere"}},
        {"engine": "other"},
        {"gpus": 17},
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(
    api: Api, script: HeldOperatorKey, change: dict[str, object]
) -> None:
    pools = Pool.objects.count()
    count = {"minimum": 0, "maximum": 1, "wanted": 0, "policy": "manual"}
    asked = {"model": make_model().name, "configuration": configuration(**change), **count}
    assert api.ask("POST", "/api/operator/pools", script, asked).status_code == 400
    assert Pool.objects.count() == pools


def test_one_sees_where_it_would_fit_before_asking(api: Api, script: HeldOperatorKey, node: dict[str, Any]) -> None:
    Node.objects.filter(name=node["name"]).update(observed={"gpus": [{"index": 0, "memory_mb": 24_000}]})
    fit = api.ask("POST", "/api/operator/pool-fits", script, configuration()).json()
    assert fit["obstacles"][node["name"]] == "too_small_gpus"


def test_one_sees_what_another_number_would_mean_before_asking(
    api: Api, script: HeldOperatorKey, node: dict[str, Any]
) -> None:
    name, gpus = node["name"], [{"index": 0, "memory_mb": 100_000}]
    Node.objects.filter(name=name).update(observed={"gpus": gpus}, reported_at=database_now(), labels={"only": name})
    count = {"minimum": 0, "maximum": 4, "wanted": 0, "policy": "manual"}
    asked = {"model": make_model().name, "configuration": configuration(labels={"only": name}), **count}
    made = api.ask("POST", "/api/operator/pools", script, asked | {"requests_at_once": 12}).json()
    assert made["requests_at_once"] == 12
    address = f"/api/operator/pools/{made['name']}"
    fit = api.ask("POST", f"{address}/fit", script, count | {"wanted": 3}).json()
    assert (fit["wanted"], fit["begin"], fit["end"], fit["missing"]) == (3, {name: 2}, 0, 1)
    assert fit["obstacles"][name] == "no_room"
    assert api.get(address, script).json() == made
    assert api.ask("POST", f"{address}/fit", script, count | {"wanted": 9}).status_code == 400
    unmanaged = Pool.objects.create(name=unique("pool"), model=make_model(), served_name="m")
    assert api.ask("POST", f"/api/operator/pools/{unmanaged.name}/fit", script, count).status_code == 404


def test_the_log_of_a_start_is_read(api: Api, script: HeldOperatorKey) -> None:
    pool = Pool.objects.create(name=unique("pool"), model=make_model(), served_name="m")
    log = EngineLog.objects.create(pool=pool.name, replica=f"{pool.name}/1", node="gpu", at=database_now(), text="a\nb")
    address = f"/api/operator/pools/{pool.name}/logs"
    [listed] = api.get(address, script).json()["results"]
    assert (listed["id"], listed["node"], "text" in listed) == (log.pk, "gpu", False)
    assert api.get(f"{address}/{log.pk}", script).json() == {**listed, "text": "a\nb"}
    assert api.get(f"{address}/{log.pk + 1}", script).status_code == 404


def test_one_sees_how_many_replicas_demand_asks_for_and_why(api: Api, script: HeldOperatorKey) -> None:
    count = {"minimum": 2, "maximum": 4, "wanted": 2, "policy": "manual"}
    asked = {"model": make_model().name, "configuration": configuration(), **count}
    name = api.ask("POST", "/api/operator/pools", script, asked).json()["name"]
    address = f"/api/operator/pools/{name}"
    automatic = count | {"policy": "automatic", "priority": 3}
    assert problem_of(api.ask("PUT", address, script, automatic))["errors"][0]["field"] == "policy"
    changed = api.ask("PUT", address, script, automatic | {"requests_at_once": 8}).json()
    assert (changed["priority"], changed["requests_at_once"]) == (3, 8)
    sleeps = automatic | {"minimum": 0, "zero_after_s": 600}
    refused = problem_of(api.ask("PUT", address, script, automatic | {"zero_after_s": 600}))
    assert refused["errors"][0]["field"] == "zero_after_s"
    assert api.ask("PUT", address, script, sleeps).json()["zero_after_s"] == 600
    asleep = api.get(f"{address}/demand", script).json()
    assert (asleep["held"], asleep["is_stuck"], asleep["asked_at"] is None) == (0, False, False)
    api.ask("PUT", address, script, automatic)
    told = api.get(f"{address}/demand", script).json()
    assert (told["wanted"], told["reason"], told["until"]) == (2, "It never has fewer.", None)
    assert (told["ready"], told["running"], told["waiting"], told["places"]) == (0, 0, 0, 0)
    assert (told["missing"], told["setbacks"]) == (2, [])
    api.ask("PUT", address, script, count | {"policy": "unmanaged"})
    assert api.get(f"{address}/demand", script).status_code == 404
