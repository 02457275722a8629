"""I3: a bound starves nobody: count the prompt, lower our own output limit, only then refuse; all of it is told."""

import threading
from typing import Any

import pytest

from billing.limits.budgets import change_limit, set_budget
from billing.models import BudgetPeriod
from tests.gateway.relay.bills import assert_exact, budget_ids, key_with_budget, only_record_of, records_of
from tests.gateway.relay.conftest import Scene
from tests.gateway.simulated_engine.process import Answered, eventually
from tests.support.gateway import error_of
from tests.support.people import TESTS

ORDINARY = {"output_tokens": 20}
DEFAULT_OUTPUT, INPUT_PRICE, OUTPUT_PRICE = 1_024, 150, 600  # nano-EUR a token


def refused_for_money(answered: Answered) -> bool:
    error = error_of(answered)
    assert (answered.status, error["code"], error["type"]) == (429, "insufficient_quota", "insufficient_quota")
    assert answered.headers["x-should-retry"] == "false"
    assert "retry-after" not in answered.headers
    return True


def test_I3_our_own_output_limit_is_lowered_and_told(scene: Scene) -> None:
    key = key_with_budget(scene.house, scene.gateway, 300_000)
    answered = scene.gateway.chat(scene.model, key.text, simulate=ORDINARY)
    assert answered.status == 200
    given = int(answered.headers["x-beffroi-max-tokens"])
    record = only_record_of(key.row)
    assert 16 <= given < DEFAULT_OUTPUT
    assert (record.max_tokens_given, record.max_tokens_asked) == (given, None)
    [start] = [line for line in scene.engine.story(str(record.request_id)) if line["e"] == "start"]
    assert start["max_tokens"] == start["max_completion_tokens"] == given
    assert_exact(scene.house, key.row)


def test_I3_what_is_not_lowered_is_not_told(scene: Scene) -> None:
    key = key_with_budget(scene.house, scene.gateway)
    assert "x-beffroi-max-tokens" not in scene.gateway.chat(scene.model, key.text, simulate=ORDINARY).headers
    assert "x-beffroi-max-tokens" not in scene.gateway.chat(scene.model, key.text, max_tokens=9).headers


def test_I3_a_clients_own_limit_is_lowered_only_where_the_budgets_owner_allows_it(scene: Scene) -> None:
    key = key_with_budget(scene.house, scene.gateway, 10**12)
    strict = set_budget(on=key.row, period="day", limit_nano_eur=300_000, actor=TESTS)
    assert refused_for_money(scene.gateway.chat(scene.model, key.text, max_tokens=1_000))
    assert strict.pk
    set_budget(on=key.row, period="day", limit_nano_eur=300_000, may_lower_output=True, actor=TESTS)
    answered = scene.gateway.chat(scene.model, key.text, max_tokens=1_000, simulate=ORDINARY)
    assert answered.status == 200
    assert 16 <= int(answered.headers["x-beffroi-max-tokens"]) < 1_000
    [record] = records_of(key.row)
    assert record.max_tokens_asked == 1_000


def test_I3_a_prompt_that_does_not_fit_by_its_bytes_is_counted_by_the_engine(scene: Scene) -> None:
    text = "extraordinarily " * 100  # 1,600 bytes, some hundred tokens
    key = key_with_budget(scene.house, scene.gateway, 1_600 * INPUT_PRICE + 10 * OUTPUT_PRICE)
    answered = scene.gateway.chat(scene.model, key.text, text, max_tokens=10)
    assert answered.status == 200, answered.body
    assert answered.json["usage"]["prompt_tokens"] < 1_500
    assert "x-beffroi-max-tokens" not in answered.headers
    assert_exact(scene.house, key.row)


def test_I3_headroom_for_ten_ordinary_requests_serves_ten(scene: Scene) -> None:
    first = key_with_budget(scene.house, scene.gateway)
    scene.gateway.chat(scene.model, first.text, simulate=ORDINARY)
    cost = only_record_of(first.row).cost_nano_eur
    key = key_with_budget(scene.house, scene.gateway, 14 * cost)
    for _ in range(10):
        answered = scene.gateway.chat(scene.model, key.text, simulate=ORDINARY)
        assert answered.status == 200, answered.body
    assert_exact(scene.house, key.row)


def test_I3_one_request_does_not_take_all_the_headroom_for_itself(scene: Scene) -> None:
    key = key_with_budget(scene.house, scene.gateway, 600_000)
    slow = {"first_token_ms": 700, "output_tokens": 20}
    statuses: list[int] = []

    def ask() -> None:
        statuses.append(scene.gateway.chat(scene.model, key.text, simulate=slow).status)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert statuses == [200] * 4
    assert_exact(scene.house, key.row)


def test_I3_where_nothing_helps_the_request_is_refused_and_told_why(scene: Scene) -> None:
    key = key_with_budget(scene.house, scene.gateway, 3_000)
    answered = scene.gateway.chat(scene.model, key.text)
    assert refused_for_money(answered)
    message = error_of(answered)["message"]
    for word in ("this key", "this month", "0.000003 EUR", "/api/budgets"):
        assert word in message, message
    period = BudgetPeriod.objects.get(budget_id__in=budget_ids(key.row))
    assert (period.spent_nano_eur, period.held_nano_eur) == (0, 0)
    assert records_of(key.row) == []


def test_I3_a_budget_lowered_below_what_is_spent_stops_now(scene: Scene) -> None:
    key = scene.key()
    budget = set_budget(on=key.row, period="month", limit_nano_eur=10**9, actor=TESTS)
    assert scene.gateway.chat(scene.model, key.text, max_tokens=5).status == 200
    change_limit(budget=budget, limit_nano_eur=1, actor=TESTS)
    assert refused_for_money(scene.gateway.chat(scene.model, key.text, max_tokens=1))
    change_limit(budget=budget, limit_nano_eur=10**9, actor=TESTS)
    assert scene.gateway.chat(scene.model, key.text, max_tokens=1).status == 200


def test_an_alert_only_budget_never_refuses(scene: Scene) -> None:
    key = scene.key()
    budget = set_budget(on=key.row, period="day", limit_nano_eur=1, is_hard=False, actor=TESTS)
    assert scene.gateway.chat(scene.model, key.text, max_tokens=5).status == 200
    assert eventually(lambda: BudgetPeriod.objects.get(budget_id=budget.pk).spent_nano_eur > 1)


@pytest.mark.parametrize("words", [1_300, 1_500])
def test_a_prompt_that_leaves_less_than_the_default_output_gets_what_is_left(scene: Scene, words: int) -> None:
    key = key_with_budget(scene.house, scene.gateway)
    answered = scene.gateway.chat(scene.model, key.text, "tower " * 5 * words, simulate=ORDINARY)
    assert answered.status == 200, answered.body
    told = answered.headers.get("x-beffroi-max-tokens")
    room = 8_192 - answered.json["usage"]["prompt_tokens"]
    assert int(told or DEFAULT_OUTPUT) == min(DEFAULT_OUTPUT, room)


def test_a_prompt_longer_than_the_window_is_refused_before_anything_is_held(scene: Scene) -> None:
    key = key_with_budget(scene.house, scene.gateway)
    answered = scene.gateway.chat(scene.model, key.text, "tower " * 30_000)
    assert (answered.status, error_of(answered)["code"]) == (400, "context_length_exceeded")
    assert records_of(key.row) == []


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}


@pytest.mark.parametrize("asked", [None, 900])
def test_a_prompt_that_nobody_can_count_does_not_take_the_answers_room(scene: Scene, asked: int | None) -> None:
    """An image in a model whose catalog entry names no maximum may fill the window, as far as the hold knows."""
    key = key_with_budget(scene.house, scene.gateway)
    messages = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, IMAGE]}]
    limit: dict[str, Any] = {} if asked is None else {"max_tokens": asked}
    body = {"model": scene.model, "messages": messages, "simulate": ORDINARY} | limit
    answered = scene.gateway.post("/v1/chat/completions", body, key.text)
    assert answered.status == 200, answered.body
    assert only_record_of(key.row).max_tokens_given == (asked or DEFAULT_OUTPUT)
    assert_exact(scene.house, key.row)
