"""The usage of /v1/chat/completions: what a bill is made of."""

import pytest

from tests.engine_contract.client import SAMPLED, STRAYING, USAGE_IN_EVERY_CHUNK, Endpoint, figures
from tests.engine_contract.engines import only_real


def test_a_whole_answer_carries_its_usage(chat: Endpoint) -> None:
    answer = chat.chat(max_tokens=6)
    prompt, completion = figures(answer.usage)
    assert prompt > 0
    assert completion == 6
    assert answer.json["choices"][0]["finish_reason"] == "length"


def test_an_answer_that_ends_by_itself_counts_the_token_that_ended_it(chat: Endpoint) -> None:
    """That token has no text: the count is one more than the tokens of the text."""
    answer = chat.chat(max_tokens=500)
    assert answer.json["choices"][0]["finish_reason"] == "stop"
    text = answer.json["choices"][0]["message"]["content"]
    assert figures(answer.usage)[1] == chat.count(prompt=text) + 1


def test_a_stop_string_is_cut_from_the_text_but_its_tokens_are_counted(chat: Endpoint) -> None:
    """And text that could be the start of a stop string is held back while its tokens are already counted."""
    words = chat.chat(max_tokens=12).json["choices"][0]["message"]["content"].split()
    stop = " " + words[3]
    answer = chat.chat(max_tokens=12, stop=[stop])
    text = answer.json["choices"][0]["message"]["content"]
    assert answer.json["choices"][0]["finish_reason"] == "stop"
    assert stop not in text
    assert figures(answer.usage)[1] > chat.count(prompt=text)


def test_every_chunk_of_a_stream_reports_usage_when_asked_and_it_only_grows(chat: Endpoint) -> None:
    chunks = chat.stream_chat(max_tokens=20).chunks
    reported = [figures(chunk["usage"]) for chunk in chunks]
    assert len({prompt for prompt, _ in reported}) == 1
    assert [completion for _, completion in reported] == sorted(completion for _, completion in reported)
    assert reported[0][1] == 0
    assert reported[-1][1] == 20


def test_the_first_chunk_has_the_role_and_counts_the_prompt_before_any_token(chat: Endpoint) -> None:
    """It is sent when the first token exists; a client that leaves now has cost a prompt and 0 tokens by our rule."""
    first = chat.stream_chat(max_tokens=3).chunks[0]
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert first["usage"]["completion_tokens"] == 0
    assert first["usage"]["prompt_tokens"] > 0


def test_the_last_chunk_has_no_choices_and_the_figures_of_the_same_answer_unstreamed(chat: Endpoint) -> None:
    whole = figures(chat.chat(max_tokens=9).usage)
    *_, before_last, last = chat.stream_chat(max_tokens=9).chunks
    assert last["choices"] == []
    assert figures(last["usage"]) == whole
    assert before_last["choices"][0]["finish_reason"] == "length"
    assert figures(before_last["usage"]) == whole


def test_usage_only_at_the_end_when_only_that_is_asked_for(chat: Endpoint) -> None:
    """vLLM leaves the member out of the other chunks; OpenAI writes `"usage": null` there."""
    *others, last = chat.stream_chat(max_tokens=4, stream_options={"include_usage": True}).chunks
    assert all("usage" not in chunk for chunk in others)
    assert figures(last["usage"])[1] == 4


@pytest.mark.parametrize(
    "options",
    [
        None,
        {},
        {"include_usage": None},
        {"include_usage": False, "continuous_usage_stats": True},
        {"continuous_usage_stats": True},
    ],
)
def test_no_usage_at_all_unless_include_usage_is_true(chat: Endpoint, options: object) -> None:
    """`continuous_usage_stats` alone does nothing; `null` is as good as absent. So a gateway must set both."""
    answer = chat.stream_chat(max_tokens=3, stream_options=options)
    assert answer.status == 200
    assert all("usage" not in chunk for chunk in answer.chunks)
    assert all(chunk["choices"] for chunk in answer.chunks)


def test_stream_options_without_a_stream_are_refused_unless_null(chat: Endpoint) -> None:
    assert chat.chat(max_tokens=1, stream_options={"include_usage": True}).status == 400
    assert chat.chat(max_tokens=1, stream_options=None).status == 200


def test_unknown_stream_options_pass(chat: Endpoint) -> None:
    answer = chat.stream_chat(max_tokens=2, stream_options={**USAGE_IN_EVERY_CHUNK, "include_obfuscation": True})
    assert figures(answer.chunks[-1]["usage"])[1] == 2


def test_with_several_choices_a_chunk_counts_its_own_choice_and_the_end_counts_all(chat: Endpoint) -> None:
    """A chunk's `completion_tokens` are those of the one choice in it; `prompt_tokens` the whole prompt, each time.

    So an interrupted stream has cost: the prompt once, plus the last figure of every choice.
    """
    *chunks, last = chat.stream_chat(max_tokens=60, n=3, **STRAYING).chunks
    final: dict[int, int] = {}
    for chunk in chunks:
        (choice,) = chunk["choices"]
        prompt, completion = figures(chunk["usage"])
        assert prompt == last["usage"]["prompt_tokens"]
        assert completion >= final.get(choice["index"], 0)
        final[choice["index"]] = completion
    assert set(final) == {0, 1, 2}
    assert figures(last["usage"])[1] == sum(final.values())


def test_several_choices_are_refused_at_temperature_zero(chat: Endpoint) -> None:
    """They would be the same."""
    assert chat.chat(max_tokens=1, n=2, temperature=0).status == 400


def test_with_several_choices_each_first_chunk_comes_before_any_text(chat: Endpoint) -> None:
    chunks = chat.stream_chat(max_tokens=5, n=2, **SAMPLED).chunks
    assert [chunk["choices"][0]["index"] for chunk in chunks[:2]] == [0, 1]
    assert all(chunk["choices"][0]["delta"]["role"] == "assistant" for chunk in chunks[:2])


@only_real
def test_a_chunk_may_carry_several_tokens(chat: Endpoint) -> None:
    """Chunks are not tokens: a character made of three comes when it is whole. Count usage, never chunks."""
    chunks = chat.stream_chat(max_tokens=500).chunks
    euro = next(
        number
        for number, chunk in enumerate(chunks)
        if chunk["choices"] and "€" in chunk["choices"][0]["delta"]["content"]
    )
    before, at = (chunks[number]["usage"]["completion_tokens"] for number in (euro - 1, euro))
    assert at - before == 3


def test_unstreamed_and_streamed_text_are_the_same(chat: Endpoint) -> None:
    assert chat.stream_chat(max_tokens=40).text == chat.chat(max_tokens=40).json["choices"][0]["message"]["content"]
