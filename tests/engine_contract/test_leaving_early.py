"""Clients that leave: the engine must stop, and what it had reported must be what it had done."""

import json
import socket
from typing import Any

import pytest

from tests.engine_contract.client import USAGE_IN_EVERY_CHUNK, Endpoint, message
from tests.engine_contract.engines import only_real

RUNNING = "vllm:num_requests_running"
LONG: dict[str, Any] = {
    "messages": message("Tell me everything"),
    "max_tokens": 3000,
    "ignore_eos": True,
    "temperature": 0,
}
CHAT = "/v1/chat/completions"


@pytest.mark.parametrize("n", [1, 3])
def test_a_client_that_leaves_a_stream_frees_the_engine_within_a_second(chat: Endpoint, n: int) -> None:
    sampling = {"temperature": 1} if n > 1 else {}
    connection = chat.open(CHAT, {**LONG, "n": n, "stream": True, **sampling})
    response = connection.getresponse()
    for _ in range(20):
        response.readline()
    assert chat.metrics_when(RUNNING, n)[RUNNING] == n
    response.close()
    connection.close()
    assert chat.metrics_when(RUNNING, 0, patience=1)[RUNNING] == 0


def test_what_was_reported_when_a_client_left_is_at_most_what_was_generated(chat: Endpoint) -> None:
    """The bill of an interrupted stream is its last report; the engine may have done a little more, never less."""
    before = chat.metrics()
    connection = chat.open(CHAT, {**LONG, "stream": True, "stream_options": USAGE_IN_EVERY_CHUNK})
    response = connection.getresponse()
    reported: dict[str, int] = {}
    while reported.get("completion_tokens", 0) < 40:
        line = response.readline()
        if line.startswith(b"data: "):
            reported = json.loads(line.removeprefix(b"data: "))["usage"]
    response.close()
    connection.close()
    prompt, generated = chat.metrics_when(RUNNING, 0).tokens_since(before)
    assert prompt == reported["prompt_tokens"]
    assert reported["completion_tokens"] <= generated < 400


def test_a_client_that_leaves_a_whole_answer_frees_the_engine_within_a_second(chat: Endpoint) -> None:
    """Nothing was reported, so nothing can be billed."""
    connection = chat.open(CHAT, LONG)
    assert chat.metrics_when(RUNNING, 1)[RUNNING] == 1
    connection.close()
    assert chat.metrics_when(RUNNING, 0, patience=1)[RUNNING] == 0


@only_real
def test_a_client_that_closes_only_its_sending_side_is_taken_for_gone(chat: Endpoint) -> None:
    """No answer comes: the gateway must not shut down its half of a connection to an engine."""
    connection = chat.open(CHAT, {**LONG, "max_tokens": 50})
    connection.sock.shutdown(socket.SHUT_WR)
    with pytest.raises(ConnectionError):
        connection.getresponse()
    connection.close()


def test_the_connection_stays_open_for_the_next_request(chat: Endpoint) -> None:
    connection = chat.open(CHAT, {**LONG, "max_tokens": 2})
    first = connection.getresponse()
    first.read()
    connection.request(
        "POST",
        CHAT,
        chat.encode({**LONG, "max_tokens": 3}),
        {"Content-Type": "application/json", "Authorization": f"Bearer {chat.api_key}"},
    )
    assert json.loads(connection.getresponse().read())["usage"]["completion_tokens"] == 3
    connection.close()


def test_an_aborted_request_is_counted_neither_as_success_nor_as_error(chat: Endpoint) -> None:
    """Not even under finished_reason="abort" while a stream is cut: count interruptions in the gateway."""
    chat.chat(max_tokens=1)
    name = "vllm:request_success_total"
    before = chat.metrics()
    connection = chat.open(CHAT, {**LONG, "stream": True})
    connection.getresponse().readline()
    connection.close()
    chat.metrics_when(RUNNING, 0)
    assert chat.metrics()[name] == before[name]
