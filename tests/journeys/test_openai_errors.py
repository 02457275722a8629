"""The official `openai` package for Python meets refusals and faults: the right exception, no needless repetition."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import openai
import pytest
from openai import APIStatusError, DefaultHttpxClient, OpenAI
from openai.types.chat import ChatCompletionMessageParam

from tests.journeys.bill import Bill
from tests.journeys.test_openai_answers import CHAT, EMBEDDING, FAST, HELLO
from tests.support.installation import Installation, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]

Ask = Callable[..., OpenAI]


@pytest.fixture
def answers() -> list[httpx2.Response]:
    """Every answer that a client of `ask` got, repetitions included."""
    return []


@pytest.fixture
def ask(beffroi: Installation, answers: list[httpx2.Response]) -> Iterator[Ask]:
    """Makes clients with a key, and with everything else as it comes."""
    made: list[OpenAI] = []

    def make(key: str, **options: Any) -> OpenAI:
        http_client = DefaultHttpxClient(event_hooks={"response": [answers.append]})
        made.append(OpenAI(base_url=beffroi.base_url, api_key=key, http_client=http_client, **options))
        return made[-1]

    yield make
    for client in made:
        client.close()


def refused(client: OpenAI, error: type[APIStatusError], status: int, code: str, **members: Any) -> APIStatusError:
    """The exception that a chat request ends with: of just this class, and with everything that it promises."""
    asked: dict[str, Any] = {"model": CHAT, "messages": HELLO, "max_tokens": 3} | members
    with pytest.raises(error) as raised:
        client.chat.completions.create(**asked)
    assert type(raised.value) is error
    assert (raised.value.status_code, raised.value.code) == (status, code)
    assert raised.value.message
    assert raised.value.request_id
    return raised.value


def refusals(beffroi: Installation, code: str, key: str) -> list[dict[str, Any]]:
    """What the platform itself noted of a key's refusals with a code."""
    results: list[dict[str, Any]] = beffroi.get(f"/api/usage/refusals?code={code}", key)["results"]
    return results


@pytest.mark.parametrize("key", ["nonsense", "bfr_0123456789_" + "a" * 32 + "_000000"])
def test_a_mistyped_key(ask: Ask, answers: list[httpx2.Response], key: str) -> None:
    refused(ask(key), openai.AuthenticationError, 401, "invalid_api_key")
    assert len(answers) == 1


@pytest.mark.parametrize(("key", "code"), [("revoked", "api_key_revoked"), ("expired", "api_key_expired")])
def test_a_key_whose_time_is_over(ask: Ask, keys: dict[str, str], key: str, code: str) -> None:
    wait_for(lambda: not can_list_models(ask(keys[key])), lambda: "it still works", 5)
    refused(ask(keys[key]), openai.AuthenticationError, 401, code)


def can_list_models(client: OpenAI) -> bool:
    try:
        client.models.list()
    except openai.AuthenticationError:
        return False
    return True


@pytest.mark.parametrize(
    ("key", "code"),
    [("cannot_infer", "scope_missing"), ("only_embeddings", "model_not_allowed"), ("from_elsewhere", "ip_not_allowed")],
)
def test_what_a_key_may_not(
    ask: Ask, keys: dict[str, str], answers: list[httpx2.Response], key: str, code: str
) -> None:
    refused(ask(keys[key]), openai.PermissionDeniedError, 403, code)
    assert len(answers) == 1


def test_a_key_for_some_models_sees_only_these(ask: Ask, keys: dict[str, str], bill: Bill) -> None:
    client = ask(keys["only_embeddings"])
    assert [model.id for model in client.models.list()] == [EMBEDDING]
    answer = client.embeddings.create(model=EMBEDDING, input="A bell")
    bill.show_usage(answer._request_id, answer.usage)


def test_what_is_not_there(client: OpenAI) -> None:
    refused(client, openai.NotFoundError, 404, "model_not_found", model="gpt-oss:1b")
    with pytest.raises(openai.NotFoundError) as raised:
        client.models.retrieve("nobody/nothing:1b")
    assert raised.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError) as raised:
        client.fine_tuning.jobs.list()
    assert raised.value.code == "not_found"


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"max_tokens": -1}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"extra_body": {"chat_template": "{{ messages }}"}}, "chat_template"),
        ({"model": EMBEDDING}, "model"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x.example"}}]}
                ]
            },
            "messages[0].content[0].image_url",
        ),
    ],
)
def test_a_bad_request_names_the_member(client: OpenAI, members: dict[str, Any], param: str) -> None:
    asked: dict[str, Any] = {"model": CHAT, "messages": HELLO} | members
    with pytest.raises(openai.BadRequestError) as raised:
        client.chat.completions.create(**asked)
    assert raised.value.param == param
    assert raised.value.type == "invalid_request_error"


def test_what_an_engine_objects_to_is_a_bad_request(client: OpenAI, bill: Bill) -> None:
    error = refused(client, openai.BadRequestError, 400, "rejected_by_engine", extra_body={"simulate": {"stauts": 1}})
    assert "stauts" in error.message
    bill.show_free(error.request_id, "engine_refused", 400)


def test_a_repeated_idempotency_key_is_a_conflict(ask: Ask, beffroi: Installation, bill: Bill) -> None:
    client = ask(beffroi.demo["api_key"])
    headers = {"Idempotency-Key": f"journey-{time.time_ns()}"}
    first = client.chat.completions.create(
        model=CHAT, messages=HELLO, max_tokens=3, extra_headers=headers, extra_body=FAST
    )
    bill.show_usage(first._request_id, first.usage)
    error = refused(client, openai.ConflictError, 409, "repeated_request", extra_headers=headers)
    assert first._request_id
    assert first._request_id in error.message


def test_a_conflict_is_not_sent_again(ask: Ask, beffroi: Installation, answers: list[httpx2.Response]) -> None:
    # The SDK repeats a 409 unless it is told not to.
    headers = {"Idempotency-Key": f"journey-{time.time_ns()}"}
    client = ask(beffroi.demo["api_key"])
    client.embeddings.create(model=EMBEDDING, input="A bell", extra_headers=headers)
    answers.clear()
    with pytest.raises(openai.ConflictError):
        client.embeddings.create(model=EMBEDDING, input="A bell", extra_headers=headers)
    assert len(answers) == 1


def test_too_large_a_body(ask: Ask, beffroi: Installation, answers: list[httpx2.Response]) -> None:
    huge: list[ChatCompletionMessageParam] = [{"role": "user", "content": "x" * (64 * 1024 * 1024)}]
    refused(ask(beffroi.demo["api_key"]), APIStatusError, 413, "body_too_large", messages=huge)
    assert len(answers) == 1


def test_another_media_type(client: OpenAI) -> None:
    headers = {"Content-Type": "text/plain"}
    refused(client, APIStatusError, 415, "unsupported_media_type", extra_headers=headers)


def test_an_exhausted_budget_is_told_once(
    ask: Ask, beffroi: Installation, keys: dict[str, str], answers: list[httpx2.Response], bill: Bill
) -> None:
    client = ask(keys["poor"])
    error = refused(client, openai.RateLimitError, 429, "insufficient_quota", max_tokens=100)
    assert error.type == "insufficient_quota"
    assert len(answers) == 1
    assert "retry-after" not in answers[0].headers
    wait_for(lambda: refusals(beffroi, "insufficient_quota", keys["poor"]), lambda: "the refusal is not listed", 10)
    noted = refusals(beffroi, "insufficient_quota", keys["poor"])
    assert [row["request_id"] for row in noted] == [error.request_id]


def test_a_used_up_rate_says_when_to_come_back(ask: Ask, keys: dict[str, str], answers: list[httpx2.Response]) -> None:
    client = ask(keys["one_an_hour"])
    client.embeddings.create(model=EMBEDDING, input="A bell")
    answers.clear()
    error = refused(client.with_options(max_retries=0), openai.RateLimitError, 429, "rate_limit_exceeded")
    assert error.type == "requests"
    assert 1 <= int(answers[0].headers["retry-after"]) <= 3600


def test_a_client_waits_until_another_request_has_ended(
    ask: Ask, keys: dict[str, str], answers: list[httpx2.Response]
) -> None:
    client = ask(keys["one_at_once"])
    slow = {"simulate": {"first_token_ms": 1, "tokens_per_second": 20}}
    stream = client.chat.completions.create(model=CHAT, messages=HELLO, max_tokens=16, stream=True, extra_body=slow)
    next(stream)
    rest = threading.Thread(target=lambda: list(stream))
    rest.start()
    answer = client.chat.completions.create(model=CHAT, messages=HELLO, max_tokens=2, extra_body=FAST)
    rest.join()
    assert answer.usage
    assert [one.status_code for one in answers] == [200, 429, 200]


@pytest.mark.parametrize("fault", [{"status": 500}, {"close_before": True}, {"garbage": "json"}])
def test_a_fault_of_every_engine_is_tried_again(
    ask: Ask, beffroi: Installation, answers: list[httpx2.Response], bill: Bill, fault: dict[str, Any]
) -> None:
    client = ask(beffroi.demo["api_key"])
    refused(client, openai.InternalServerError, 502, "engine_failed", extra_body={"simulate": fault})
    assert len(answers) == 3  # the SDK's own two repetitions
    for answer in answers:
        bill.show_free(answer.headers["x-request-id"], "engine_failed", 502)
