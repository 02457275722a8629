"""What a request would cost, what may be called, and the price that is billed when it changes under way."""

import threading
from datetime import timedelta
from typing import Any

from django.utils import timezone

from billing.models import Hold, MeterPrice, PriceVersion
from billing.prices.price_book import add_price_version
from models_catalog.models import LanguageModel
from tests.gateway.relay.bills import (
    assert_exact,
    house_served_by,
    key_with_budget,
    only_record_of,
    record_of,
    records_of,
)
from tests.gateway.relay.conftest import Scene
from tests.gateway.simulated_engine.process import eventually, read_until
from tests.support.gateway import error_of
from tests.support.ledger import PRICES
from tests.support.people import TESTS

PATH = "/v1/chat/completions"
DEAR = {meter: 3 * price for meter, price in PRICES.items()}


def body_of(scene: Scene, **members: Any) -> dict[str, Any]:
    return {"model": scene.model, "messages": [{"role": "user", "content": "What is a belfry?"}]} | members


def test_an_estimate_tells_the_exact_prompt_and_the_bounds_of_the_bill(scene: Scene) -> None:
    key = key_with_budget(scene.house, scene.gateway)
    body = body_of(scene, max_tokens=50, n=2)
    told = scene.gateway.post("/v1/estimate", body, key.text)
    assert told.status == 200, told.body
    estimate = told.json
    assert records_of(key.row) == []
    answered = scene.gateway.post(PATH, body, key.text)
    record = record_of(answered.headers["x-request-id"])
    assert estimate["prompt_tokens_are_exact"] is True
    assert estimate["prompt_tokens"] == answered.json["usage"]["prompt_tokens"]
    assert estimate["max_output_tokens"] == 100
    assert estimate["prompt_cost_nano_eur"] == estimate["prompt_tokens"] * 150
    assert estimate["full_output_cost_nano_eur"] == estimate["prompt_cost_nano_eur"] + 100 * 600
    assert record.cost_nano_eur <= estimate["full_output_cost_nano_eur"] <= estimate["reserved_nano_eur"]
    assert estimate["nano_eur_per_million"] == PRICES


def test_an_estimate_takes_no_budget_and_refuses_like_the_request(scene: Scene) -> None:
    poor = key_with_budget(scene.house, scene.gateway, 1)
    assert scene.gateway.post("/v1/estimate", body_of(scene), poor.text).status == 200
    assert scene.gateway.post("/v1/estimate", body_of(scene), "bfr_nobody").status == 401
    unknown = scene.gateway.post("/v1/estimate", body_of(scene, model="nobody's"), poor.text)
    assert (unknown.status, error_of(unknown)["code"]) == (404, "model_not_found")
    too_long = body_of(scene, messages=[{"role": "user", "content": "tower " * 20_000}])
    refused = scene.gateway.post("/v1/estimate", too_long, poor.text)
    assert (refused.status, error_of(refused)["code"]) == (400, "context_length_exceeded")
    assert not Hold.objects.filter(key_id=poor.row.pk).exists()


def test_the_list_has_what_the_key_may_call_now(scene: Scene) -> None:
    key = scene.key()
    listed = scene.gateway.get("/v1/models", key.text).json
    assert listed["object"] == "list"
    [model] = [model for model in listed["data"] if model["id"] == scene.model]
    assert (model["object"], model["owned_by"], model["default_max_output"]) == ("model", "Atelier", 1_024)
    assert scene.gateway.get(f"/v1/models/{scene.model}", key.text).json == model
    narrow = scene.key(allowed_models=("another",))
    assert scene.gateway.get("/v1/models", narrow.text).json["data"] == []
    assert scene.gateway.get(f"/v1/models/{scene.model}", narrow.text).status == 404


def test_a_model_on_its_way_out_says_so_on_every_answer(scene: Scene) -> None:
    house = house_served_by(scene.gateway, scene.engine)
    key = house.key()
    scene.gateway.await_key(key.text)
    today = timezone.now().date()
    LanguageModel.objects.filter(pk=house.model.pk).update(
        deprecated_on=today - timedelta(2), retired_on=today + timedelta(30)
    )
    path = f"/v1/models/{house.model.name}"
    assert eventually(lambda: "shutdown_date" in scene.gateway.get(path, key.text).json)
    for stream in (False, True):
        answered = scene.gateway.chat(house.model.name, key.text, max_tokens=1, stream=stream)
        assert answered.headers["deprecation"].startswith("@")
        assert answered.headers["sunset"].endswith("GMT")


# ---- I4


def test_I4_the_price_of_the_admission_is_billed_though_it_changes_mid_stream(scene: Scene) -> None:
    house = house_served_by(scene.gateway, scene.engine)
    key = key_with_budget(house, scene.gateway)
    pace = {"tokens_per_second": 20}
    stream = scene.gateway.open_stream(house.model.name, key.text, max_tokens=10, simulate=pace)
    read_until(stream, lambda received: b"data:" in received)
    newer = add_price_version(rate_card=house.price_version.rate_card, model=house.model, prices=DEAR, actor=TESTS)
    read_until(stream, lambda received: b"[DONE]" in received)
    stream.close()
    old = only_record_of(key.row)
    assert (old.price_version_id, old.output_nano_eur) == (house.price_version.pk, 10 * 600)
    assert_exact(house, key.row)
    answered = scene.gateway.chat(house.model.name, key.text, max_tokens=10)
    record = record_of(answered.headers["x-request-id"])
    assert (record.price_version_id, record.output_nano_eur) == (newer.pk, 10 * 1_800)


def test_I4_a_price_binds_from_its_instant_though_no_gateway_heard_of_it(scene: Scene) -> None:
    house = house_served_by(scene.gateway, scene.engine)
    key = key_with_budget(house, scene.gateway)
    newer = add_price_version(
        rate_card=house.price_version.rate_card, model=house.model, prices=DEAR,
        valid_from=timezone.now() + timedelta(seconds=0.7), actor=TESTS,
    )  # fmt: skip
    versions: list[int] = []
    while newer.pk not in versions[-5:]:
        answered = scene.gateway.chat(house.model.name, key.text, max_tokens=1)
        assert answered.status == 200, answered.body
        record = record_of(answered.headers["x-request-id"])
        assert (record.price_version_id == newer.pk) == (record.admitted_at >= newer.valid_from)
        versions.append(record.price_version_id)
    assert versions[0] == house.price_version.pk


def test_many_requests_at_an_old_price_are_all_billed_at_the_new_one(scene: Scene) -> None:
    house = house_served_by(scene.gateway, scene.engine)
    key = key_with_budget(house, scene.gateway)
    statuses: list[int] = []
    version = PriceVersion(rate_card=house.price_version.rate_card, model=house.model, valid_from=timezone.now())
    version.save()
    MeterPrice.objects.bulk_create(
        MeterPrice(version=version, meter=meter, nano_eur_per_million=price) for meter, price in DEAR.items()
    )

    def ask() -> None:
        statuses.append(scene.gateway.chat(house.model.name, key.text, max_tokens=1).status)

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert statuses == [200] * 20
    assert {record.price_version_id for record in records_of(key.row)} == {version.pk}


def test_a_new_contract_is_known_at_the_next_request(scene: Scene) -> None:
    """Another rate card, without this model on it: refused at once, not billed at the old price."""
    house = house_served_by(scene.gateway, scene.engine)
    key = key_with_budget(house, scene.gateway)
    assert scene.gateway.chat(house.model.name, key.text, max_tokens=1).status == 200
    house.tenant.contracts.update(rate_card=scene.house.price_version.rate_card)
    answered = scene.gateway.chat(house.model.name, key.text, max_tokens=1)
    assert (answered.status, error_of(answered)["code"]) == (503, "model_without_price")
    assert len(records_of(key.row)) == 1
