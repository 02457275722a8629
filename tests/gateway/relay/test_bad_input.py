"""What nobody should send, and who may not send it: the right status and code, and nothing held."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from billing.models import Hold, UsageRecord
from identity.scopes import Scope
from identity.tenants import reactivate_tenant, suspend_tenant
from models_catalog.models import LanguageModel, ModelAlias
from tests.gateway.relay.bills import assert_exact, house_served_by, key_with_budget, only_record_of, record_of
from tests.gateway.relay.conftest import Scene
from tests.gateway.simulated_engine.process import eventually
from tests.support.gateway import error_of, serve
from tests.support.ledger import make_model, make_price, unique
from tests.support.operators import RUNS

PATH = "/v1/chat/completions"


def chat_body(model: str, **members: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2} | members


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"max_tokens": -1}, "integer_out_of_range"),
        ({"max_tokens": 0}, "integer_out_of_range"),
        ({"max_completion_tokens": 2**40}, "integer_out_of_range"),
        ({"max_tokens": "many"}, "invalid_type"),
        ({"n": 0}, "integer_out_of_range"),
        ({"messages": []}, "invalid_value"),
        ({"messages": "hi"}, "invalid_value"),
        ({"stream": "yes"}, "invalid_type"),
        ({"kv_transfer_params": {"do_remote_prefill": True}}, "unsupported_parameter"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://10.0.0.1/x"}}]}
                ]
            },
            "remote_media_refused",
        ),
    ],
)
def test_a_body_that_makes_no_sense_is_refused_with_the_member_that_is_wrong(
    scene: Scene, members: dict[str, Any], code: str
) -> None:
    key = key_with_budget(scene.house, scene.gateway)
    answered = scene.gateway.post(PATH, chat_body(scene.model, **members), key.text)
    error = error_of(answered)
    assert (answered.status, error["type"], error["code"]) == (400, "invalid_request_error", code)
    assert error["param"].startswith(next(iter(members)))
    assert not UsageRecord.objects.filter(key_id=key.row.pk).exists()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b'{"model":"m"} trailing',
        '{"model":"m"}'.encode("utf-16"),
        b'{"model":"m","model":"n"}',
    ],
)
def test_what_is_not_one_json_object_is_refused(scene: Scene, body: bytes) -> None:
    answered = scene.gateway.post(PATH, body, scene.key().text)
    assert (answered.status, error_of(answered)["code"]) == (400, "invalid_json")


def test_a_compressed_body_is_refused(scene: Scene) -> None:
    answered = scene.gateway.post(PATH, b"\x1f\x8b", scene.key().text, content_encoding="gzip")
    assert (answered.status, error_of(answered)["code"]) == (415, "content_encoding_refused")


def test_several_answers_are_held_and_charged_together(scene: Scene) -> None:
    key = key_with_budget(scene.house, scene.gateway)
    answered = scene.gateway.post(PATH, chat_body(scene.model, n=3, max_tokens=7), key.text)
    assert len(answered.json["choices"]) == 3
    assert only_record_of(key.row).output_quantity == 21
    assert_exact(scene.house, key.row)


def test_an_output_limit_beyond_the_window_becomes_what_fits_and_is_told(scene: Scene) -> None:
    key = key_with_budget(scene.house, scene.gateway)
    answered = scene.gateway.post(PATH, chat_body(scene.model, max_tokens=10**9), key.text)
    assert answered.status == 200
    room = 8_192 - answered.json["usage"]["prompt_tokens"]
    assert int(answered.headers["x-beffroi-max-tokens"]) == room
    record = only_record_of(key.row)
    assert (record.max_tokens_asked, record.max_tokens_given) == (10**9, room)


# ---- keys


def test_a_key_that_is_none_is_refused(scene: Scene) -> None:
    good = scene.key().text
    typo = good[:-1] + ("A" if good[-1] != "A" else "B")
    for key in ("", "sk-123", "bfr_", typo, good[:-8], good + "x", good.swapcase()):
        answered = scene.gateway.post(PATH, chat_body(scene.model), key)
        assert (answered.status, error_of(answered)["code"]) == (401, "invalid_api_key")
    basic = scene.gateway.post(PATH, chat_body(scene.model), authorization="Basic Zm9vOmJhcg==")
    assert basic.status == 401


def test_a_key_may_do_what_its_policy_says_and_no_more(scene: Scene) -> None:
    cases: list[tuple[tuple[Scope, ...], dict[str, Any], int, str]] = [
        ((Scope.KEYS_MANAGE,), {}, 403, "scope_missing"),
        ((), {"allowed_models": ("another",)}, 403, "model_not_allowed"),
        ((), {"ip_ranges": ("192.0.2.0/24",)}, 403, "ip_not_allowed"),
        ((), {}, 401, "api_key_expired"),
    ]
    for scopes, policy, status, code in cases:
        ends: dict[str, Any] = (
            {"expires_at": timezone.now() + timedelta(milliseconds=400)} if code == "api_key_expired" else {}
        )
        key = scene.house.key(*scopes, **policy, **ends)
        assert eventually(
            lambda key=key, expected=(status, code): told(scene, key.text) == expected,  # type: ignore[misc]
            3,
        )
        assert not Hold.objects.filter(key_id=key.row.pk).exists()


def told(scene: Scene, key: str) -> tuple[int, str]:
    answered = scene.gateway.post(PATH, chat_body(scene.model), key)
    return answered.status, error_of(answered)["code"] if answered.status != 200 else ""


def test_a_key_may_name_its_models_by_name_or_by_alias(scene: Scene) -> None:
    alias = unique("alias")
    ModelAlias.objects.create(model=scene.house.model, alias=alias, tenant=scene.house.tenant)
    for allowed in (scene.model, alias):
        key = scene.key(allowed_models=(allowed,))
        body = chat_body(allowed)
        assert eventually(lambda key=key, body=body: scene.gateway.post(PATH, body, key.text).status == 200)  # type: ignore[misc]
    only_alias = scene.key(allowed_models=(alias,))
    assert told(scene, only_alias.text) == (403, "model_not_allowed")


def test_a_suspended_organisation_and_an_archived_project_are_refused_at_once(scene: Scene) -> None:
    house = house_served_by(scene.gateway, scene.engine)
    project = house.project_called("A second project")
    key, archived = house.key(), house.key(project=project)
    for known in (key, archived):
        scene.gateway.await_key(known.text)
    type(project).objects.filter(pk=project.pk).update(status="archived")
    answered = scene.gateway.post(PATH, chat_body(house.model.name), archived.text)
    assert (answered.status, error_of(answered)["code"]) == (403, "project_archived")
    suspend_tenant(house.tenant, by=RUNS, reason="unpaid")
    answered = scene.gateway.post(PATH, chat_body(house.model.name), key.text)
    assert (answered.status, error_of(answered)["code"]) == (403, "tenant_suspended")
    reactivate_tenant(house.tenant, by=RUNS, reason="paid")
    scene.gateway.await_key(key.text)
    assert eventually(lambda: scene.gateway.post(PATH, chat_body(house.model.name), key.text).status == 200)


# ---- models


def test_I6_a_tenants_alias_means_nothing_to_a_stranger(scene: Scene) -> None:
    stranger = house_served_by(scene.gateway, scene.engine)
    ours, theirs = scene.key(), stranger.key()
    scene.gateway.await_key(theirs.text)
    alias = unique("our-model") + "/" + "x" * 150
    ModelAlias.objects.create(model=scene.house.model, alias=alias, tenant=scene.house.tenant)
    assert eventually(lambda: scene.gateway.post(PATH, chat_body(alias), ours.text).status == 200)
    answered = scene.gateway.post(PATH, chat_body(alias), theirs.text)
    assert (answered.status, error_of(answered)["code"]) == (404, "model_not_found")
    assert alias not in scene.gateway.get("/v1/models", theirs.text).body.decode()
    assert alias in scene.gateway.get("/v1/models", ours.text).body.decode()
    record = UsageRecord.objects.get(key_id=ours.row.pk)
    assert (record.model, record.alias) == (scene.model, alias)


def test_I6_one_alias_may_mean_a_model_each_to_two_tenants(scene: Scene) -> None:
    other = house_served_by(scene.gateway, scene.engine)
    alias = unique("default")
    keys = []
    for house in (scene.house, other):
        ModelAlias.objects.create(model=house.model, alias=alias, tenant=house.tenant)
        key = house.key()
        scene.gateway.await_key(key.text)
        keys.append((key, house))
    for key, house in keys:
        answered = scene.gateway.post(PATH, chat_body(alias), key.text)
        assert record_of(answered.headers["x-request-id"]).model_id == house.model.pk


def test_I4_a_model_without_a_price_is_refused_and_not_listed(scene: Scene) -> None:
    stranger = house_served_by(scene.gateway, scene.engine)  # its model has no price on our rate card
    key = scene.key()
    answered = scene.gateway.post(PATH, chat_body(stranger.model.name), key.text)
    assert (answered.status, error_of(answered)["code"]) == (503, "model_without_price")
    assert answered.headers["x-should-retry"] == "false"
    assert stranger.model.name not in scene.gateway.get("/v1/models", key.text).body.decode()


def test_I4_a_model_without_the_price_of_a_meter_that_it_needs_is_refused(scene: Scene) -> None:
    house = house_served_by(scene.gateway, scene.engine)
    model = make_model()
    make_price(house.price_version.rate_card, model, {"input": 5})
    serve(model, scene.engine)
    key = house.key()
    scene.gateway.await_key(key.text)
    path = f"/v1/models/{model.name}"
    assert eventually(lambda: scene.gateway.get(path, key.text).status == 200)
    answered = scene.gateway.post(PATH, chat_body(model.name), key.text)
    assert (answered.status, error_of(answered)["code"]) == (503, "model_without_price")
    assert "output" in error_of(answered)["message"]


def test_a_retired_model_names_its_successor(scene: Scene) -> None:
    house = house_served_by(scene.gateway, scene.engine)
    key = house.key()
    scene.gateway.await_key(key.text)
    successor = make_model()
    yesterday = timezone.now().date() - timedelta(2)
    LanguageModel.objects.filter(pk=house.model.pk).update(
        deprecated_on=yesterday, retired_on=yesterday, successor=successor
    )
    body = chat_body(house.model.name)
    assert eventually(lambda: scene.gateway.post(PATH, body, key.text).status == 404)
    error = error_of(scene.gateway.post(PATH, body, key.text))
    assert error["code"] == "model_retired"
    assert successor.name in error["message"]


def test_a_model_of_another_kind_is_refused(scene: Scene) -> None:
    key = scene.key()
    answered = scene.gateway.post("/v1/embeddings", {"model": scene.model, "input": "x"}, key.text)
    assert (answered.status, error_of(answered)["code"]) == (400, "model_not_supported")


def test_a_model_that_nobody_serves_is_not_offered(scene: Scene) -> None:
    key = scene.key()
    unserved = make_model()
    answered = scene.gateway.post(PATH, chat_body(unserved.name), key.text)
    assert (answered.status, error_of(answered)["code"]) == (404, "model_not_found")
