"""Health, models and metrics: what probes, autoscaling and the reconciliation of bills read."""

import pytest

from tests.engine_contract.client import SAMPLED, Endpoint, figures

COUNTERS = ("vllm:prompt_tokens_total", "vllm:generation_tokens_total", "vllm:request_success_total")
GAUGES = ("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc")
HISTOGRAMS = (
    "vllm:time_to_first_token_seconds",
    "vllm:inter_token_latency_seconds",
    "vllm:request_queue_time_seconds",
    "vllm:e2e_request_latency_seconds",
)


def test_a_ready_engine_says_so_without_a_key_and_without_a_word(chat: Endpoint) -> None:
    answer = chat.get("/health")
    assert (answer.status, answer.body) == (200, b"")


def test_models_are_listed_with_their_window(chat: Endpoint) -> None:
    answer = chat.get("/v1/models", chat.api_key)
    assert answer.status == 200
    card = next(card for card in answer.json["data"] if card["id"] == chat.model)
    assert card["object"] == "model"
    assert card["max_model_len"] == chat.window


@pytest.mark.parametrize("api_key", [None, "wrong"])
def test_models_are_not_listed_for_a_stranger(chat: Endpoint, api_key: str | None) -> None:
    """The body of vLLM's 401 is not OpenAI's: `error` is a string. It must never be handed on."""
    answer = chat.get("/v1/models", api_key)
    assert (answer.status, answer.json) == (401, {"error": "Unauthorized"})


def test_health_metrics_and_tokenize_are_open_to_anybody_who_reaches_the_port(chat: Endpoint) -> None:
    """`--api-key` guards /v1 only, so an engine's port must not be reachable by tenants."""
    assert chat.get("/metrics").status == 200
    assert chat.post("/tokenize", {"prompt": "hi"}, Authorization="Bearer wrong").status == 200


def test_the_metrics_that_we_read_are_there_from_the_start(chat: Endpoint) -> None:
    chat.chat(max_tokens=2)
    names = chat.metrics().sums
    missing = [name for name in (*COUNTERS, *GAUGES) if name not in names]
    missing += [name for name in HISTOGRAMS if f"{name}_bucket" not in names or f"{name}_count" not in names]
    assert missing == []


def test_metrics_carry_the_served_name_of_the_model(chat: Endpoint) -> None:
    samples = [line for line in chat.get("/metrics").body.decode().splitlines() if line.startswith(COUNTERS[0] + "{")]
    assert any(f'model_name="{chat.model}"' in sample for sample in samples)


@pytest.mark.parametrize("stream", [False, True])
def test_the_token_counters_move_by_exactly_the_usage_that_was_reported(chat: Endpoint, *, stream: bool) -> None:
    """So the sum of an engine's bills can be checked against the engine."""
    before = chat.metrics()
    answer = chat.stream_chat(max_tokens=7) if stream else chat.chat(max_tokens=7)
    usage = answer.chunks[-1]["usage"] if stream else answer.usage
    after = chat.metrics_when(COUNTERS[1], before[COUNTERS[1]] + usage["completion_tokens"])
    assert after.tokens_since(before) == figures(usage)


def test_several_choices_count_their_prompt_once_in_usage_but_once_a_choice_in_the_metrics(chat: Endpoint) -> None:
    """vLLM runs `n` choices as `n` requests over one prompt: whoever compares bills with counters must know."""
    before = chat.metrics()
    prompt, completion = figures(chat.chat(max_tokens=5, n=3, **SAMPLED).usage)
    assert completion == 15
    after = chat.metrics_when(COUNTERS[1], before[COUNTERS[1]] + completion)
    assert after.tokens_since(before) == (3 * prompt, completion)


def test_nothing_runs_when_nobody_asks(chat: Endpoint) -> None:
    chat.chat(max_tokens=2)
    assert chat.metrics_when("vllm:num_requests_running", 0)["vllm:num_requests_running"] == 0
    assert chat.metrics()["vllm:num_requests_waiting"] == 0


def test_an_embedding_counts_as_prompt_tokens(embedding: Endpoint) -> None:
    before = embedding.metrics()
    usage = embedding.post("/v1/embeddings", {"input": ["a belfry", "and its bells"]}).usage
    after = embedding.metrics_when(COUNTERS[0], before[COUNTERS[0]] + usage["prompt_tokens"])
    assert after.tokens_since(before) == (usage["prompt_tokens"], 0)
