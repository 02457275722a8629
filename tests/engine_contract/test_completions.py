"""/v1/completions: several prompts, token ids, echo; and what its usage says of each."""

from typing import Any

import pytest

from tests.engine_contract.client import SAMPLED, STRAYING, USAGE_IN_EVERY_CHUNK, Endpoint, figures
from tests.engine_contract.engines import only_real

PROMPT = "def main of the belfry"


def test_a_prompt_costs_what_tokenize_counts(chat: Endpoint) -> None:
    answer = chat.complete(prompt=PROMPT, max_tokens=4, ignore_eos=True)
    assert figures(answer.usage) == (chat.count(prompt=PROMPT), 4)
    assert answer.json["object"] == "text_completion"


def test_a_list_of_prompts_makes_a_choice_each_and_one_usage_for_all(chat: Endpoint) -> None:
    prompts = [PROMPT, "import os", "x"]
    answer = chat.complete(prompt=prompts, max_tokens=4, ignore_eos=True)
    assert [choice["index"] for choice in answer.json["choices"]] == [0, 1, 2]
    assert figures(answer.usage) == (sum(chat.count(prompt=prompt) for prompt in prompts), 12)


@pytest.mark.parametrize(
    ("prompt", "tokens", "choices"), [([20, 21, 22], 3, 1), ([[20, 21], [22]], 3, 2), ([20.0, True], 2, 1)]
)
def test_token_ids_count_by_their_number(chat: Endpoint, prompt: Any, tokens: int, choices: int) -> None:
    """A flat list of numbers is one prompt, a list of lists several. Whole floats and booleans count as numbers too."""
    answer = chat.complete(prompt=prompt, max_tokens=2, ignore_eos=True)
    assert figures(answer.usage) == (tokens, 2 * choices)
    assert len(answer.json["choices"]) == choices


@pytest.mark.parametrize("prompt", [None, "", [], [[]], [""], [20, "a"], [-1], [10**9], {"a": 1}])
def test_a_prompt_that_cannot_be_is_refused(chat: Endpoint, prompt: Any) -> None:
    assert chat.complete(prompt=prompt, max_tokens=1).status == 400


def test_messages_are_not_taken_here(chat: Endpoint) -> None:
    """A gateway that accepts them must send them to the chat route."""
    assert chat.complete(messages=[{"role": "user", "content": "hi"}], max_tokens=1).status == 400


def test_echo_repeats_the_prompt_without_counting_it_as_output(chat: Endpoint) -> None:
    answer = chat.complete(prompt=PROMPT, max_tokens=3, echo=True, ignore_eos=True)
    assert answer.json["choices"][0]["text"].startswith(PROMPT)
    assert figures(answer.usage) == (chat.count(prompt=PROMPT), 3)


def test_echo_with_no_output_costs_one_token_that_nobody_sees(chat: Endpoint) -> None:
    """The one case where max_tokens 0 is taken: the engine makes a token, counts it, drops it. Hold for 1."""
    answer = chat.complete(prompt=PROMPT, max_tokens=0, echo=True)
    assert answer.json["choices"][0]["text"] == PROMPT
    assert figures(answer.usage) == (chat.count(prompt=PROMPT), 1)


def test_there_is_no_first_chunk_without_a_token(chat: Endpoint) -> None:
    """Other than for a chat: the first chunk already counts one."""
    answer = chat.complete(
        prompt=PROMPT, max_tokens=3, ignore_eos=True, stream=True, stream_options=USAGE_IN_EVERY_CHUNK
    )
    assert [figures(chunk["usage"])[1] for chunk in answer.chunks] == [1, 2, 3, 3]


def test_with_several_prompts_and_choices_a_chunk_counts_its_own_of_each(chat: Endpoint) -> None:
    """Choice i belongs to prompt i // n. A chunk's usage is that prompt's and that choice's; the last chunk sums up.

    So an interrupted stream has cost: each prompt once (not once a choice), plus the last figure of every choice.
    Chunks of the choices come in any order, and a prompt is first heard of with its first token.
    """
    prompts, n = [[20, 21, 22], [23]], 2
    answer = chat.complete(
        prompt=prompts, n=n, max_tokens=6, stream=True, stream_options=USAGE_IN_EVERY_CHUNK, **STRAYING
    )
    *chunks, last = answer.chunks
    final: dict[int, int] = {}
    for chunk in chunks:
        index = chunk["choices"][0]["index"]
        prompt, completion = figures(chunk["usage"])
        assert prompt == len(prompts[index // n])
        final[index] = completion
    assert set(final) == {0, 1, 2, 3}
    assert figures(last["usage"]) == (4, sum(final.values()))


def test_best_of_costs_nothing_because_it_is_ignored(chat: Endpoint) -> None:
    before = chat.metrics()
    answer = chat.complete(prompt=PROMPT, max_tokens=4, best_of=3, ignore_eos=True, **SAMPLED)
    assert figures(answer.usage)[1] == 4
    name = "vllm:generation_tokens_total"
    assert chat.metrics_when(name, before[name] + 4)[name] - before[name] == 4


@only_real
def test_beam_search_runs_far_more_than_it_reports(chat: Endpoint) -> None:
    """Each step is a request of its own over everything so far: the counters move by several times the usage.

    Refuse `use_beam_search`: what it costs cannot be held for.
    """
    before = chat.metrics()
    answer = chat.complete(prompt=PROMPT, max_tokens=6, n=2, use_beam_search=True)
    prompt, _ = figures(answer.usage)
    assert prompt == chat.count(prompt=PROMPT)
    counted, _ = chat.metrics().tokens_since(before)
    assert counted > 5 * prompt
