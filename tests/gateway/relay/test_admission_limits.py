"""Limits and refusals at the front door: never passed, told with where to go, and kept."""

import threading
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from billing.limits.limits import set_limit
from billing.models import Hold, LimitWindow, Refusal, RefusalCount
from billing.models import Scope as Holder
from tests.gateway.relay.bills import assert_exact, key_with_budget, only_record_of, records_of
from tests.gateway.relay.conftest import Scene
from tests.gateway.simulated_engine.process import eventually, read_until
from tests.support.gateway import GatewayProcess, error_of, running_gateway
from tests.support.people import TESTS


@pytest.fixture(scope="module")
def second_gateway(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A second process beside the shared one."""
    with running_gateway(tmp_path_factory.mktemp("second")) as gateway:
        yield gateway


def test_a_rate_counts_down_and_refuses_with_the_time_when_it_frees(scene: Scene) -> None:
    key = key_with_budget(scene.house, scene.gateway)
    set_limit(on=key.row, what="requests", window="hour", amount=3, actor=TESTS)
    left = []
    for _ in range(3):
        answered = scene.gateway.chat(scene.model, key.text, max_tokens=1)
        assert answered.headers["x-ratelimit-limit-requests"] == "3"
        assert answered.headers["x-ratelimit-reset-requests"].endswith("s")
        left.append(answered.headers["x-ratelimit-remaining-requests"])
    assert left == ["2", "1", "0"]
    refused = scene.gateway.chat(scene.model, key.text, max_tokens=1)
    error = error_of(refused)
    assert (refused.status, error["code"], error["type"]) == (429, "rate_limit_exceeded", "requests")
    assert 1 <= int(refused.headers["retry-after"]) <= 3_600
    assert "x-should-retry" not in refused.headers
    for word in ("this key", "3 requests an hour", "GET /api/key"):
        assert word in error["message"]
    assert len(records_of(key.row)) == 3


def test_the_tightest_of_several_limits_is_told(scene: Scene) -> None:
    key = key_with_budget(scene.house, scene.gateway)
    set_limit(on=key.row, what="requests", window="day", amount=50, actor=TESTS)
    set_limit(on=key.row, what="requests", window="hour", amount=5, actor=TESTS)
    set_limit(on=key.row, what="tokens", window="hour", amount=10**6, actor=TESTS)
    answered = scene.gateway.chat(scene.model, key.text, max_tokens=1, stream=True)
    assert answered.headers["x-ratelimit-remaining-requests"] == "4"
    assert answered.headers["x-ratelimit-limit-tokens"] == "1000000"


def test_requests_at_once_are_bounded_and_freed_when_one_ends(scene: Scene) -> None:
    key = key_with_budget(scene.house, scene.gateway)
    set_limit(on=key.row, what="concurrent", window="none", amount=2, actor=TESTS)
    slow = {"tokens_per_second": 5}
    streams = [scene.gateway.open_stream(scene.model, key.text, max_tokens=99, simulate=slow) for _ in range(2)]
    for stream in streams:
        read_until(stream, lambda received: b"data:" in received)
    refused = scene.gateway.chat(scene.model, key.text, max_tokens=1)
    assert (refused.status, error_of(refused)["code"]) == (429, "rate_limit_exceeded")
    assert "2 requests at once" in error_of(refused)["message"]
    streams[0].close()
    assert eventually(lambda: scene.gateway.chat(scene.model, key.text, max_tokens=1).status == 200, 4)
    streams[1].close()
    assert_exact(scene.house, key.row)


def test_a_token_limit_counts_what_was_used_not_what_was_feared(scene: Scene) -> None:
    key = key_with_budget(scene.house, scene.gateway)
    limit = set_limit(on=key.row, what="tokens", window="day", amount=2_000, actor=TESTS)
    for _ in range(8):  # each fears over a thousand
        assert scene.gateway.chat(scene.model, key.text, simulate={"output_tokens": 20}).status == 200
    used = LimitWindow.objects.get(limit_id=limit.pk).used
    assert used == sum(record.input_quantity + record.output_quantity for record in records_of(key.row)) < 500


def test_our_own_output_limit_is_lowered_to_what_a_token_limit_leaves(scene: Scene) -> None:
    key = key_with_budget(scene.house, scene.gateway)
    set_limit(on=key.row, what="output_tokens", window="day", amount=100, actor=TESTS)
    answered = scene.gateway.chat(scene.model, key.text, simulate={"output_tokens": 20})
    assert answered.headers["x-beffroi-max-tokens"] == "100"
    refused = scene.gateway.chat(scene.model, key.text, max_tokens=90)
    assert (refused.status, error_of(refused)["type"]) == (429, "tokens")
    assert scene.gateway.chat(scene.model, key.text, max_tokens=80).status == 200


def test_a_request_that_no_waiting_helps_is_told_not_to_come_back(scene: Scene) -> None:
    key = key_with_budget(scene.house, scene.gateway)
    set_limit(on=key.row, what="output_tokens", window="day", amount=10, actor=TESTS)
    refused = scene.gateway.chat(scene.model, key.text, max_tokens=500)
    assert (refused.status, refused.headers["x-should-retry"]) == (429, "false")
    assert "retry-after" not in refused.headers


def test_I3_two_gateways_keep_a_limit_exactly_and_pass_money_on_that_was_only_held(
    scene: Scene, second_gateway: GatewayProcess
) -> None:
    """The budget covers seven at once, whose costs are a fraction of their holds: the others wait for those."""
    # Nothing can be tightened: the limit is the client's, and a prompt with an image cannot be counted.
    content = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]
    slow = {"first_token_ms": 1_500}
    body = {
        "model": scene.model,
        "messages": [{"role": "user", "content": content}],
        "max_tokens": 10,
        "simulate": slow,
    }
    poor, limited = scene.house.key(), scene.house.key()
    first = key_with_budget(scene.house, scene.gateway)
    probe = threading.Thread(target=scene.gateway.post, args=("/v1/chat/completions", body, first.text))
    probe.start()
    assert eventually(lambda: Hold.objects.filter(key_id=first.row.pk).exists())
    amount = Hold.objects.get(key_id=first.row.pk).amount_nano_eur
    scene.house.budget(Holder.KEY, poor.row.pk, 7 * amount + amount // 2)
    scene.house.limit(Holder.KEY, limited.row.pk, "requests", "day", 11)
    for gateway in (scene.gateway, second_gateway):
        gateway.await_key(poor.text)
        gateway.await_key(limited.text)
    statuses: dict[str, list[int]] = {"poor": [], "limited": []}

    def ask(name: str, key: str, gateway: GatewayProcess) -> None:
        statuses[name].append(gateway.post("/v1/chat/completions", body, key).status)

    threads = [
        threading.Thread(target=ask, args=(name, key.text, gateway))
        for name, key, count in (("poor", poor, 10), ("limited", limited, 10))
        for gateway in (scene.gateway, second_gateway)
        for _ in range(count)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert Counter(statuses["limited"]) == {200: 11, 429: 9}
    assert Counter(statuses["poor"]) == {200: 20}
    probe.join(20)
    assert_exact(scene.house, poor.row)
    assert_exact(scene.house, limited.row)


# ---- what is kept of refusals


def test_a_refusal_is_kept_with_its_limit_and_model_and_counted(scene: Scene) -> None:
    key = key_with_budget(scene.house, scene.gateway, 1)
    set_limit(on=key.row, what="requests", window="hour", amount=0, actor=TESTS)
    answers = [scene.gateway.chat(scene.model, key.text, max_tokens=1) for _ in range(3)]
    assert eventually(lambda: Refusal.objects.filter(key_id=key.row.pk).count() == 3, 8)
    rows = list(Refusal.objects.filter(key_id=key.row.pk))
    assert {str(row.request_id) for row in rows} == {answered.headers["x-request-id"] for answered in answers}
    assert {(row.code, row.limit, row.model) for row in rows} == {
        ("insufficient_quota", "budget/month/key", scene.model)
    }
    assert sum(row.refusals for row in RefusalCount.objects.filter(key_id=key.row.pk)) == 3


def test_a_refusal_names_the_limit_that_refused(scene: Scene) -> None:
    key = key_with_budget(scene.house, scene.gateway)
    set_limit(on=key.row, what="requests", window="hour", amount=0, actor=TESTS)
    scene.gateway.chat(scene.model, key.text, max_tokens=1)
    assert eventually(lambda: Refusal.objects.filter(key_id=key.row.pk).exists(), 8)
    row = Refusal.objects.get(key_id=key.row.pk)
    assert (row.code, row.limit) == ("rate_limit_exceeded", "requests/hour/key")


def test_no_text_of_the_client_is_kept_with_a_refusal_and_none_stops_the_gateway(scene: Scene) -> None:
    """Names of members and of unknown models are content; a NUL in one once ended the heartbeats."""
    key = key_with_budget(scene.house, scene.gateway)
    deep = "[" * 200 + "]" * 200
    bodies = [
        b'{"model":"a secret name","messages":[{"role":"user","content":"x"}]}',
        b'{"model":"a\\u0000b","messages":[{"role":"user","content":"x"}]}',
        b'{"model":"m","a secret member\\u0000":' + deep.encode() + b',"messages":[{"role":"user","content":"x"}]}',
        b'{"model":"m","messages":[{"role":"user","content":"x","a secret member\\u0000":' + deep.encode() + b"}]}",
        b'{"model":"\\ud800","messages":[{"role":"user","content":"x"}]}',
    ]
    for body in bodies:
        assert 400 <= scene.gateway.post("/v1/chat/completions", body, key.text).status < 500
    assert eventually(lambda: Refusal.objects.filter(key_id=key.row.pk).count() == len(bodies), 8)
    for row in Refusal.objects.filter(key_id=key.row.pk):
        assert (row.model, row.limit) == ("", "")
        assert "secret" not in row.code
    assert scene.gateway.chat(scene.model, key.text, max_tokens=1).status == 200


# ---- idempotency


def test_a_repeated_idempotency_key_is_told_the_first_request_and_runs_nothing(scene: Scene) -> None:
    key, other = key_with_budget(scene.house, scene.gateway), key_with_budget(scene.house, scene.gateway)
    body = {"model": scene.model, "messages": [{"role": "user", "content": "x"}], "max_tokens": 2}
    path, once = "/v1/chat/completions", {"idempotency_key": "a client's own words"}
    first = scene.gateway.post(path, body, key.text, **once)
    again = scene.gateway.post(path, body, key.text, **once)
    assert (first.status, again.status) == (200, 409)
    assert error_of(again)["code"] == "repeated_request"
    assert first.headers["x-request-id"] in error_of(again)["message"]
    assert again.headers["x-should-retry"] == "false"
    assert scene.gateway.post(path, body, other.text, **once).status == 200
    assert only_record_of(key.row)


# ---- freshness


def test_what_changes_is_known_at_the_next_request(scene: Scene) -> None:
    """Whether the notification or the admission comes first."""
    cases: list[tuple[dict[str, Any], int, str]] = [
        ({"revoked_at": timezone.now()}, 401, "api_key_revoked"),
        ({"expires_at": timezone.now() - timedelta(1)}, 401, "api_key_expired"),
        ({"scopes": ["usage:read"]}, 403, "scope_missing"),
        ({"allowed_models": ["another-model"]}, 403, "model_not_allowed"),
        ({"ip_ranges": ["192.0.2.0/24"]}, 403, "ip_not_allowed"),
    ]
    for change, status, code in cases:
        key = scene.key()
        assert scene.gateway.chat(scene.model, key.text, max_tokens=1).status == 200
        type(key.row).objects.filter(pk=key.row.pk).update(**change)
        answered = scene.gateway.chat(scene.model, key.text, max_tokens=1)
        assert (answered.status, error_of(answered)["code"]) == (status, code)
        assert len(records_of(key.row)) == 1


def test_a_deleted_key_is_unknown(scene: Scene) -> None:
    key = scene.key()
    assert scene.gateway.get("/v1/models", key.text).status == 200
    key.row.delete()
    assert eventually(lambda: scene.gateway.get("/v1/models", key.text).status == 401, 1)
