"""Tool calls and formats pass through the gateway both ways; what they cost is in the usage."""

import json
from typing import Any

import pytest

from tests.engine_contract.client import Endpoint, figures, message
from tests.engine_contract.engines import only_real

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather now.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Lille"]}},
            "required": ["city"],
        },
    },
}
QUESTION = message("What is the weather in Lille?")
NAMED = {"type": "function", "function": {"name": "get_weather"}}


@pytest.mark.parametrize("choice", ["required", NAMED])
def test_a_tool_is_called_when_it_must_be(chat: Endpoint, choice: Any) -> None:
    answer = chat.chat(messages=QUESTION, tools=[TOOL], tool_choice=choice, max_tokens=200)
    (call,) = answer.json["choices"][0]["message"]["tool_calls"]
    assert call["type"] == "function"
    assert call["function"]["name"] == "get_weather"
    assert json.loads(call["function"]["arguments"])["city"] == "Lille"


def test_the_finish_reason_is_tool_calls_when_the_model_chose_and_stop_when_it_was_named(chat: Endpoint) -> None:
    reasons = [
        chat.chat(messages=QUESTION, tools=[TOOL], tool_choice=choice, max_tokens=200).json["choices"][0][
            "finish_reason"
        ]
        for choice in ("required", NAMED)
    ]
    assert reasons == ["tool_calls", "stop"]


def test_a_streamed_call_is_the_same_call_in_pieces(chat: Endpoint) -> None:
    """The tokens of the call's notation come in no chunk: usage jumps over them, and the last report has them all."""
    request = {"messages": QUESTION, "tools": [TOOL], "tool_choice": "required", "max_tokens": 200}
    whole = chat.chat(**request)
    chunks = chat.stream_chat(**request).chunks
    pieces = [
        piece for chunk in chunks if chunk["choices"] for piece in chunk["choices"][0]["delta"].get("tool_calls") or []
    ]
    assert [piece["function"]["name"] for piece in pieces if piece["function"].get("name")] == ["get_weather"]
    assert pieces[0]["id"]
    assert {piece["index"] for piece in pieces} == {0}
    arguments = "".join(piece["function"].get("arguments") or "" for piece in pieces)
    assert json.loads(arguments) == json.loads(
        whole.json["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"]
    )
    assert figures(chunks[-1]["usage"]) == figures(whole.usage)


@only_real
def test_tokens_of_a_call_that_are_never_sent_are_counted(chat: Endpoint) -> None:
    chunks = chat.stream_chat(messages=QUESTION, tools=[TOOL], max_tokens=200).chunks
    counts = [chunk["usage"]["completion_tokens"] for chunk in chunks]
    assert counts[0] == 0
    assert counts[1] >= 4  # a busy machine may send what follows with it
    assert counts[-1] == 12


def test_tools_are_part_of_the_prompt(chat: Endpoint) -> None:
    without = figures(chat.chat(messages=QUESTION, max_tokens=1).usage)[0]
    assert figures(chat.chat(messages=QUESTION, tools=[TOOL], tool_choice="none", max_tokens=1).usage)[0] > without


def test_the_result_of_a_tool_can_be_sent_back(chat: Endpoint) -> None:
    call = {"id": "call-1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Lille"}'}}
    turns = [
        *QUESTION,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call-1", "content": "12"},
    ]
    answer = chat.chat(messages=turns, tools=[TOOL], max_tokens=4)
    assert answer.json["choices"][0]["message"]["content"]


@pytest.mark.parametrize(
    "members", [{"tool_choice": "auto"}, {"tools": []}, {"tools": [TOOL], "tool_choice": "sometimes"}]
)
def test_a_choice_without_tools_no_tools_and_an_unknown_choice_are_refused(
    chat: Endpoint, members: dict[str, Any]
) -> None:
    assert chat.chat(max_tokens=1, **members).status == 400


def test_json_object_gives_an_object(chat: Endpoint) -> None:
    answer = chat.chat(max_tokens=200, response_format={"type": "json_object"})
    assert isinstance(json.loads(answer.json["choices"][0]["message"]["content"]), dict)


def test_json_schema_gives_what_the_schema_says(chat: Endpoint) -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"enum": ["bell"]}},
        "required": ["a"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    answer = chat.chat(max_tokens=200, response_format=form)
    assert json.loads(answer.json["choices"][0]["message"]["content"]) == {"a": "bell"}


def test_an_unknown_format_is_refused(chat: Endpoint) -> None:
    assert chat.chat(max_tokens=1, response_format={"type": "yaml"}).status == 400


@only_real
def test_a_template_of_the_clients_own_is_refused(chat: Endpoint) -> None:
    """Unless the engine is started with --trust-request-chat-template: it is a program."""
    assert chat.chat(max_tokens=1, chat_template="x").status == 400
