"""The table of members, row by row: what it says is what happens."""

import json
from typing import Any

import pytest

from gateway.relay.errors import Refusal
from gateway.relay.fields import FIELDS, Action, Endpoint, Field
from gateway.relay.request_body import parse_request

ORDINARY: dict[Endpoint, dict[str, Any]] = {
    Endpoint.CHAT: {"model": "m", "messages": [{"role": "user", "content": "hi"}]},
    Endpoint.COMPLETIONS: {"model": "m", "prompt": "hi"},
    Endpoint.EMBEDDINGS: {"model": "m", "input": "hi"},
    Endpoint.RERANK: {"model": "m", "query": "q", "documents": ["d"]},
}
STREAM_OPTIONS = {"include_usage": True, "continuous_usage_stats": True}
# Where `messages` is given, /v1/completions is a chat, which has rows of its own.
ROWS = [(endpoint, name, row) for endpoint in Endpoint for name, row in FIELDS[endpoint].items()]


def rows(*actions: Action) -> pytest.MarkDecorator:
    found = [row for row in ROWS if row[2].action in actions]
    return pytest.mark.parametrize(("endpoint", "name", "row"), found, ids=[f"{e.name} {name}" for e, name, _ in found])


def with_member(endpoint: Endpoint, name: str, value: bytes) -> bytes:
    ordinary = json.dumps(ORDINARY[endpoint]).encode()
    return ordinary[:-1] + b', "%s": %s}' % (name.encode(), value)


def engine_members(endpoint: Endpoint, body: bytes) -> dict[str, Any]:
    request = parse_request(endpoint, body)
    limit = 5 if request.is_generating else None
    members: dict[str, Any] = json.loads(
        b"".join(request.engine_body(served_name="s", max_output=limit, cache_salt=None))
    )
    return members


@rows(Action.REFUSE)
def test_a_refused_member_is_refused_by_name(endpoint: Endpoint, name: str, row: Field) -> None:
    with pytest.raises(Refusal) as refusal:
        parse_request(endpoint, with_member(endpoint, name, b'"odd"'))
    assert (refusal.value.status, refusal.value.code, refusal.value.param) == (400, "unsupported_parameter", name)
    assert row.reason in refusal.value.message


@rows(Action.REFUSE)
def test_a_refused_member_with_a_harmless_value_is_left_out(endpoint: Endpoint, name: str, row: Field) -> None:
    for value in (*row.harmless, b"null"):
        assert name not in engine_members(endpoint, with_member(endpoint, name, value))


@rows(Action.DROP)
def test_a_dropped_member_never_reaches_an_engine(endpoint: Endpoint, name: str, row: Field) -> None:
    members = engine_members(endpoint, with_member(endpoint, name, b'{"odd":"secret"}'))
    assert name not in members
    assert row.reason
    assert "secret" not in json.dumps(members)


@rows(Action.PASS, Action.WINDOW)
def test_a_member_that_passes_arrives_as_it_is(endpoint: Endpoint, name: str, row: Field) -> None:
    request = parse_request(endpoint, with_member(endpoint, name, b'{ "odd" : 1.50 }'))
    assert request.members[name] == b'{ "odd" : 1.50 }'
    assert request.is_unbounded == (row.action is Action.WINDOW)


@rows(Action.WINDOW)
def test_a_harmless_value_fills_no_window(endpoint: Endpoint, name: str, row: Field) -> None:
    for value in row.harmless:
        assert not parse_request(endpoint, with_member(endpoint, name, value)).is_unbounded


@rows(Action.SET)
def test_what_is_ours_is_never_the_clients(endpoint: Endpoint, name: str, row: Field) -> None:
    clients = {"model": b'"client"', "cache_salt": b'"client"', "stream": b"true", "stream_options": b'{"a":1}'}
    ours = {"model": "s", "max_tokens": 5, "n": 3, "stream": True, "stream_options": STREAM_OPTIONS}
    if endpoint is Endpoint.CHAT:
        ours["max_completion_tokens"] = 5
    ordinary = {key: value for key, value in ORDINARY[endpoint].items() if key != name}
    if name == "stream_options":
        ordinary["stream"] = True
    body = json.dumps(ordinary).encode()[:-1] + b',"%s":%s}' % (name.encode(), clients.get(name, b"3"))
    assert engine_members(endpoint, body).get(name) == ours.get(name)
    assert row.reason


def test_an_unknown_member_passes_everywhere() -> None:
    for endpoint in Endpoint:
        assert engine_members(endpoint, with_member(endpoint, "novelty", b"[1]"))["novelty"] == [1]


def test_each_row_says_why() -> None:
    assert all(len(row.reason) > 5 for _, _, row in ROWS)


def test_endpoints_have_the_paths_of_the_api() -> None:
    assert [path for endpoint in Endpoint for path in endpoint.paths] == [
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/rerank",
        "/v2/rerank",
    ]
    assert Endpoint.RERANK.path == "/v1/rerank"
