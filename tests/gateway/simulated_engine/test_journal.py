"""The journal: exact on the wire, through cuts and kill -9, and without a word of anybody's text."""

import json
import signal
from typing import Any

from tests.gateway.simulated_engine.process import (
    EngineProcess,
    chat,
    data_lines,
    eventually,
    read_to_end,
    read_until,
    streamed,
    tokens_of,
)

FINISHED = ("stop", "length", "abort")
SLOW = {"first_token_ms": 0, "tokens_per_second": 100}


def last_count(received: bytes) -> int:
    """Completion tokens of the last complete event."""
    complete = received[: received.rfind(b"\n\n") + 2]
    return int(json.loads(data_lines(complete)[-1])["usage"]["completion_tokens"])


def test_a_stream_is_journalled_from_its_start_over_every_token_to_its_end(engine: EngineProcess) -> None:
    usage = engine.chat(streamed("Hello", max_tokens=3, n=2), x_request_id="line-by-line").events[-1]["usage"]
    start, *tokens, final, end = engine.story("line-by-line")
    assert (start["e"], start["endpoint"], start["model"]) == ("start", "/v1/chat/completions", "demo/chat")
    assert (start["n"], start["stream"], start["max_tokens"], start["max_completion_tokens"]) == (2, True, 3, None)
    assert start["prompt_tokens"] == usage["prompt_tokens"]
    assert start["members"] == ["model", "messages", "stream", "stream_options", "max_tokens", "n"]
    assert tokens_of(tokens, 0) == tokens_of(tokens, 1) == [1, 2, 3]
    assert (final["e"], final["completion_tokens"], final["told"]) == ("usage", usage["completion_tokens"], True)
    assert (end["reason"], end["wire"], end["generated"]) == ("length", [3, 3], 6)


def test_a_whole_answer_has_its_usage_and_its_end(engine: EngineProcess) -> None:
    engine.chat(chat(max_tokens=3), x_request_id="whole")
    assert [line["e"] for line in engine.story("whole")] == ["start", "usage", "end"]


def test_a_refused_request_is_journalled_as_refused(engine: EngineProcess) -> None:
    engine.chat(chat(max_tokens=-1), x_request_id="refused-1")
    engine.chat(chat(), x_request_id="refused-2", x_simulate="status=503")
    lines = engine.story("refused-1") + engine.story("refused-2")
    assert [(line["e"], line["status"]) for line in lines] == [("refused", 400), ("refused", 503)]


def test_limits_are_journalled_as_received(engine: EngineProcess) -> None:
    for limit, shown in ((None, None), (7, 7), (10**30, "huge"), ("a secret", "str")):
        engine.chat(chat(max_completion_tokens=3, max_tokens=limit), x_request_id=f"limit-{shown}")
        assert engine.story(f"limit-{shown}")[0]["max_tokens"] == shown


def test_no_text_of_anybody_is_in_the_journal(engine: EngineProcess) -> None:
    canary = "canary-7f3a"
    tool = {"type": "function", "function": {"name": canary, "description": canary}}
    engine.chat(chat(canary, user=canary, tools=[tool], stop=[canary], max_tokens=canary, metadata={"a": canary}))
    engine.chat(streamed(canary, user=canary, tools=[tool], max_tokens=40))
    engine.post("/v1/completions", {"model": "demo/chat", "prompt": canary, "echo": True})
    engine.post("/v1/embeddings", {"model": "demo/embed", "input": canary})
    engine.post("/rerank", {"model": "demo/rerank", "query": canary, "documents": [canary]})
    engine.post("/v1/chat/completions", b'{"messages": "' + canary.encode())
    written = engine.journal_file.read_text()
    assert canary not in written
    assert "simulated engine" not in written


def test_a_client_that_leaves_frees_the_engine_at_once(engine: EngineProcess) -> None:
    finished = [engine.metric("request_success_total", finished_reason=reason) for reason in FINISHED]
    with engine.open(streamed(max_tokens=1000, simulate=SLOW), "leaver") as connection:
        received = read_until(connection, lambda data: last_count_or_zero(data) >= 5)
        assert engine.metric("num_requests_running") == 1
    assert eventually(lambda: engine.metric("num_requests_running") == 0, within=1.0)
    assert [engine.metric("request_success_total", finished_reason=reason) for reason in FINISHED] == finished
    *_, token, end = engine.story("leaver")
    assert (end["reason"], end["wire"]) == ("abort", [token["k"]])
    assert last_count(received) <= token["k"] < 100


def last_count_or_zero(received: bytes) -> int:
    return last_count(received) if b'"usage"' in received and b"\n\n" in received else 0


def test_a_client_of_a_whole_answer_that_leaves_had_nothing_on_the_wire(engine: EngineProcess) -> None:
    slow = {"first_token_ms": 0, "tokens_per_second": 20}
    with engine.open(chat(max_tokens=1000, ignore_eos=True, simulate=slow), "whole-leaver"):
        assert eventually(lambda: engine.metric("num_requests_running") == 1)
    assert eventually(lambda: engine.metric("num_requests_running") == 0, within=1.0)
    end = engine.story("whole-leaver")[-1]
    assert (end["reason"], end["wire"]) == ("abort", [0])
    assert end["generated"] < 100


def test_hidden_reasoning_is_on_the_wire_with_the_first_event_that_counts_it(engine: EngineProcess) -> None:
    hidden: dict[str, Any] = {"reasoning_effort": "minimal", "include_reasoning": False}
    engine.chat(streamed(max_tokens=11, **hidden), x_request_id="hidden")
    assert tokens_of(engine.story("hidden")) == [9, 10, 11]
    engine.chat(streamed(max_tokens=11, n=2, simulate={"batch": 2}, **hidden), x_request_id="hidden-batch")
    assert [tokens_of(engine.story("hidden-batch"), choice)[-1] for choice in (0, 1)] == [11, 11]


def test_a_client_that_leaves_hidden_reasoning_had_nothing_on_the_wire(engine: EngineProcess) -> None:
    body = streamed(reasoning_effort="high", include_reasoning=False, simulate=SLOW | {"reasoning_tokens": 900})
    with engine.open(body, "unseen") as connection:
        read_until(connection, lambda data: b"assistant" in data)
        assert eventually(lambda: engine.metric("kv_cache_usage_perc") > 30e-6)
    end = engine.story("unseen")[-1]
    assert (end["reason"], end["wire"]) == ("abort", [0])
    assert 0 < end["generated"] < 900


def test_after_kill_9_the_journal_is_at_most_one_token_ahead_of_the_wire(start_engine: Any) -> None:
    own = start_engine("--tokens-per-second=400", "--first-token-ms=0")
    streams = {f"s{number}": own.open(streamed(ignore_eos=True), f"s{number}") for number in range(20)}
    assert eventually(lambda: min(own.metric("num_requests_running"), len(tokens_of(own.journal("s19"))) / 10) >= 1)
    own.process.send_signal(signal.SIGKILL)
    own.process.wait()
    ahead = 0
    for name, connection in streams.items():
        with connection:
            received = last_count(read_to_end(connection))
        journalled = tokens_of(own.journal(name))[-1]
        assert 0 < received <= journalled
        ahead += journalled - received
    assert ahead <= 1


def test_a_second_process_goes_on_in_the_same_journal(start_engine: Any) -> None:
    for _ in range(2):
        own = start_engine("--tokens-per-second=0", "--first-token-ms=0")
        own.chat(chat(max_tokens=1), x_request_id="again")
    starts = [line["s"] for line in own.story("again") if line["e"] == "start"]
    assert len(set(starts)) == 2
    assert sum(line["e"] == "boot" for line in own.journal()) == 2


def test_sigterm_ends_streams_with_an_error_and_the_process_with_0(start_engine: Any) -> None:
    own = start_engine("--tokens-per-second=50", "--first-token-ms=0")
    with own.open(streamed(ignore_eos=True), "stopped") as connection:
        read_until(connection, lambda data: b'"content":"This"' in data)
        own.process.send_signal(signal.SIGTERM)
        received = read_to_end(connection)
    assert own.process.wait(5) == 0
    assert b'"type":"InternalServerError"' in received
    assert own.journal("stopped")[-1]["reason"] == "abort"
