"""Each fault as a client sees it on the wire, steered by header, by body and by flags."""

import json
import socket
import time
from typing import Any

import pytest

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


def events_seen(received: bytes) -> int:
    return received.count(b"\ndata: {")


def test_a_status_comes_in_vllms_shape_with_its_retry_after(engine: EngineProcess) -> None:
    answer = engine.chat(chat(), x_simulate="status=429,retry_after=7")
    assert (answer.status, answer.headers["retry-after"]) == (429, "7")
    assert answer.json["error"]["code"] == 429


def test_a_body_member_steers_as_a_header_does_and_wins(engine: EngineProcess) -> None:
    assert engine.chat(chat(simulate={"status": 503}), x_simulate="status=500").status == 503


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/embeddings", {"model": "demo/embed", "input": "x"}),
        ("/v2/rerank", {"model": "demo/rerank", "query": "a", "documents": ["b"]}),
        ("/tokenize", {"model": "demo/chat", "prompt": "x"}),
    ],
)
def test_every_endpoint_can_fail(engine: EngineProcess, path: str, body: dict[str, Any]) -> None:
    assert engine.post(path, body, x_simulate="status=500").status == 500
    assert engine.post(path, body).status == 200


def test_close_before_answers_nothing(engine: EngineProcess) -> None:
    with engine.open(chat(simulate={"close_before": True})) as connection:
        assert read_to_end(connection) == b""


def test_a_reset_is_no_orderly_end(engine: EngineProcess) -> None:
    wanted = chat(simulate={"close_before": True, "reset": True})
    with engine.open(wanted) as connection, pytest.raises(ConnectionResetError):
        connection.recv(1)


@pytest.mark.parametrize("after", [0, 1, 4])
def test_close_after_sends_so_many_events_and_no_end(engine: EngineProcess, after: int) -> None:
    name = f"close-{after}"
    with engine.open(streamed(max_tokens=50, simulate={"close_after": after}), name) as connection:
        received = read_to_end(connection)
    assert events_seen(received) == after
    assert not received.endswith(b"0\r\n\r\n")
    end = engine.story(name)[-1]
    assert (end["reason"], end["fault"], end["wire"]) == ("fault", "close_after", [max(0, after - 1)])


def test_close_after_cuts_a_whole_answer_by_bytes(engine: EngineProcess) -> None:
    with engine.open(chat(simulate={"close_after": 10}), "bytes") as connection:
        head, _, body = read_to_end(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert len(body) == 10
    _, usage, end = engine.story("bytes")
    assert (usage["told"], end["reason"], end["wire"]) == (False, "fault", [0])


def test_hang_before_keeps_the_connection_open_and_silent(engine: EngineProcess) -> None:
    with engine.open(chat(simulate={"hang_before": True})) as connection:
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(1)


def test_hang_after_stops_in_the_middle_and_stays_open(engine: EngineProcess) -> None:
    with engine.open(streamed(max_tokens=50, simulate={"hang_after": 3}), "hang") as connection:
        received = read_until(connection, lambda data: events_seen(data) == 3)
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        assert engine.metric("num_requests_running") == 1
    assert events_seen(received) == 3
    assert eventually(lambda: engine.metric("num_requests_running") == 0)
    assert engine.story("hang")[-1]["reason"] == "abort"


def test_garbage_in_place_of_http(engine: EngineProcess) -> None:
    with engine.open(chat(simulate={"garbage": "http"})) as connection:
        assert not read_to_end(connection).startswith(b"HTTP")


def test_garbage_in_place_of_json(engine: EngineProcess) -> None:
    with pytest.raises(json.JSONDecodeError):
        _ = engine.chat(chat(simulate={"garbage": "json"})).json
    with pytest.raises(json.JSONDecodeError):
        _ = engine.chat(streamed(simulate={"garbage": "json"})).events


def test_garbage_in_place_of_sse_fields(engine: EngineProcess) -> None:
    answer = engine.chat(streamed(max_tokens=2, simulate={"garbage": "sse"}))
    assert b"dat {" in answer.body
    assert data_lines(answer.body) == [b"[DONE]"]


def test_fewer_bytes_than_announced(engine: EngineProcess) -> None:
    with engine.open(chat(simulate={"garbage": "length"})) as connection:
        head, _, body = read_to_end(connection).partition(b"\r\n\r\n")
    assert b"content-length: %d\r\n" % (len(body) + 64) in head + b"\r\n"


def test_a_chunk_size_that_is_none(engine: EngineProcess) -> None:
    with engine.open(streamed(simulate={"garbage": "chunk"})) as connection:
        received = read_until(connection, lambda data: b"not-a-size" in data)
    assert received.partition(b"\r\n\r\n")[2].startswith(b"not-a-size\r\n")


def test_an_empty_body(engine: EngineProcess) -> None:
    answer = engine.chat(chat(simulate={"garbage": "empty"}))
    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize(
    ("fault", "single", "final"), [(True, False, False), ("final", True, False), ("continuous", False, True)]
)
def test_usage_can_be_left_out(engine: EngineProcess, fault: object, single: bool, final: bool) -> None:
    events = engine.chat(streamed(max_tokens=3, simulate={"no_usage": fault})).events
    assert any("usage" in event for event in events if event["choices"]) is single
    assert any("usage" in event for event in events if not event["choices"]) is final
    assert ("usage" in engine.chat(chat(simulate={"no_usage": fault})).json) is final


def test_usage_can_be_zero_while_the_journal_tells_the_truth(engine: EngineProcess) -> None:
    body = engine.chat(chat(max_tokens=5, simulate={"zero_usage": True}), x_request_id="zero").json
    assert body["usage"] == {"prompt_tokens": 0, "total_tokens": 0, "completion_tokens": 0}
    told = next(line for line in engine.story("zero") if line["e"] == "usage")
    assert (told["completion_tokens"], told["told"]) == (5, True)


@pytest.mark.parametrize(
    ("kind", "value"),
    [("huge", 10**18), ("negative", -7), ("strings", "many"), ("nulls", None), ("list", [1]), ("float", 3.5)],
)
def test_usage_can_be_nonsense(engine: EngineProcess, kind: str, value: object) -> None:
    events = engine.chat(streamed(max_tokens=2, simulate={"nonsense_usage": kind})).events
    assert [event["usage"]["completion_tokens"] for event in events] == [value] * 4


def test_a_stream_can_end_without_its_end_mark(engine: EngineProcess) -> None:
    answer = engine.chat(streamed(max_tokens=2, simulate={"no_done": True}))
    assert b"[DONE]" not in answer.body
    assert len(answer.events) == 4


def test_length_reasoning_and_cache_can_be_chosen(engine: EngineProcess) -> None:
    asked = {"output_tokens": 40, "reasoning_tokens": 10, "cached_tokens": 3}
    usage = engine.chat(chat(simulate=asked)).json["usage"]
    assert usage["completion_tokens"] == 40
    assert usage["completion_tokens_details"] == {"reasoning_tokens": 10}
    assert usage["prompt_tokens_details"] == {"cached_tokens": 3}


def test_an_event_can_carry_several_tokens(engine: EngineProcess) -> None:
    *events, last = engine.chat(streamed(max_tokens=10, simulate={"chunk_tokens": 4})).events
    assert [event["usage"]["completion_tokens"] for event in events] == [0, 4, 8, 10]
    assert last["usage"]["completion_tokens"] == 10


def test_an_error_can_come_as_an_event(engine: EngineProcess) -> None:
    answer = engine.chat(streamed(max_tokens=10, simulate={"event_error_after": 3}))
    assert len(answer.events) == 4
    assert answer.events[-1]["error"]["code"] == 500
    assert data_lines(answer.body)[-1] == b"[DONE]"


@pytest.mark.parametrize("chosen", ['"usage":{"completion_tokens":9}', "data: [DONE]\n\n", '\\"\r\n'])
def test_a_chosen_text_fills_every_content_event(engine: EngineProcess, chosen: str) -> None:
    *events, _ = engine.chat(streamed(max_tokens=3, simulate={"chunk_text": chosen})).events
    assert [event["choices"][0]["delta"]["content"] for event in events] == ["", chosen, chosen, chosen]


def test_comments_and_crlf_leave_the_events_alone(engine: EngineProcess) -> None:
    answer = engine.chat(streamed(max_tokens=4, simulate={"comments": 2, "crlf": True}))
    assert answer.body.count(b": still here\r\n\r\n") == 3
    assert b"\n\n" not in answer.body
    assert len(answer.events) == 6


@pytest.mark.parametrize("body", [chat(max_tokens=20), streamed(max_tokens=5)])
def test_splitting_writes_changes_no_byte_of_the_answer(engine: EngineProcess, body: dict[str, Any]) -> None:
    whole = engine.chat(body, x_request_id="same")
    for size in (1, 7, 1000):
        split = engine.chat(body | {"simulate": {"split": size}}, x_request_id="same")
        assert len(split.body) == len(whole.body)
        assert split.headers == whole.headers | {"date": split.headers["date"]}


def test_batched_events_come_in_one_write(engine: EngineProcess) -> None:
    with engine.open(streamed(max_tokens=8, simulate={"batch": 5, "hang_after": 5}), "batch") as connection:
        received = read_until(connection, lambda data: events_seen(data) > 0)
    assert events_seen(received) == 5
    assert tokens_of(engine.journal("batch")) == [4]


def test_slow_headers_take_their_time(engine: EngineProcess) -> None:
    begun = time.monotonic()
    answer = engine.chat(chat(max_tokens=2, simulate={"slow_headers": 20}))
    assert answer.status == 200
    assert time.monotonic() - begun > 0.1


def test_pace_and_first_token_can_be_chosen(engine: EngineProcess) -> None:
    begun = time.monotonic()
    engine.chat(streamed(max_tokens=11, simulate={"first_token_ms": 100, "tokens_per_second": 50}))
    assert 0.28 < time.monotonic() - begun < 3.0
    begun = time.monotonic()
    engine.chat(chat(max_tokens=10, simulate={"first_token_ms": 100, "tokens_per_second": 50}))
    assert 0.28 < time.monotonic() - begun < 3.0


def test_a_share_of_the_requests_fails_by_flag(start_engine: Any) -> None:
    own = start_engine("--tokens-per-second=0", "--first-token-ms=0", "--fault=status=500", "--fault-rate=0.5")
    failed = sum(own.chat(chat(max_tokens=1)).status == 500 for _ in range(60))
    assert 10 < failed < 50


def test_a_request_overrides_what_the_flags_say(start_engine: Any) -> None:
    own = start_engine("--tokens-per-second=0", "--first-token-ms=0", "--fault=output_tokens=3")
    assert own.chat(chat()).json["usage"]["completion_tokens"] == 3
    assert own.chat(chat(simulate={"output_tokens": 4})).json["usage"]["completion_tokens"] == 4


def test_a_client_that_reads_slowly_gets_every_event_in_order(engine: EngineProcess) -> None:
    body = streamed(simulate={"output_tokens": 1500, "chunk_text": "x" * 5000}, max_tokens=1500)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    with connection:
        connection.settimeout(10)
        connection.connect(("127.0.0.1", engine.port))
        connection.sendall(engine.request(body, "slow-reader"))
        assert eventually(lambda: bool(tokens_of(engine.journal("slow-reader"))))
        time.sleep(0.2)
        sent = tokens_of(engine.journal("slow-reader"))[-1]
        assert sent < 1500, "the engine waits for its client"
        received = read_until(connection, lambda data: data.endswith(b"0\r\n\r\n"))
    counts = [json.loads(line)["usage"]["completion_tokens"] for line in data_lines(received)[:-2]]
    assert counts == list(range(1501))
