"""The parts of a usage that have prices of their own."""

import uuid
from typing import Any

import pytest

from tests.engine_contract.client import SAMPLED, Endpoint, figures, message
from tests.engine_contract.engines import only_real

THINKING = {"chat_template_kwargs": {"enable_thinking": True}}
LONG_TEXT = "the belfry and its bells " * 60


def cached(usage: dict[str, Any]) -> int:
    """The cached tokens of a usage, checked against its prompt."""
    count = usage["prompt_tokens_details"]["cached_tokens"]
    assert type(count) is int
    assert 0 <= count <= usage["prompt_tokens"]
    return count


def reasoning(usage: dict[str, Any]) -> int:
    """The reasoning tokens of a usage, checked against its completion."""
    count = usage["completion_tokens_details"]["reasoning_tokens"]
    assert type(count) is int
    assert 0 <= count <= usage["completion_tokens"]
    return count


def test_a_prompt_sent_again_is_partly_cached(chat: Endpoint) -> None:
    """With `--enable-prompt-tokens-details`. Cached tokens are a part of prompt_tokens, in whole blocks."""
    conversation = message(f"{uuid.uuid4()} {LONG_TEXT}")
    first, second = (chat.chat(messages=conversation, max_tokens=2).usage for _ in range(2))
    assert first["prompt_tokens"] == second["prompt_tokens"]
    assert 0 < cached(second) < second["prompt_tokens"]


def test_the_last_chunk_of_a_stream_tells_cached_tokens_too(chat: Endpoint) -> None:
    conversation = message(f"{uuid.uuid4()} {LONG_TEXT}")
    whole = [chat.chat(messages=conversation, max_tokens=2).usage for _ in range(2)][1]
    assert cached(chat.stream_chat(messages=conversation, max_tokens=2).chunks[-1]["usage"]) == cached(whole)


@only_real
def test_a_salt_keeps_tenants_out_of_each_others_cache(chat: Endpoint) -> None:
    """A prefix is found again only under the same salt: neither timing nor `cached_tokens` tells what others asked."""
    conversation = message(f"{uuid.uuid4()} {LONG_TEXT}")
    counts = [
        cached(chat.chat(messages=conversation, max_tokens=1, cache_salt=salt).usage) for salt in ("a", "a", "b", "b")
    ]
    assert counts[0] == counts[2] == 0
    assert counts[1] == counts[3] > 0


@only_real
def test_with_several_choices_cached_tokens_are_those_of_one(chat: Endpoint) -> None:
    """As prompt_tokens are: once, not once a choice."""
    conversation = message(f"{uuid.uuid4()} {LONG_TEXT}")
    chat.chat(messages=conversation, max_tokens=1)
    usage = chat.chat(messages=conversation, max_tokens=1, n=3, **SAMPLED).usage
    assert 0 < cached(usage) < usage["prompt_tokens"]


@only_real
@pytest.mark.parametrize("cached_one_last", [False, True])
def test_with_several_prompts_the_cached_tokens_of_only_one_are_told(chat: Endpoint, *, cached_one_last: bool) -> None:
    """Of the last prompt, whatever the others had. Never too many: the bill can only be too high."""
    known, fresh = f"{uuid.uuid4()} {LONG_TEXT}", f"{uuid.uuid4()}"
    chat.complete(prompt=known, max_tokens=1)
    prompts = [fresh, known] if cached_one_last else [known, fresh]
    assert (cached(chat.complete(prompt=prompts, max_tokens=1).usage) > 0) is cached_one_last


def test_without_reasoning_the_details_say_zero(chat: Endpoint) -> None:
    """With a `--reasoning-parser` the member is always there for chats."""
    assert reasoning(chat.chat(max_tokens=3).usage) == 0


def test_reasoning_tokens_are_part_of_the_completion_tokens(chat: Endpoint) -> None:
    answer = chat.chat(max_tokens=500, **THINKING)
    told = answer.json["choices"][0]["message"]
    assert 0 < reasoning(answer.usage) < answer.usage["completion_tokens"]
    assert told["reasoning"]
    assert told["content"]


def test_reasoning_comes_in_the_member_reasoning(chat: Endpoint) -> None:
    """Not in `reasoning_content`, which older clients read."""
    deltas = [
        chunk["choices"][0]["delta"] for chunk in chat.stream_chat(max_tokens=8, **THINKING).chunks if chunk["choices"]
    ]
    assert any(delta.get("reasoning") for delta in deltas)
    assert all("reasoning_content" not in delta for delta in deltas)


def test_every_chunk_tells_the_reasoning_tokens_so_far(chat: Endpoint) -> None:
    """Other than cached tokens: an interrupted stream can be billed at the reasoning price."""
    chunks = chat.stream_chat(max_tokens=500, **THINKING).chunks
    counts = [reasoning(chunk["usage"]) for chunk in chunks]
    assert counts == sorted(counts)
    assert counts[0] == 0
    assert counts[-1] == reasoning(chat.chat(max_tokens=500, **THINKING).usage) > 0


def test_hidden_reasoning_is_counted_all_the_same(chat: Endpoint) -> None:
    """`include_reasoning: false`: no chunk is sent while the model thinks, so the usage jumps."""
    answer = chat.chat(max_tokens=500, include_reasoning=False, **THINKING)
    assert not answer.json["choices"][0]["message"].get("reasoning")
    assert reasoning(answer.usage) == reasoning(chat.chat(max_tokens=500, **THINKING).usage)
    counts = [
        chunk["usage"]["completion_tokens"]
        for chunk in chat.stream_chat(max_tokens=500, include_reasoning=False, **THINKING).chunks
    ]
    assert counts[1] > reasoning(answer.usage)


@only_real
def test_the_tokens_around_the_reasoning_are_output_not_reasoning(chat: Endpoint) -> None:
    """`<think>` and `</think>`: 12 tokens of thought, 44 of answer, 58 in all."""
    usage = chat.chat(max_tokens=500, **THINKING).usage
    assert (reasoning(usage), figures(usage)[1]) == (12, 58)


@only_real
def test_reasoning_effort_switches_thinking_on(chat: Endpoint) -> None:
    """Any effort but none sets the template's `enable_thinking`: a member of OpenAI's that changes the bill."""
    assert reasoning(chat.chat(max_tokens=500, reasoning_effort="high").usage) == 12
    assert reasoning(chat.chat(max_tokens=500, reasoning_effort="none").usage) == 0


@only_real
def test_completions_have_no_reasoning_tokens(chat: Endpoint) -> None:
    """There `completion_tokens_details` is null whole and absent streamed: read both as 0."""
    assert chat.complete(prompt="x", max_tokens=1).usage["completion_tokens_details"] is None
