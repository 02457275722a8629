"""Refusals say what a client can act on, in OpenAI's shape, and never what an engine is made of."""

import inspect
import json
import time
from typing import Any, get_type_hints

import pytest

from gateway.relay import errors
from gateway.relay.engine_refusal import from_engine
from gateway.relay.errors import Refusal

BUDGET = {
    "budget_id": 7,
    "scope": "project",
    "period": "month",
    "limit_nano_eur": 50_000_000_000,
    "spent_nano_eur": 49_999_000_001,
    "held_nano_eur": 900_000,
    "headroom_nano_eur": 99_999,
    "may_lower_output": False,
    "resets_at": "2026-12-01T00:00:00+01:00",
}
LIMIT = {
    "limit_id": 9,
    "scope": "key",
    "what": "output_tokens",
    "window": "hour",
    "amount": 150_000,
    "used": 149_900,
    "asked": 200,
    "seconds": 1801,
}
ARGUMENTS: dict[str, Any] = {
    "detail": BUDGET,
    "seconds": 2.5,
    "limit": 1000,
    "window": 1000,
    "prompt_tokens": 900,
    "output_tokens": 200,
    "status": 500,
    "body": b"",
    "reason": "no_contract",
    "why": "is wrong.",
}


def every_refusal() -> list[tuple[str, Refusal]]:
    found = []
    for name, maker in inspect.getmembers(errors, inspect.isfunction):
        if (
            maker.__module__ != errors.__name__
            or name.startswith("_")
            or get_type_hints(maker)["return"] is not Refusal
        ):
            continue
        needed = [p for p in inspect.signature(maker).parameters.values() if p.default is p.empty]
        arguments = ARGUMENTS | ({"detail": LIMIT} if name == "rate_limit_exceeded" else {})
        found.append((name, maker(*(arguments.get(parameter.name, "GET") for parameter in needed))))
    return found


REFUSALS = every_refusal()


def headers(refusal: Refusal) -> dict[bytes, bytes]:
    return dict(refusal.headers)


@pytest.mark.parametrize("refusal", [refusal for _, refusal in REFUSALS], ids=[name for name, _ in REFUSALS])
def test_every_refusal_has_openais_shape(refusal: Refusal) -> None:
    error = json.loads(refusal.body())["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["code"]
    assert error["message"].endswith((".", ")"))
    assert 400 <= refusal.status < 600
    assert refusal.event() == b"data: " + refusal.body() + b"\n\n"
    assert all(name == name.lower() and b"\n" not in value for name, value in refusal.headers)


@pytest.mark.parametrize("refusal", [refusal for _, refusal in REFUSALS], ids=[name for name, _ in REFUSALS])
def test_what_cannot_help_is_not_repeated_and_what_can_says_when(refusal: Refusal) -> None:
    given = headers(refusal)
    assert not (b"retry-after" in given and b"x-should-retry" in given)
    if refusal.status in (
        409,
        429,
    ):  # the statuses that clients repeat although it is they who have to change something
        assert b"retry-after" in given or given[b"x-should-retry"] == b"false"
    if b"retry-after" in given:
        assert int(given[b"retry-after"]) >= 1


def test_every_function_stands_in_the_table() -> None:
    assert len(REFUSALS) > 35
    assert errors.__doc__ is not None
    for status in {str(refusal.status) for _, refusal in REFUSALS}:
        assert f"    {status} " in errors.__doc__


def test_a_budget_refusal_tells_everything() -> None:
    refusal = errors.insufficient_quota(BUDGET)
    assert (refusal.status, refusal.type, refusal.code) == (429, "insufficient_quota", "insufficient_quota")
    assert headers(refusal) == {b"x-should-retry": b"false"}
    told = (
        "this key's project",
        "this month",
        "50.00 EUR",
        "49.999000001 EUR",
        "0.0009 EUR",
        "2026-11-30 23:00 UTC",
        "budget 7",
    )
    for figure in told:
        assert figure in refusal.message


def test_a_budget_for_once_does_not_promise_to_come_back() -> None:
    message = errors.insufficient_quota(BUDGET | {"period": "once", "resets_at": None}).message
    assert "does not start anew" in message


def test_a_limit_refusal_tells_everything() -> None:
    refusal = errors.rate_limit_exceeded(LIMIT)
    assert (refusal.status, refusal.type, refusal.code) == (429, "tokens", "rate_limit_exceeded")
    assert headers(refusal) == {b"retry-after": b"1801"}
    for figure in ("this key", "150000 output tokens an hour", "149900", "200", "1801 seconds", "limit 9"):
        assert figure in refusal.message


def test_a_limit_on_requests_has_their_type() -> None:
    for what, window in (("requests", "minute"), ("concurrent", "none")):
        refusal = errors.rate_limit_exceeded(LIMIT | {"what": what, "window": window, "seconds": 1})
        assert (refusal.type, headers(refusal)) == ("requests", {b"retry-after": b"1"})


def test_what_a_limit_never_allows_is_not_worth_waiting_for() -> None:
    refusal = errors.rate_limit_exceeded(LIMIT | {"asked": 150_001})
    assert headers(refusal) == {b"x-should-retry": b"false"}
    assert "150001" in refusal.message


def test_seconds_are_rounded_up() -> None:
    assert headers(errors.overloaded(0.01)) == {b"retry-after": b"1"}
    assert headers(errors.overloaded(2.1)) == {b"retry-after": b"3"}


@pytest.mark.parametrize(
    ("status", "expected", "code"),
    [
        (400, 400, "rejected_by_engine"),
        (401, 503, "engine_misconfigured"),
        (403, 503, "engine_misconfigured"),
        (404, 503, "engine_misconfigured"),
        (405, 503, "engine_misconfigured"),
        (413, 400, "rejected_by_engine"),
        (422, 400, "rejected_by_engine"),
        (429, 503, "overloaded"),
        (500, 502, "engine_failed"),
        (501, 502, "engine_failed"),
        (503, 503, "engine_unavailable"),
        (504, 502, "engine_failed"),
        (302, 502, "engine_failed"),
        (204, 502, "engine_failed"),
    ],
)
def test_an_engines_status_is_mapped(status: int, expected: int, code: str) -> None:
    refusal = from_engine(status, b'{"error":{"message":"secret detail","type":"X","code":1}}')
    assert (refusal.status, refusal.code) == (expected, code)
    assert ("secret detail" in refusal.message) == (expected == 400)


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 1024 tokens. However, you requested 2000 tokens in the messages.",
        "The decoder prompt (length 5000) is longer than the maximum model length of 1024.",
        "max_tokens=9 cannot be greater than max_model_len=4.",
    ],
)
def test_a_prompt_that_does_not_fit_has_the_code_that_clients_know(message: str) -> None:
    refusal = from_engine(400, json.dumps({"error": {"message": message, "param": "messages", "code": 400}}).encode())
    assert (refusal.status, refusal.code, refusal.param) == (400, "context_length_exceeded", "messages")
    assert refusal.message == message


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("top_p must be in (0, 1], got 3.0.", "top_p must be in (0, 1], got 3.0."),
        ("see https://internal.example:8000/docs for it", "see [...] for it"),
        ("cannot open /opt/models/secret/config.json now", "cannot open [...] now"),
        ("connect to 10.0.0.7:8000 failed", "connect to [...] failed"),
        ("bad <vllm.engine.Engine object at 0x7f00aa> given", "bad [...] given"),
        ("token hf_abcdefghijklmnop is bad", "token [...] is bad"),
        (
            "1 error\n  wrong type [type=int_type, input_value='my secret prompt', input_type=str]",
            "1 error wrong type [type=int_type",
        ),
        ("[{'loc': ('body', 'n'), 'msg': 'bad', 'input': 'my secret prompt'}]", "[{'loc': ('body', 'n'), 'msg': 'bad'"),
        ("oops\nTraceback (most recent call last):\n  File x", "oops"),
        ("a\x00b\x1b[31m", "a\ufffdb\ufffd[31m"),
        ("x" * 5000, "x" * 297 + "..."),
    ],
)
def test_an_engines_insides_stay_inside(message: str, shown: str) -> None:
    assert from_engine(400, json.dumps({"error": {"message": message}}).encode()).message == shown


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>nginx</html>",
        b"[]",
        b"null",
        b"1",
        b'{"error":null}',
        b'{"error":[]}',
        b'{"error":{"message":{}}}',
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_an_engine_that_explains_nothing_is_not_quoted(body: bytes) -> None:
    refusal = from_engine(400, body)
    assert (refusal.status, refusal.code, refusal.param) == (400, "rejected_by_engine", None)
    assert refusal.message == "The engine rejected the request without saying why."


@pytest.mark.parametrize(
    "body", [b'{"error":"no such thing"}', b'{"object":"error","message":"no such thing","code":400}']
)
def test_other_shapes_of_errors_are_understood(body: bytes) -> None:
    assert from_engine(400, body).message == "no such thing"


@pytest.mark.parametrize("echo", [" ", "a", "/", "[", "a://", "1.", "<", "input", "'"])
def test_what_an_engine_repeats_is_cleaned_quickly(echo: str) -> None:
    began = time.process_time()
    refusal = from_engine(400, json.dumps({"error": {"message": f"bad: {echo * 10_000}"}}).encode())
    assert time.process_time() - began < 0.5
    assert refusal.message.startswith("bad:")
    assert len(refusal.message) <= 300


def test_names_of_clients_are_shown_cut_and_printable() -> None:
    message = errors.model_not_found("m\n\x1b[31m" + "x" * 500).message
    assert message.isprintable()
    assert len(message) < 250
    assert errors.not_found("/v1/" + "x" * 5000).message.isprintable()


def test_a_missing_price_is_not_the_clients_fault() -> None:
    refusal = errors.model_without_price("m", "output")
    assert (refusal.status, headers(refusal)) == (503, {b"x-should-retry": b"false"})
    assert "for output" in refusal.message
