"""What is read of an engine's /metrics."""

from datetime import UTC, datetime

import pytest

from gateway.pools.counters import Counters, NoCounters, parse_counters, sample_replica
from gateway.pools.registry import register_pool, register_replica
from tests.gateway.pools.conftest import KEY, OPERATOR, AddReplica, StartEngine
from tests.support.ledger import make_model

PAGE = """
# HELP process_start_time_seconds Start time of the process since unix epoch in seconds.
# TYPE process_start_time_seconds gauge
process_start_time_seconds 1.79524596122e+09
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{engine="0",model_name="org/model"} 1.000001e+06
vllm:prompt_tokens_created{engine="0",model_name="org/model"} 1.7952460348748846e+09
vllm:generation_tokens_total{engine="0",model_name="org/model"} 40.0
vllm:request_prompt_tokens_bucket{engine="0",le="1.0",model_name="org/model"} 0.0
vllm:request_prompt_tokens_count{engine="0",model_name="org/model"} 5.0
vllm:request_prompt_tokens_sum{engine="0",model_name="org/model"} 900000.0
vllm:request_generation_tokens_sum{engine="0",model_name="org/model"} 39.0
vllm:request_params_n_count{engine="0",model_name="org/model"} 3.0
vllm:request_params_n_sum{engine="0",model_name="org/model"} 5.0
vllm:num_requests_running{engine="0",model_name="org/model"} 3.0
vllm:num_requests_waiting{engine="0",model_name="org/model"} 1.0
vllm:kv_cache_usage_perc{engine="0",model_name="org/model"} 7.25e-02
"""


def test_the_counters_of_a_model_are_read() -> None:
    assert parse_counters(PAGE, "org/model") == Counters(
        1_000_001, 40, datetime(2026, 11, 21, 7, 26, 1, 220000, tzinfo=UTC), 900_000, 39, 2, 3, 1, 0.0725
    )


def test_an_engine_that_serves_under_another_name_too_is_counted_by_its_first() -> None:
    assert parse_counters(PAGE, "its other name").prompt_tokens == 1_000_001


def test_the_ranks_of_a_data_parallel_engine_are_added_up() -> None:
    ranks = PAGE + PAGE.replace('engine="0"', 'engine="1"')
    assert parse_counters(ranks, "org/model").generation_tokens == 80
    assert parse_counters(ranks, "org/model").running == 6


def test_an_engine_is_as_full_as_its_fullest_rank() -> None:
    ranks = PAGE + PAGE.replace('engine="0"', 'engine="1"').replace("7.25e-02", "0.5")
    assert parse_counters(ranks, "its other name").kv_cache_usage == 0.5


def test_of_several_models_only_the_one_asked_for_counts() -> None:
    page = PAGE + PAGE.replace("org/model", 'an \\\\odd\\" name')
    assert parse_counters(page, 'an \\odd" name').generation_tokens == 40
    with pytest.raises(NoCounters, match="counts no tokens of a third"):
        parse_counters(page, "a third")


def test_what_an_engine_does_not_tell_is_not_guessed() -> None:
    page = "".join(line for line in PAGE.splitlines(keepends=True) if "_total" in line)
    assert parse_counters(page, "org/model") == Counters(1_000_001, 40)


@pytest.mark.parametrize("page", ["", "nonsense\n", '{"error":"Unauthorized"}', PAGE.replace("tokens_total", "else")])
def test_a_page_without_the_counters_is_told_apart_from_zero(page: str) -> None:
    with pytest.raises(NoCounters):
        parse_counters(page, "org/model")


def test_a_sample_is_taken_between_two_times_of_the_databases_clock(add_replica: AddReplica) -> None:
    sample = sample_replica(add_replica("chat"))
    assert sample.began_at is not None
    assert sample.began_at < sample.asked_at < sample.at
    assert (sample.prompt_tokens, sample.generation_tokens, sample.extra_choices) == (0, 0, 0)
    assert (sample.running, sample.waiting, sample.kv_cache_usage) == (0, 0, 0)


def test_why_there_is_no_sample_is_said(database: None, start_engine: StartEngine) -> None:
    pool = register_pool(model=make_model(), served_name="elsewhere", actor=OPERATOR)
    gone = register_replica(pool=pool, url="http://127.0.0.1:9", actor=OPERATOR)
    with pytest.raises(NoCounters, match="does not answer"):
        sample_replica(gone)
    engine = start_engine({"a": "chat", "b": "chat"})
    with pytest.raises(NoCounters, match="counts no tokens of elsewhere"):
        sample_replica(register_replica(pool=pool, url=engine.url, api_key=KEY, actor=OPERATOR))
