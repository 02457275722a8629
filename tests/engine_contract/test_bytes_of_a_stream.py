"""The exact bytes of a stream: the relay cuts `usage` out of them without decoding the rest."""

import json
import re

import pytest

from tests.engine_contract.client import Endpoint
from tests.engine_contract.engines import only_real


def order(event: bytes) -> list[str]:
    """The names of an event's top-level members as they come."""
    return [name for name, _ in json.loads(event, object_pairs_hook=list)]


def test_a_stream_is_data_lines_each_followed_by_an_empty_one_and_ends_with_done(chat: Endpoint) -> None:
    """LF, one line an event, no comments, no `event:`, `id:` or `retry:`."""
    answer = chat.stream_chat(max_tokens=3)
    assert answer.status == 200
    assert answer.events[-1] == b"[DONE]"
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert b"\r" not in answer.body


def test_events_are_compact_json_with_the_members_in_one_order(chat: Endpoint) -> None:
    """No space after `:` and `,`; text outside ASCII is UTF-8, not escaped."""
    for event in chat.stream_chat(max_tokens=3).events[:-1]:
        assert json.dumps(json.loads(event), separators=(",", ":"), ensure_ascii=False).encode() == event
        assert order(event)[:6] == ["id", "object", "created", "model", "choices", "usage"]


def test_usage_is_the_last_member_only_of_the_chunks_in_the_middle(chat: Endpoint) -> None:
    """The first chunk has `prompt_token_ids` and `prompt_text` (null) behind it, the last one `system_fingerprint`.

    So a splice may not expect `}}` + end of event after the usage: it must find the end of the object.
    """
    first, *middle, last, _done = chat.stream_chat(max_tokens=4).events
    assert order(first)[5:] == ["usage", "prompt_token_ids", "prompt_text"]
    assert all(re.search(rb'\],"usage":\{"prompt_tokens":\d+,.*\}\}$', event) for event in middle)
    assert order(last)[5:] == ["usage", "system_fingerprint"]


def test_a_usage_object_has_one_order_and_prompt_details_only_at_the_end(chat: Endpoint) -> None:
    """`cached_tokens` is known only from the last chunk: an interrupted stream cannot be billed with it."""
    *chunks, last = [json.loads(event, object_pairs_hook=list) for event in chat.stream_chat(max_tokens=4).events[:-1]]
    for chunk in chunks:
        names = [name for name, _ in dict(chunk)["usage"]]
        assert names[:3] == ["prompt_tokens", "total_tokens", "completion_tokens"]
        assert "prompt_tokens_details" not in names
    assert "prompt_tokens_details" in [name for name, _ in dict(last)["usage"]]


def test_the_fingerprint_is_where_the_usage_is(chat: Endpoint) -> None:
    """In the usage chunk when there is one; else in the chunk with the finish reason. Cutting one loses both."""
    asked = chat.stream_chat(max_tokens=2).chunks
    unasked = chat.stream_chat(max_tokens=2, stream_options=None).chunks
    assert [number for number, chunk in enumerate(asked) if "system_fingerprint" in chunk] == [len(asked) - 1]
    assert [number for number, chunk in enumerate(unasked) if "system_fingerprint" in chunk] == [len(unasked) - 1]
    assert unasked[-1]["choices"][0]["finish_reason"] == "length"


def test_chunks_share_the_id_and_the_time_of_the_answer(chat: Endpoint) -> None:
    chunks = chat.stream_chat(max_tokens=3).chunks
    assert len({(chunk["id"], chunk["created"], chunk["model"], chunk["object"]) for chunk in chunks}) == 1
    assert chunks[0]["object"] == "chat.completion.chunk"
    assert chunks[0]["model"] == chat.model


@pytest.mark.parametrize(("path", "prefix"), [("/v1/chat/completions", "chatcmpl-"), ("/v1/completions", "cmpl-")])
def test_our_request_id_becomes_the_id_of_the_answer(chat: Endpoint, path: str, prefix: str) -> None:
    body = (
        {"max_tokens": 1, "prompt": "hi"}
        if path == "/v1/completions"
        else {"max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]}
    )
    assert chat.post(path, body, X_Request_Id="0199-7").json["id"] == f"{prefix}0199-7"


@only_real
def test_the_same_request_id_twice_at_once_harms_nobody(chat: Endpoint) -> None:
    """A retry on the same replica: both run, each with its own full usage."""
    body = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 50, "ignore_eos": True}
    with chat.opened("/v1/chat/completions", body, X_Request_Id="twice") as first:
        second = chat.post("/v1/chat/completions", body, X_Request_Id="twice")
        answer = json.loads(first.getresponse().read())
    assert answer["usage"]["completion_tokens"] == second.usage["completion_tokens"] == 50


def test_completion_chunks_have_the_same_layout_without_the_two_additions(chat: Endpoint) -> None:
    *chunks, last = chat.complete(
        prompt="def main",
        max_tokens=3,
        stream=True,
        stream_options={"include_usage": True, "continuous_usage_stats": True},
    ).events[:-1]
    assert all(order(chunk) == ["id", "object", "created", "model", "choices", "usage"] for chunk in chunks)
    assert order(last) == ["id", "object", "created", "model", "choices", "usage", "system_fingerprint"]


def test_text_that_looks_like_usage_is_escaped_inside_a_string(chat: Endpoint) -> None:
    """What a client sends comes back with echo: its quotes are escaped, so `"usage":` unescaped is a member."""
    text = 'x],"usage":{"prompt_tokens":1}}'
    answer = chat.complete(prompt=text, echo=True, max_tokens=1, stream=True)
    assert answer.status == 200
    assert b'"usage":' not in answer.body
    assert json.loads(answer.events[0])["choices"][0]["text"].startswith(text)
