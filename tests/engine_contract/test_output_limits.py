"""Output limits: a hold is an upper bound only if the engine keeps the limit that we send."""

from typing import Any

import pytest

from tests.engine_contract.client import SAMPLED, Endpoint, figures, message


@pytest.mark.parametrize("member", ["max_tokens", "max_completion_tokens"])
def test_either_limit_is_kept(chat: Endpoint, member: str) -> None:
    assert figures(chat.chat(**{member: 5}).usage)[1] == 5


def test_both_limits_at_the_same_value_are_kept(chat: Endpoint) -> None:
    """What the gateway always sends."""
    assert figures(chat.chat(max_tokens=5, max_completion_tokens=5).usage)[1] == 5
    assert figures(chat.stream_chat(max_tokens=5, max_completion_tokens=5).chunks[-1]["usage"])[1] == 5


@pytest.mark.parametrize(("old", "new", "kept"), [(3, 6, 6), (6, 3, 3), (6, None, 6)])
def test_where_both_are_given_the_new_name_wins_even_when_it_is_larger(
    chat: Endpoint, old: int, new: int | None, kept: int
) -> None:
    """So rewriting `max_tokens` alone would not bind."""
    assert figures(chat.chat(max_tokens=old, max_completion_tokens=new).usage)[1] == kept


def test_the_limit_holds_for_each_choice(chat: Endpoint) -> None:
    assert figures(chat.chat(max_tokens=4, n=3, **SAMPLED).usage)[1] == 12


def test_reasoning_counts_against_the_limit(chat: Endpoint) -> None:
    answer = chat.chat(max_tokens=5, chat_template_kwargs={"enable_thinking": True})
    assert figures(answer.usage)[1] == 5


@pytest.mark.parametrize("limit", [0, -1, -(10**30), 10**6, 10**30, 1.5, "x", [], {}])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
def test_a_limit_that_cannot_be_is_refused(chat: Endpoint, path: str, limit: object) -> None:
    """More than the whole window too."""
    body = (
        {"max_tokens": limit, "prompt": "hi"}
        if path == "/v1/completions"
        else {"max_tokens": limit, "messages": message("hi")}
    )
    answer = chat.post(path, body)
    assert answer.status == 400
    assert answer.json["error"]["code"] == 400


@pytest.mark.parametrize(("limit", "meant"), [("7", 7), (7.0, 7), (True, 1)])
def test_a_limit_of_another_type_is_read_as_the_number_it_resembles(chat: Endpoint, limit: Any, meant: int) -> None:
    """vLLM coerces. The gateway must decide from what it sends itself, not from what it thinks the client meant."""
    assert figures(chat.chat(max_tokens=limit).usage)[1] == meant


def test_a_limit_beyond_the_rest_of_the_window_is_silently_lowered(chat: Endpoint) -> None:
    """Prompt + max_tokens > window is no error as long as each fits alone; the answer ends at the window."""
    prompt_tokens = chat.window - 10
    answer = chat.complete(prompt=[20] * prompt_tokens, max_tokens=100, ignore_eos=True)
    assert figures(answer.usage) == (prompt_tokens, 10)
    assert answer.json["choices"][0]["finish_reason"] == "length"


def test_without_a_limit_a_completion_stops_after_16_tokens(chat: Endpoint) -> None:
    assert figures(chat.complete(prompt="def main", ignore_eos=True).usage)[1] == 16


def test_without_a_limit_a_chat_may_fill_the_window(chat: Endpoint) -> None:
    """So a request without a limit could cost the whole window: one must be sent."""
    answer = chat.chat(ignore_eos=True, messages=message("a " * (chat.window - 200)))
    prompt, completion = figures(answer.usage)
    assert prompt + completion == chat.window


def test_ignore_eos_runs_to_the_limit_but_not_beyond(chat: Endpoint) -> None:
    """A client can make any answer as long as its limit; never longer."""
    assert figures(chat.chat(max_tokens=300, ignore_eos=True).usage)[1] == 300


def test_more_than_the_window_of_prompt_is_refused(chat: Endpoint) -> None:
    answer = chat.chat(messages=message("a " * (chat.window + 10)), max_tokens=1)
    assert answer.status == 400
    error = answer.json["error"]
    assert "maximum context length" in error["message"]
    assert (error["type"], error["code"]) == ("BadRequestError", 400)


@pytest.mark.parametrize("n", [0, -1, 100_000])
def test_a_number_of_choices_that_cannot_be_is_refused(chat: Endpoint, n: int) -> None:
    assert chat.chat(n=n, max_tokens=1).status == 400


@pytest.mark.parametrize(("n", "meant"), [(None, 1), ("2", 2), (True, 1)])
def test_a_number_of_choices_of_another_type_is_read_as_the_number_it_resembles(
    chat: Endpoint, n: Any, meant: int
) -> None:
    """`"n": "2"` costs two answers: a gateway that holds for one would be overrun."""
    assert len(chat.chat(n=n, max_tokens=1, **SAMPLED).json["choices"]) == meant


@pytest.mark.parametrize("stream", ["true", 1, "yes"])
def test_a_stream_flag_of_another_type_streams(chat: Endpoint, stream: Any) -> None:
    """A gateway that reads it as "not true" would wait for a JSON body and find a stream."""
    answer = chat.chat(stream=stream, max_tokens=1)
    assert answer.headers["content-type"].startswith("text/event-stream")


def test_a_stream_flag_of_null_does_not_stream(chat: Endpoint) -> None:
    assert chat.chat(stream=None, max_tokens=1).headers["content-type"] == "application/json"
