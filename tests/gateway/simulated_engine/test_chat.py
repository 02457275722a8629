"""Chat and text completions of a real engine process."""

import json
from typing import Any

import pytest

from gateway.simulated_engine import tokenizer
from tests.gateway.simulated_engine.process import Answered, EngineProcess, chat, data_lines, streamed

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def said(answer: Answered, choice: int = 0) -> str:
    """The content of a stream's choice."""
    deltas = [part["delta"] for event in answer.events for part in event["choices"] if part["index"] == choice]
    return "".join(delta.get("content") or "" for delta in deltas)


def test_a_whole_answer_has_vllms_shape_and_says_that_it_is_simulated(engine: EngineProcess) -> None:
    answer = engine.chat(chat("What is this?"), x_request_id="whole-1")
    body = answer.json
    assert (answer.status, answer.headers["x-simulated-engine"]) == (200, "true")
    assert (body["id"], body["object"], body["model"]) == ("chatcmpl-whole-1", "chat.completion", "demo/chat")
    choice = body["choices"][0]
    assert "simulated" in choice["message"]["content"]
    assert (choice["message"]["role"], choice["finish_reason"], choice["logprobs"]) == ("assistant", "stop", None)
    usage = body["usage"]
    assert usage["prompt_tokens"] == 4 + 3 + tokenizer.count("What is this?")
    assert usage["completion_tokens"] == tokenizer.count(choice["message"]["content"]) + 1
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_a_stream_counts_every_token_in_its_own_event(engine: EngineProcess) -> None:
    answer = engine.chat(streamed(max_tokens=7))
    *events, last = answer.events
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert [event["usage"]["completion_tokens"] for event in events] == list(range(8))
    assert events[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [event["choices"][0]["finish_reason"] for event in events] == [None] * 7 + ["length"]
    assert (last["choices"], last["usage"]["completion_tokens"]) == ([], 7)
    assert data_lines(answer.body)[-1] == b"[DONE]"
    assert tokenizer.count(said(answer)) == 7


def test_a_stream_says_what_the_whole_answer_says(engine: EngineProcess) -> None:
    whole = engine.chat(chat("Tell me")).json
    stream = engine.chat(streamed("Tell me"))
    assert said(stream) == whole["choices"][0]["message"]["content"]
    assert stream.events[-1]["usage"] == whole["usage"]


@pytest.mark.parametrize("options", [None, {"include_usage": False, "continuous_usage_stats": True}])
def test_usage_appears_only_where_it_was_asked_for(engine: EngineProcess, options: dict[str, bool] | None) -> None:
    answer = engine.chat(chat(stream=True, stream_options=options, max_tokens=3))
    assert not any("usage" in event for event in answer.events)


def test_final_usage_alone_comes_once(engine: EngineProcess) -> None:
    answer = engine.chat(chat(stream=True, stream_options={"include_usage": True}, max_tokens=3))
    assert [("usage" in event) for event in answer.events] == [False] * 4 + [True]


def test_with_several_choices_each_event_counts_its_own_and_the_end_counts_all(engine: EngineProcess) -> None:
    *events, last = engine.chat(streamed(n=3, max_tokens=4)).events
    for index in range(3):
        own = [event["usage"] for event in events if event["choices"][0]["index"] == index]
        assert [usage["completion_tokens"] for usage in own] == [0, 1, 2, 3, 4]
        assert len({usage["prompt_tokens"] for usage in own}) == 1
    assert last["usage"]["completion_tokens"] == 12
    assert last["usage"]["prompt_tokens"] == events[0]["usage"]["prompt_tokens"]


@pytest.mark.parametrize("member", ["max_tokens", "max_completion_tokens"])
def test_both_names_of_the_limit_are_enforced(engine: EngineProcess, member: str) -> None:
    body = engine.chat(chat() | {member: 5}).json
    assert (body["usage"]["completion_tokens"], body["choices"][0]["finish_reason"]) == (5, "length")


def test_min_tokens_and_ignore_eos_are_honoured(engine: EngineProcess) -> None:
    assert engine.chat(chat(min_tokens=150)).json["usage"]["completion_tokens"] == 150
    assert engine.chat(chat(ignore_eos=True, max_tokens=333)).json["usage"]["completion_tokens"] == 333


def test_without_a_limit_the_window_is_one(engine: EngineProcess) -> None:
    assert engine.chat(chat(ignore_eos=True)).json["usage"]["total_tokens"] == 2000


def test_a_stop_string_ends_the_text(engine: EngineProcess) -> None:
    choice = engine.chat(chat(stop="engine")).json["choices"][0]
    assert (choice["finish_reason"], choice["stop_reason"]) == ("stop", "engine")
    assert choice["message"]["content"] == "This is a simulated "


@pytest.mark.parametrize("asking", [{"reasoning_effort": "low"}, {"chat_template_kwargs": {"enable_thinking": True}}])
def test_reasoning_comes_first_and_is_counted_apart(engine: EngineProcess, asking: dict[str, Any]) -> None:
    body = engine.chat(chat(**asking)).json
    message, details = body["choices"][0]["message"], body["usage"]["completion_tokens_details"]
    assert tokenizer.count(message["reasoning"]) == details["reasoning_tokens"] > 0
    assert body["usage"]["completion_tokens"] == details["reasoning_tokens"] + tokenizer.count(message["content"]) + 1
    *events, last = engine.chat(streamed(**asking)).events
    kinds = ["reasoning" if "reasoning" in event["choices"][0]["delta"] else "content" for event in events]
    thought = details["reasoning_tokens"]
    assert kinds[1 : thought + 1] == ["reasoning"] * thought
    assert "reasoning" not in kinds[thought + 1 :]
    assert [event["usage"]["completion_tokens_details"]["reasoning_tokens"] for event in events[: thought + 2]] == [
        *range(thought + 1),
        thought,
    ]
    assert last["usage"] == body["usage"]


def test_hidden_reasoning_has_no_event_unless_the_answer_ends_in_it(engine: EngineProcess) -> None:
    hidden: dict[str, Any] = {"reasoning_effort": "low", "include_reasoning": False}
    thought = engine.chat(chat(**hidden)).json["usage"]["completion_tokens_details"]["reasoning_tokens"]
    first, second, *_ = engine.chat(streamed(**hidden)).events
    assert (first["usage"]["completion_tokens"], second["usage"]["completion_tokens"]) == (0, thought + 1)
    _, finish, last = engine.chat(streamed(max_tokens=4, **hidden)).events
    assert (finish["choices"][0]["delta"], finish["choices"][0]["finish_reason"]) == ({}, "length")
    assert finish["usage"]["completion_tokens"] == last["usage"]["completion_tokens"] == 4


def test_a_limit_inside_the_reasoning_leaves_no_content(engine: EngineProcess) -> None:
    body = engine.chat(chat(reasoning_effort="low", max_tokens=4)).json
    assert body["choices"][0]["message"]["content"] is None
    assert body["usage"]["completion_tokens_details"]["reasoning_tokens"] == 4


@pytest.mark.parametrize(
    ("asking", "finish"),
    [
        ({"tool_choice": "required"}, "tool_calls"),
        ({"tool_choice": {"type": "function", "function": {"name": "get_weather"}}}, "stop"),
        ({}, "tool_calls"),
    ],
)
def test_a_tool_is_called_with_arguments_that_fit(engine: EngineProcess, asking: dict[str, Any], finish: str) -> None:
    question = chat("What is the weather in Lille?", tools=[WEATHER], **asking)
    choice = engine.chat(question).json["choices"][0]
    call = choice["message"]["tool_calls"][0]
    assert (choice["finish_reason"], choice["message"]["content"]) == (finish, None)
    assert (call["type"], call["function"]["name"]) == ("function", "get_weather")
    assert set(json.loads(call["function"]["arguments"])) == {"city"}
    events = engine.chat(question | {"stream": True}).events
    parts = [part for event in events for part in event["choices"][0]["delta"].get("tool_calls", [])]
    assert (parts[0]["function"]["name"], parts[0]["function"]["arguments"]) == ("get_weather", "")
    assert "".join(part["function"]["arguments"] for part in parts) == call["function"]["arguments"]


@pytest.mark.parametrize("members", [{"tool_choice": "none"}, {"messages": [{"role": "user", "content": "Good day"}]}])
def test_a_tool_is_left_alone_when_nobody_asks_for_it(engine: EngineProcess, members: dict[str, Any]) -> None:
    body = engine.chat(chat("weather", tools=[WEATHER]) | members).json
    assert body["choices"][0]["message"]["tool_calls"] == []


def test_json_is_valid_and_fits_the_schema_that_was_given(engine: EngineProcess) -> None:
    free = engine.chat(chat(response_format={"type": "json_object"})).json
    assert isinstance(json.loads(free["choices"][0]["message"]["content"]), dict)
    schema = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema}}
    fitting = json.loads(said(engine.chat(streamed(response_format=wanted))))
    assert (type(fitting["name"]), type(fitting["age"])) == (str, int)


def test_a_text_completion_takes_several_prompts_and_counts_each(engine: EngineProcess) -> None:
    body = {"model": "demo/chat", "prompt": ["Once upon", "Il était une fois"], "n": 2, "max_tokens": 3}
    whole = engine.post("/v1/completions", body).json
    assert whole["object"] == "text_completion"
    assert [choice["index"] for choice in whole["choices"]] == [0, 1, 2, 3]
    prompts = [tokenizer.count(text) for text in body["prompt"]]  # type: ignore[attr-defined]
    assert whole["usage"] == {
        "prompt_tokens": sum(prompts),
        "completion_tokens": 12,
        "total_tokens": sum(prompts) + 12,
    }
    options = {"stream": True, "stream_options": {"include_usage": True, "continuous_usage_stats": True}}
    *events, last = engine.post("/v1/completions", body | options).events
    by_choice = {event["choices"][0]["index"]: event["usage"]["prompt_tokens"] for event in events}
    assert by_choice == {0: prompts[0], 1: prompts[0], 2: prompts[1], 3: prompts[1]}
    assert last["usage"] == whole["usage"]


@pytest.mark.parametrize("prompt", [[11, 12, 13], [[11, 12, 13]]])
def test_token_ids_count_by_their_number(engine: EngineProcess, prompt: list[Any]) -> None:
    body = engine.post("/v1/completions", {"model": "demo/chat", "prompt": prompt, "max_tokens": 1}).json
    assert body["usage"]["prompt_tokens"] == 3


def test_echo_repeats_the_prompt_and_a_completion_has_vllms_default_limit(engine: EngineProcess) -> None:
    body = engine.post("/v1/completions", {"model": "demo/chat", "prompt": "Once", "echo": True}).json
    assert body["choices"][0]["text"].startswith("Once")
    assert body["usage"]["completion_tokens"] == 16


@pytest.mark.parametrize(
    ("members", "status", "part"),
    [
        ({"model": "nobody"}, 404, "The model `nobody` does not exist."),
        ({"model": "demo/embed"}, 400, "does not support"),
        ({"messages": "Hello"}, 400, "messages"),
        ({"messages": []}, 400, "messages"),
        ({"messages": [{"content": "x"}]}, 400, "role"),
        ({"max_tokens": -1}, 400, "max_tokens must be at least 1"),
        ({"max_tokens": "ten"}, 400, "max_tokens"),
        ({"max_tokens": 10**30}, 400, "too large"),
        ({"max_tokens": 2001}, 400, "maximum context length is 2000"),
        ({"n": 0}, 400, "n must be at least 1"),
        ({"stream": "maybe"}, 400, "stream"),
        ({"temperature": "warm"}, 400, "temperature"),
        ({"response_format": {"type": "json_schema"}}, 400, "json_schema"),
        ({"tools": {"type": "function"}}, 400, "tools"),
        ({"stream_options": {"include_usage": True}}, 400, "Stream options"),
        ({"stop": 3}, 400, "stop"),
        ({"simulate": {"statsu": 500}}, 400, "statsu"),
    ],
)
def test_bad_requests_are_refused_in_vllms_shape(
    engine: EngineProcess, members: dict[str, Any], status: int, part: str
) -> None:
    answer = engine.chat(chat() | members)
    error = answer.json["error"]
    assert (answer.status, error["code"]) == (status, status)
    assert set(error) == {"message", "type", "param", "code"}
    assert part in error["message"]


def test_a_prompt_over_the_window_is_refused_with_both_figures(engine: EngineProcess) -> None:
    answer = engine.chat(chat("word " * 2000))
    error = answer.json["error"]
    assert (answer.status, error["type"], error["param"]) == (400, "BadRequestError", None)
    assert "2000 tokens" in error["message"]


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"null", b"\xff\xfe{\x00}\x00", b'{"model":"a"} trailing'])
def test_what_is_no_json_object_is_refused(engine: EngineProcess, body: bytes) -> None:
    answer = engine.post("/v1/chat/completions", body)
    assert (answer.status, answer.json["error"]["type"]) == (400, "BadRequestError")


def test_unknown_members_are_ignored(engine: EngineProcess) -> None:
    assert engine.chat(chat(temperature=0.1, cache_salt="x", priority=3, made_up={"a": 1}, max_tokens=1)).status == 200


def test_flags_set_reasoning_caching_and_length(start_engine: Any) -> None:
    own = start_engine(
        "--tokens-per-second=0",
        "--first-token-ms=0",
        "--reasoning-tokens=5",
        "--cached-fraction=0.5",
        "--output-tokens=30",
    )
    usage = own.chat(chat("word " * 100)).json["usage"]
    assert usage["completion_tokens_details"] == {"reasoning_tokens": 5}
    assert usage["completion_tokens"] <= 36
    assert usage["prompt_tokens_details"]["cached_tokens"] == usage["prompt_tokens"] // 2 // 16 * 16
    assert own.metric("prefix_cache_hits_total") == usage["prompt_tokens_details"]["cached_tokens"]
    assert own.metric("prefix_cache_queries_total") == usage["prompt_tokens"]
