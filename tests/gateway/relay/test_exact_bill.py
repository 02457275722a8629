"""The whole way: a client asks, an engine answers, the ledger shows the exact bill."""

import time
from uuid import UUID

from billing.models import BudgetPeriod, Hold, UsageRecord
from billing.models import Scope as Holder
from billing.pricing import Quantities, price_of
from tests.gateway.relay.conftest import Scene
from tests.support.ledger import make_model, make_price


def record_of(request_id: str) -> UsageRecord:
    return UsageRecord.objects.get(request_id=UUID(request_id))


def test_an_answer_is_billed_to_the_nano_euro_and_the_budget_moves_by_just_that(scene: Scene) -> None:
    key = scene.key()
    budget = scene.house.budget(Holder.KEY, key.row.pk, 10**9)
    answered = scene.gateway.chat(scene.model, key.text, "What is a belfry?", max_tokens=20)
    assert answered.status == 200, answered.body
    usage = answered.json["usage"]
    record = record_of(answered.headers["x-request-id"])
    cost, _ = price_of(
        Quantities.from_usage(usage["prompt_tokens"], 0, usage["completion_tokens"], 0), scene.house.prices
    )
    assert (record.input_quantity, record.output_quantity) == (usage["prompt_tokens"], usage["completion_tokens"])
    assert record.cost_nano_eur == cost == int(answered.headers["x-beffroi-cost-nano-eur"]) > 0
    period = BudgetPeriod.objects.get(budget_id=budget.pk)
    assert (period.spent_nano_eur, period.held_nano_eur) == (cost, 0)
    assert not Hold.objects.filter(request_id=record.request_id).exists()
    assert record.status == "completed"


def test_a_stream_is_billed_and_hides_the_usage_that_was_not_asked_for(scene: Scene) -> None:
    key = scene.key()
    answered = scene.gateway.chat(scene.model, key.text, stream=True, max_tokens=12)
    assert answered.status == 200, answered.body
    assert b"usage" not in answered.body
    assert answered.body.endswith(b"data: [DONE]\n\n")
    record = record_of(answered.headers["x-request-id"])
    assert record.status == "completed"
    assert record.output_quantity == 12
    assert record.stream


def test_a_stream_that_asks_for_usage_gets_it_with_its_cost(scene: Scene) -> None:
    key = scene.key()
    answered = scene.gateway.chat(
        scene.model, key.text, stream=True, max_tokens=12, stream_options={"include_usage": True}
    )
    last = answered.events[-1]
    assert last["choices"] == []
    record = record_of(answered.headers["x-request-id"])
    assert last["usage"]["cost_nano_eur"] == record.cost_nano_eur > 0
    assert all(event["usage"] is None for event in answered.events[:-1])


def test_a_revoked_key_is_refused_at_its_next_request(scene: Scene) -> None:
    key = scene.key()
    assert scene.gateway.chat(scene.model, key.text, max_tokens=1).status == 200
    type(key.row).objects.filter(pk=key.row.pk).update(revoked_at="2026-01-01T00:00Z")
    assert scene.gateway.chat(scene.model, key.text, max_tokens=1).status == 401


def test_a_new_key_works_within_a_second(scene: Scene) -> None:
    began = time.monotonic()
    key = scene.key()
    assert scene.gateway.chat(scene.model, key.text, max_tokens=1).status == 200
    assert time.monotonic() - began < 1


def test_a_model_that_nobody_serves_is_not_found_rather_than_awaited(scene: Scene) -> None:
    key = scene.key()
    lonely = make_model()
    make_price(scene.house.price_version.rate_card, lonely)
    answered = scene.gateway.chat(lonely.name, key.text)
    assert answered.status == 404, answered.body
    assert answered.json["error"]["code"] == "model_not_found"
