"""What an engine does wrong in the middle of a stream: the client gets no broken bytes, and the tally stays exact."""

import json

import pytest

from gateway.relay import sse
from gateway.relay.engine_json import MALFORMED
from gateway.relay.stream_meter import StreamMeter
from gateway.relay.usage import Usage
from tests.gateway.relay.streams import chat_chunk, decoded, event, usage_of


@pytest.mark.parametrize(
    "usage", ['"lots"', "[1]", '{"prompt_tokens":-1}', '{"prompt_tokens":9,"completion_tokens":1e99}']
)
def test_a_nonsense_usage_is_told_apart_and_the_stream_still_ends_well(usage: str) -> None:
    meter = StreamMeter(hide_usage=False, sequences=1)
    meter.feed(event(chat_chunk()) + event('{"choices":[],"usage":' + usage + "}") + event("[DONE]"))
    assert meter.tally.has_final
    assert not meter.tally.total().is_sane
    shown = decoded(meter.ending(5))[0]["usage"]
    assert shown["cost_nano_eur"] == 5
    assert "prompt_tokens" in shown


ERRORS = [
    '{"error":{"message":"CUDA out of memory at /srv/x.py","type":"InternalServerError","code":500}}',
    '{"error":"Unauthorized"}',
    '{"object":"error","message":"too long","code":400}',
    '{"detail":"Internal Server Error"}',
    '{"detail":NaN}',
    '{"choices":[{"index":0,"delta":{"content":"x"}}],"error":{"message":"no"}}',
]


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_of_the_engine_is_kept_from_the_client_and_ends_the_stream(error: str) -> None:
    meter = StreamMeter(hide_usage=True, sequences=1)
    sent = meter.feed(
        event(chat_chunk(usage=usage_of(9, 1))) + event(error) + event(chat_chunk("late")) + event("[DONE]")
    )
    assert sent == event(chat_chunk())
    assert meter.error == error.encode()
    assert not meter.finished
    assert meter.feed(event("[DONE]")) == b""
    assert meter.tally.total() == Usage(9, 0, 1, 0)


@pytest.mark.parametrize("empty", [None, False, "", {}])
def test_an_empty_error_member_is_no_error(empty: object) -> None:
    meter = StreamMeter(hide_usage=True, sequences=1)
    assert meter.feed(event(chat_chunk(error=empty))) == event(chat_chunk(error=empty))


@pytest.mark.parametrize(
    "broken",
    [
        "{",
        "text",
        "7",
        "[]",
        '{"choices":[{]}',
        '{"choices":"x"}',
        '{"choices":[]}}',
        "<html>",
        "[" * 100_000,
        '{"a":\x01}',
    ],
)
def test_what_is_no_json_object_ends_the_stream_as_malformed(broken: str) -> None:
    meter = StreamMeter(hide_usage=True, sequences=1)
    assert meter.feed(event(chat_chunk()) + event(broken) + event(chat_chunk())) == event(chat_chunk())
    assert meter.error == MALFORMED


def test_an_event_that_is_too_large_ends_the_stream_after_what_was_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 1000)
    meter = StreamMeter(hide_usage=True, sequences=1)
    assert meter.feed(event(chat_chunk()) + b"data: " + b"x" * 2000) == event(chat_chunk())
    assert meter.error == MALFORMED


@pytest.mark.parametrize(
    "choice",
    [
        '{"index":"0","finish_reason":7}',
        '{"index":null}',
        '{"delta":{"content":"\\ud800"}}',
        '{"logprobs":[NaN]}',
        "null",
    ],
)
def test_odd_choices_are_relayed_and_metered_all_the_same(choice: str) -> None:
    meter = StreamMeter(hide_usage=True, sequences=1)
    relayed = meter.feed(
        event('{"model":"m","choices":[' + choice + '],"usage":{"prompt_tokens":9,"completion_tokens":1}}')
    )
    assert json.dumps(decoded(relayed)) == json.dumps([{"model": "m", "choices": [json.loads(choice)]}])
    assert meter.tally.total() == Usage(9, 0, 1, 0)


def test_an_engine_that_invents_choices_makes_nothing_grow() -> None:
    meter = StreamMeter(hide_usage=True, sequences=2)
    for index in (-1, 2, 10**30, *range(100)):
        meter.feed(event(chat_chunk(index=index, usage=usage_of(9, 1))))
    assert meter.tally.total() == Usage(9, 0, 2, 0)
