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
    """While it runs, each choice counts as one running request."""
    sampling = {"temperature": 1} if n > 1 else {}
    with chat.opened(CHAT, {**LONG, "n": n, "stream": True, **sampling}) as connection:
        connection.getresponse().readline()
        assert chat.metrics_when(RUNNING, n, patience=1)[RUNNING] == n
    assert chat.metrics_when(RUNNING, 0, patience=1)[RUNNING] == 0


def test_what_was_reported_when_a_client_left_is_at_most_what_was_generated(chat: Endpoint) -> None:
    """The bill of an interrupted stream is its last report; the engine may have done a little more, never less."""
    before = chat.metrics_when(RUNNING, 0)
    reported: dict[str, int] = {}
    with chat.opened(CHAT, {**LONG, "stream": True, "stream_options": USAGE_IN_EVERY_CHUNK}) as connection:
        response = connection.getresponse()
        while reported.get("completion_tokens", 0) < 40:
            line = response.readline()
            if line.startswith(b"data: "):
                reported = json.loads(line.removeprefix(b"data: "))["usage"]
    prompt, generated = chat.metrics_when(RUNNING, 0).tokens_since(before)
    assert prompt == reported["prompt_tokens"]
    assert reported["completion_tokens"] <= generated < 1000


def test_a_client_that_leaves_a_whole_answer_frees_the_engine_within_a_second(chat: Endpoint) -> None:
    """Nothing was reported, so nothing can be billed."""
    with chat.opened(CHAT, LONG):
        assert chat.metrics_when(RUNNING, 1)[RUNNING] == 1
    assert chat.metrics_when(RUNNING, 0, patience=1)[RUNNING] == 0


@only_real
def test_a_client_that_closes_only_its_sending_side_is_taken_for_gone(chat: Endpoint) -> None:
    """No answer comes: the gateway must not shut down its half of a connection to an engine."""
    with chat.opened(CHAT, {**LONG, "max_tokens": 50}) as connection:
        connection.sock.shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectionError):
            connection.getresponse()


def test_the_connection_stays_open_for_the_next_request(chat: Endpoint) -> None:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {chat.api_key}"}
    with chat.opened(CHAT, {**LONG, "max_tokens": 2}) as connection:
        connection.getresponse().read()
        connection.request("POST", CHAT, chat.encode({**LONG, "max_tokens": 3}), headers)
        assert json.loads(connection.getresponse().read())["usage"]["completion_tokens"] == 3


def test_an_aborted_stream_is_not_counted_as_a_success(chat: Endpoint) -> None:
    """Nor under finished_reason="abort": who wants to know how many were cut must count in the gateway."""
    chat.chat(max_tokens=1)
    before = chat.metrics_when(RUNNING, 0)
    with chat.opened(CHAT, {**LONG, "stream": True}) as connection:
        connection.getresponse().readline()
    after = chat.metrics_when(RUNNING, 0)
    assert after["vllm:request_success_total"] == before["vllm:request_success_total"]
