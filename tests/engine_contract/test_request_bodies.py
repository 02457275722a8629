"""How vLLM reads a body: the gateway must decide from the same reading, or a request costs what was not held."""

import json
from typing import Any

import pytest

from tests.engine_contract.client import Endpoint, figures, message
from tests.engine_contract.engines import only_real

HEAD = b'"messages":[{"role":"user","content":"hi"}],"temperature":0'


def tokens(chat: Endpoint, members: bytes) -> int:
    """Completion tokens of a chat request with these members, as written."""
    model = json.dumps(chat.model).encode()
    return figures(chat.post("/v1/chat/completions", b"{" + HEAD + b',"model":' + model + b"," + members + b"}").usage)[
        1
    ]


def test_of_duplicate_members_the_last_wins(chat: Endpoint) -> None:
    """As in Python's json. Other parsers take the first: refuse duplicates of what is decided on."""
    assert tokens(chat, b'"max_tokens":9,"max_tokens":2') == 2
    assert tokens(chat, b'"max_tokens":2,"max_tokens":9') == 9


def test_a_member_name_may_be_escaped(chat: Endpoint) -> None:
    r"""`max\u005ftokens` is max_tokens, also as a duplicate: a byte search finds neither."""
    assert tokens(chat, rb'"max\u005ftokens":3') == 3
    assert tokens(chat, rb'"max_tokens":9,"max\u005ftokens":3') == 3


def test_member_names_are_case_sensitive(chat: Endpoint) -> None:
    assert tokens(chat, b'"max_tokens":3,"Max_Tokens":9,"MAX_TOKENS":8') == 3


def test_members_of_inner_objects_do_not_count(chat: Endpoint) -> None:
    assert tokens(chat, b'"metadata":{"max_tokens":"9"},"max_tokens":3') == 3


def test_unknown_members_are_ignored(chat: Endpoint) -> None:
    answer = chat.chat(max_tokens=2, no_such_member={"max_tokens": 9}, guided_choice=["yes"])
    assert figures(answer.usage)[1] == 2


@pytest.mark.parametrize(
    "members",
    [
        {"user": "u", "metadata": {"a": "b"}, "store": True, "service_tier": "auto", "parallel_tool_calls": False},
        {"seed": 3, "top_p": 0.9, "presence_penalty": 0.1, "frequency_penalty": 0.1, "logit_bias": {"20": -1}},
        {"modalities": ["text"], "prediction": {"type": "content", "content": "x"}, "verbosity": "low"},
    ],
)
def test_members_of_openais_api_that_do_not_concern_an_engine_pass(chat: Endpoint, members: dict[str, Any]) -> None:
    assert figures(chat.chat(max_tokens=2, **members).usage)[1] == 2


def test_a_cache_salt_is_taken_and_must_be_a_non_empty_string(chat: Endpoint) -> None:
    assert chat.chat(max_tokens=1, cache_salt="tenant-7").status == 200
    assert chat.chat(max_tokens=1, cache_salt="").status == 400
    assert chat.chat(max_tokens=1, cache_salt=7).status == 400


def test_a_priority_is_taken_and_must_be_an_integer(chat: Endpoint) -> None:
    """Without `--scheduling-policy priority` it is taken and means nothing: no error tells that it has no effect."""
    assert chat.chat(max_tokens=1, priority=0).status == 200
    assert chat.chat(max_tokens=1, priority=-5).status == 200
    assert chat.chat(max_tokens=1, priority="x").status == 400


@only_real
@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-32"])
def test_a_body_need_not_be_utf_8(chat: Endpoint, encoding: str) -> None:
    """vLLM detects the encoding: a gateway that looks at UTF-8 only must refuse the others."""
    body = json.dumps({"model": chat.model, "messages": message("hi"), "max_tokens": 2}).encode(encoding)
    assert figures(chat.post("/v1/chat/completions", body).usage)[1] == 2


@only_real
def test_a_content_encoding_is_not_looked_at(chat: Endpoint) -> None:
    """The body is read as it is: vLLM would not unpack a gzip body, nor complain about the header."""
    body = {"messages": message("hi"), "max_tokens": 2}
    assert figures(chat.post("/v1/chat/completions", body, Content_Encoding="gzip").usage)[1] == 2


def test_deep_nesting_is_400_not_a_crash(chat: Endpoint) -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    answer = chat.post("/v1/chat/completions", b"{" + HEAD + b',"max_tokens":2,"x":' + deep + b"}")
    assert answer.status == 400
    assert chat.get("/health").status == 200


def test_a_lone_surrogate_is_400(chat: Endpoint) -> None:
    body = b'{"messages":[{"role":"user","content":"hi\\ud800"}],"max_tokens":2,"model":"' + chat.model.encode() + b'"}'
    assert chat.post("/v1/chat/completions", body).status == 400
