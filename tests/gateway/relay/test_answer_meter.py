"""A non-streamed answer's usage and finish reason, whatever the engine and whatever the size."""

import base64
import json
import time
import tracemalloc
from typing import Any

import pytest

from gateway.relay.answer_meter import read_answer
from gateway.relay.engine_json import MALFORMED
from gateway.relay.usage import Usage

VLLM_CHAT: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1763700000,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": '"usage":{"prompt_tokens":1}',
                "tool_calls": [],
                "reasoning": None,
            },
            "logprobs": None,
            "finish_reason": "stop",
            "stop_reason": None,
            "token_ids": None,
        }
    ],
    "service_tier": None,
    "system_fingerprint": None,
    "usage": {"prompt_tokens": 9, "total_tokens": 12, "completion_tokens": 3, "prompt_tokens_details": None},
    "prompt_logprobs": None,
}


def body(**members: Any) -> bytes:
    return json.dumps(members).encode()


def test_a_chat_answer_of_vllm() -> None:
    answer = read_answer(json.dumps(VLLM_CHAT).encode())
    assert (answer.usage, answer.finish_reason, answer.error) == (Usage(9, 0, 3, 0), "stop", None)


def test_the_finish_reason_is_the_last_choices() -> None:
    choices = [{"index": 0, "text": "a", "finish_reason": "length"}, {"index": 1, "text": "b", "finish_reason": "stop"}]
    assert read_answer(body(choices=choices)).finish_reason == "stop"


def test_embeddings_and_rerank_have_a_prompt_only() -> None:
    embedding = body(object="list", data=[{"embedding": [0.1]}], usage={"prompt_tokens": 8, "total_tokens": 8})
    assert read_answer(embedding).usage == Usage(8, 0, 0, 0)
    assert read_answer(body(results=[], usage={"total_tokens": 56})).usage == Usage(56, 0, 0, 0)
    assert read_answer(body(results=[], usage={"prompt_tokens": 56, "total_tokens": 56})).usage == Usage(56, 0, 0, 0)


@pytest.mark.parametrize(
    "answer", [body(results=[]), body(results=[], usage=None), b'[{"index":0,"score":0.5}]', b"[NaN]"]
)
def test_a_missing_usage_is_none_and_no_error(answer: bytes) -> None:
    read = read_answer(answer)
    assert (read.usage, read.error) == (None, None)


def test_nonsense_is_told_apart() -> None:
    usage = read_answer(body(usage={"prompt_tokens": -1, "completion_tokens": "x"})).usage
    assert usage is not None
    assert not usage.is_sane


@pytest.mark.parametrize(
    "answer",
    [
        body(error={"message": "CUDA error", "type": "InternalServerError", "code": 500}),
        body(error="Unauthorized"),
        body(object="error", message="too long", code=400),
    ],
)
def test_an_error_sent_as_a_success_is_an_error(answer: bytes) -> None:
    assert read_answer(answer).error == answer


def test_an_empty_error_is_none() -> None:
    assert read_answer(body(error=None, usage={"total_tokens": 1})).error is None


@pytest.mark.parametrize(
    "answer", [b"", b"<html>", b'{"usage":{"prompt_tokens":1}', b'"text"', b"7", b"\xff", b"[" * 200_000]
)
def test_what_is_no_json_object_is_malformed(answer: bytes) -> None:
    assert read_answer(answer).error == MALFORMED


@pytest.mark.parametrize("odd", [b'"x"', b"NaN", b'"\\ud800"', b"[7]", b'[{"finish_reason":7}]'])
def test_odd_choices_do_not_hide_the_usage(odd: bytes) -> None:
    answer = read_answer(b'{"choices":%b,"usage":{"prompt_tokens":9,"completion_tokens":3}}' % odd)
    assert (answer.usage, answer.error) == (Usage(9, 0, 3, 0), None)


@pytest.mark.parametrize("form", ["float", "base64"])
def test_megabytes_of_embeddings_are_skipped_and_not_built(form: str) -> None:
    vector = [0.123456789] * 4096
    encoded = base64.b64encode(bytes(16384)).decode()
    data = [
        {"object": "embedding", "index": i, "embedding": vector if form == "float" else encoded} for i in range(128)
    ]
    large = body(object="list", data=data, model="m", usage={"prompt_tokens": 8, "total_tokens": 8})
    assert len(large) > 2_000_000
    tracemalloc.start()
    began = time.process_time()
    assert read_answer(large).usage == Usage(8, 0, 0, 0)
    took, (_, peak) = time.process_time() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000
    assert took < 0.5
