"""Every decision on a body, and that what passes is what was looked at."""

import contextlib
import json
import time
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.relay.errors import Refusal
from gateway.relay.fields import FIELDS, Action
from gateway.relay.json_walk import MAX_DEPTH, BadJson, is_too_deep, members_of, objects_of
from gateway.relay.request_body import Endpoint, InferenceRequest, parse_request
from tests.gateway.relay.odd_bodies import odd_bodies
from tests.gateway.relay.odd_body import OddBody, chat

ODD_BODIES = odd_bodies()
STREAM_OPTIONS = {"include_usage": True, "continuous_usage_stats": True}


def parse(body: Any, endpoint: Endpoint = Endpoint.CHAT) -> InferenceRequest:
    return parse_request(endpoint, json.dumps(body).encode())


def sent(request: InferenceRequest, max_output: int | None = 7, cache_salt: str | None = None) -> Any:
    limit = max_output if request.is_generating else None
    return json.loads(b"".join(request.engine_body(served_name="served", max_output=limit, cache_salt=cache_salt)))


def test_the_corpus_has_at_least_200_bodies() -> None:
    assert len(ODD_BODIES) >= 200


@pytest.mark.parametrize("odd", [odd for odd in ODD_BODIES if odd.code], ids=lambda odd: odd.name)
def test_an_odd_body_is_refused(odd: OddBody) -> None:
    with pytest.raises(Refusal) as refusal:
        parse_request(odd.endpoint, odd.body)
    assert (refusal.value.status, refusal.value.code) == (400, odd.code)
    assert json.loads(refusal.value.body())["error"]["message"]


@pytest.mark.parametrize("odd", [odd for odd in ODD_BODIES if not odd.code], ids=lambda odd: odd.name)
def test_an_odd_body_is_accepted_for_what_it_is(odd: OddBody) -> None:
    request = parse_request(odd.endpoint, odd.body)
    assert {name: getattr(request, name) for name in odd.decided} == odd.decided


@pytest.mark.parametrize("odd", [odd for odd in ODD_BODIES if not odd.code], ids=lambda odd: odd.name)
def test_an_engine_gets_our_limits_and_nothing_else_that_could_change_them(odd: OddBody) -> None:
    request = parse_request(odd.endpoint, odd.body)
    body = sent(request, 7, "salt")
    limits = {name: value for name, value in body.items() if name in ("max_tokens", "max_completion_tokens", "n")}
    expected = {"max_tokens": 7} if request.is_generating else {}
    if request.endpoint is Endpoint.CHAT:
        expected["max_completion_tokens"] = 7
    if request.choices > 1:
        expected["n"] = request.choices
    assert limits == expected
    assert (body["model"], body["cache_salt"], body.get("stream", False)) == ("served", "salt", request.stream)
    known = FIELDS[request.endpoint]
    assert not [name for name in body if name in known and known[name].action in (Action.DROP, Action.REFUSE)]


def test_values_reach_the_engine_byte_for_byte() -> None:
    odd = b'{"temperature": 1.0E-0 , "x":{"b":1,"b":2}, "model":"m",'
    odd += b'"messages":[ {"role":"user","content":"\\u00e9\\/\xc3\xa9"}]}'
    body = b"".join(parse_request(Endpoint.CHAT, odd).engine_body(served_name="s", max_output=1, cache_salt=None))
    for value in (
        b'"temperature":1.0E-0,',
        b'"x":{"b":1,"b":2},',
        b'[ {"role":"user","content":"\\u00e9\\/\xc3\xa9"}]',
    ):
        assert value in body


def test_a_stream_always_asks_for_usage() -> None:
    for asked, include in ((None, False), ({"include_usage": False}, False), ({"include_usage": True}, True)):
        request = parse(chat(stream=True, stream_options=asked))
        assert (request.include_usage, sent(request)["stream_options"]) == (include, STREAM_OPTIONS)
    assert "stream_options" not in sent(parse(chat()))


def test_usage_per_chunk_is_for_who_asks_for_both() -> None:
    assert parse(chat(stream=True, stream_options=STREAM_OPTIONS)).continuous_usage
    assert not parse(chat(stream=True, stream_options={"include_usage": True})).continuous_usage


def test_content_that_nobody_needs_stays_here() -> None:
    body = sent(parse(chat(user="alice", metadata={"a": "b"}, store=True, service_tier="flex", safety_identifier="s")))
    assert body.keys() == {"model", "messages", "max_tokens", "max_completion_tokens"}


def test_a_clients_own_salt_and_priority_are_replaced() -> None:
    body = sent(parse(chat(cache_salt="mine", priority=-100)), cache_salt="the tenant's")
    assert (body["cache_salt"], "priority" in body) == ("the tenant's", False)


def test_something_generated_without_a_limit_is_a_defect() -> None:
    request = parse(chat())
    for limit in (None, 0, -1):
        with pytest.raises(ValueError, match="limit"):
            request.engine_body(served_name="s", max_output=limit, cache_salt=None)


def test_tokenize_counts_what_the_prompt_is_made_of() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    request = parse(chat(tools=tools, temperature=1, chat_template_kwargs={"a": 1}, reasoning_effort="none"))
    body = json.loads(request.tokenize_body("served") or b"")
    assert body == {
        "model": "served",
        "messages": chat()["messages"],
        "tools": tools,
        "chat_template_kwargs": {"a": 1, "reasoning_effort": "none", "enable_thinking": False},
    }


def test_tokenize_of_a_text() -> None:
    request = parse({"model": "m", "prompt": "hi \u00e9", "add_special_tokens": False}, Endpoint.COMPLETIONS)
    assert json.loads(request.tokenize_body("s") or b"") == {
        "model": "s",
        "prompt": "hi \u00e9",
        "add_special_tokens": False,
    }
    request = parse({"model": "m", "input": "hi"}, Endpoint.EMBEDDINGS)
    assert json.loads(request.tokenize_body("s") or b"") == {"model": "s", "prompt": "hi"}


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        (Endpoint.CHAT, chat(documents=[{"text": "a"}])),
        (Endpoint.CHAT, chat(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": "data:,"}]}])),
        (Endpoint.COMPLETIONS, {"model": "m", "prompt": ["a", "b"]}),
        (Endpoint.COMPLETIONS, {"model": "m", "prompt": [1, 2]}),
        (Endpoint.COMPLETIONS, {"model": "m", "prompt": "a", "suffix": "b"}),
        (Endpoint.RERANK, {"model": "m", "query": "a", "documents": ["b"]}),
    ],
)
def test_tokenize_is_not_asked_where_it_would_count_something_else(endpoint: Endpoint, body: Any) -> None:
    assert parse(body, endpoint).tokenize_body("s") is None


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.text(alphabet=st.characters(exclude_characters='"\\', exclude_categories=["Cc", "Cs"]), max_size=3)
BLANKS = st.text(" \t\r\n", max_size=2)


class Duplicate(ValueError):
    pass


def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise Duplicate
    return dict(pairs)


@st.composite
def objects_with_duplicates(draw: st.DrawFn) -> str:
    """JSON objects as careless (or malicious) people write them; members and values hold no objects with duplicates."""
    members = draw(st.lists(st.tuples(NAMES, JSON), max_size=6))
    texts = [
        f"{draw(BLANKS)}{json.dumps(name, ensure_ascii=False)}{draw(BLANKS)}:{draw(BLANKS)}"
        f"{json.dumps(value, ensure_ascii=draw(st.booleans()))}{draw(BLANKS)}"
        for name, value in members
    ]
    return draw(BLANKS) + "{" + (",".join(texts) or draw(BLANKS)) + "}" + draw(BLANKS)


@given(objects_with_duplicates())
@example('{"a":12,"a":1}')
@example('{"a":1,"a":12}')
@example('{"a":12,"b":1,"a":1}')
@example('{"a":1,"a":1}')
@example('{"a":"","b":1,"a":""}')
@example('{"":1,"":2}')
def test_the_walk_accepts_just_the_objects_without_duplicates(text: str) -> None:
    try:
        expected = json.loads(text, object_pairs_hook=without_duplicates)
    except Duplicate:
        expected = None
    try:
        found = {name: json.loads(value) for name, value in members_of(text.encode()).items()}
    except BadJson:
        found = None
    assert found == expected


@given(st.lists(objects_with_duplicates(), max_size=4), BLANKS, BLANKS)
@example(['{"a":{"x":1,"b":2},"b":3,"a":{"x":1}}'], "", "")
def test_the_walk_over_a_list_does_too(texts: list[str], before: str, after: str) -> None:
    text = f"[{before}" + ",".join(texts) + f"{after}]"
    try:
        expected = json.loads(text, object_pairs_hook=without_duplicates)
    except Duplicate:
        expected = None
    try:
        found = [{name: json.loads(value) for name, value in item.items()} for item in objects_of(text.encode(), 10)]
    except BadJson:
        found = None
    assert found == expected


@given(st.dictionaries(NAMES, JSON, max_size=6), st.sampled_from([(", ", ": "), (",", ":")]))
def test_unknown_members_reach_the_engine_as_they_are(members: dict[str, Any], separators: tuple[str, str]) -> None:
    unknown = {name: value for name, value in members.items() if name not in FIELDS[Endpoint.CHAT]}
    body = json.dumps(unknown | chat(), separators=separators, ensure_ascii=False).encode()
    reached = {name: value for name, value in unknown.items() if value is not None}
    expected = reached | chat(model="served", max_tokens=7, max_completion_tokens=7)
    assert sent(parse_request(Endpoint.CHAT, body)) == expected


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_garbage_is_refused_and_breaks_nothing(body: bytes) -> None:
    for endpoint in Endpoint:
        with pytest.raises(Refusal):
            parse_request(endpoint, body)


@given(JSON)
def test_depth_is_that_of_the_value(value: Any) -> None:
    def depth(value: Any) -> int:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
        return 0 if inner is None else 1 + max(map(depth, inner), default=0)

    raw = msgspec.json.encode(value)
    for most in (0, 1, 2, 3):
        assert is_too_deep(raw, most) == (depth(value) > most)
    assert not is_too_deep(raw, MAX_DEPTH)


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"m","messages":[' + b"{}," * 600_000 + b"{}]}",
        b'{"model":"m","messages":[{"role":"user"' + b',"a":1' * 300_000 + b"}]}",
        b"{" + b'"a":1,' * 300_000 + b'"b":1}',
        b'{"model":"m","x":[' + b"[]," * 600_000 + b"[]]}",
        b"," * 1_100_000 + b'"' + b'\\"' * 1_000_000,
        b'{"model":"m","messages":[{"role":"user","content":"' + b'[{\\"' * 500_000 + b'"}]}',
        b"[" * 2_000_000,
    ],
    ids=["messages", "members", "hidden members", "lists", "an open string", "quotes", "brackets"],
)
def test_no_body_keeps_the_gateway_busy(body: bytes) -> None:
    began = time.process_time()
    with contextlib.suppress(Refusal):
        parse_request(Endpoint.CHAT, body)
    assert time.process_time() - began < 2  # tenths of a second; quadratic work would take minutes


def test_a_body_of_a_million_items_is_refused_before_it_is_built() -> None:
    with pytest.raises(Refusal) as refusal:
        parse_request(Endpoint.COMPLETIONS, b'{"model":"m","prompt":[' + b"1," * 1_100_000 + b"1]}")
    assert refusal.value.code == "invalid_json"
