"""The official `openai` package for Python leaves in the middle, is impatient, or sees a stream break."""

import asyncio
import re
import urllib.request
from pathlib import Path

import openai
import pytest
from openai import AsyncOpenAI, OpenAI, Stream
from openai.types.chat import ChatCompletionChunk

from tests.journeys.bill import Bill
from tests.journeys.test_openai_answers import CHAT, EMBEDDING, FAST, HELLO
from tests.support.installation import Installation, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]

SLOW = {"simulate": {"first_token_ms": 1, "tokens_per_second": 20}}
# Tokens that the engine may have sent while a client that left, or its last event, was on the way.
ON_THE_WAY = 15


@pytest.fixture
def prompt_tokens(client: OpenAI, bill: Bill) -> int:
    """How many tokens the greeting has, as an answer that went well tells."""
    answer = client.chat.completions.create(model=CHAT, messages=HELLO, max_tokens=1, extra_body=FAST)
    assert answer.usage
    bill.show_usage(answer._request_id, answer.usage)
    return answer.usage.prompt_tokens


def running_requests(beffroi: Installation) -> int:
    """How many requests the engines themselves say that they are at."""
    count = 0
    for pid in beffroi.pids("engine"):
        command = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        flags = dict(word.split("=", 1) for word in command if word.startswith(("--host=", "--port=")))
        environment = Path(f"/proc/{pid}/environ").read_text().split("\0")
        [key] = [line.removeprefix("VLLM_API_KEY=") for line in environment if line.startswith("VLLM_API_KEY=")]
        request = urllib.request.Request(
            f"http://{flags['--host']}:{flags['--port']}/metrics", headers={"Authorization": f"Bearer {key}"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            found = re.findall(r"^vllm:num_requests_running\{.*\} ([0-9.]+)$", answer.read().decode(), re.MULTILINE)
        count += sum(int(float(number)) for number in found)
    return count


def read_to_end(stream: Stream[ChatCompletionChunk], received: list[str]) -> None:
    """Gather the tokens of a stream: one a chunk; those that came before it raised are there, too."""
    for chunk in stream:
        if chunk.choices[0].delta.content:
            received.append(chunk.choices[0].delta.content)  # noqa: PERF401  # what came before a raise stays


def show_left(beffroi: Installation, bill: Bill, request_id: str, prompt: int, received: int) -> None:
    """The record of a client that left a stream: it pays what was streamed, by the engine's own word."""
    completion = beffroi.record(request_id)["completion_tokens"]
    assert received <= completion <= received + ON_THE_WAY
    bill.show(request_id, prompt=prompt, completion=completion, status="client_left", http_status=499)


def test_who_leaves_a_stream_frees_the_engine_and_pays_what_came(
    beffroi: Installation, client: OpenAI, bill: Bill, prompt_tokens: int
) -> None:
    with client.chat.completions.create(
        model=CHAT, messages=HELLO, max_tokens=1000, stream=True, extra_body=SLOW
    ) as stream:
        received = 0
        while received < 10:
            received += bool(next(stream).choices[0].delta.content)
        assert running_requests(beffroi) == 1
        request_id = stream.response.headers["x-request-id"]
    wait_for(lambda: running_requests(beffroi) == 0, lambda: "the engine goes on", 2)
    show_left(beffroi, bill, request_id, prompt_tokens, received)


def test_who_leaves_an_asynchronous_stream(beffroi: Installation, bill: Bill, prompt_tokens: int) -> None:
    async def ask() -> tuple[str, int]:
        received = 0
        async with AsyncOpenAI(base_url=beffroi.base_url, api_key=beffroi.demo["api_key"]) as client:
            async with await client.chat.completions.create(
                model=CHAT, messages=HELLO, max_tokens=1000, stream=True, extra_body=SLOW
            ) as stream:
                async for chunk in stream:
                    received += bool(chunk.choices[0].delta.content)
                    if received == 5:
                        break
            return stream.response.headers["x-request-id"], received

    request_id, received = asyncio.run(ask())
    show_left(beffroi, bill, request_id, prompt_tokens, received)


def test_a_response_that_is_read_line_by_line(client: OpenAI, bill: Bill, prompt_tokens: int) -> None:
    with client.chat.completions.with_streaming_response.create(
        model=CHAT, messages=HELLO, max_tokens=4, stream=True, extra_body=FAST
    ) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in response.iter_lines() if line]
        request_id = response.headers["x-request-id"]
    assert all(line.startswith("data: {") for line in lines[:-1])
    assert lines[-1] == "data: [DONE]"
    bill.show(request_id, prompt=prompt_tokens, completion=4)
    with client.embeddings.with_streaming_response.create(model=EMBEDDING, input="A bell") as vectors:
        answer = vectors.parse()
    bill.show_usage(vectors.headers["x-request-id"], answer.usage)


def test_a_stream_that_breaks_raises_and_costs_what_came(client: OpenAI, bill: Bill, prompt_tokens: int) -> None:
    breaks = {"simulate": SLOW["simulate"] | {"close_after": 6}}
    received: list[str] = []
    with client.chat.completions.create(
        model=CHAT, messages=HELLO, max_tokens=50, stream=True, extra_body=breaks
    ) as stream:
        with pytest.raises(openai.APIError) as raised:
            read_to_end(stream, received)
        request_id = stream.response.headers["x-request-id"]
    assert raised.value.code == "engine_failed"
    assert received
    bill.show(request_id, prompt=prompt_tokens, completion=len(received), status="engine_died")


def test_who_is_impatient_gets_a_time_out_and_pays_nothing(beffroi: Installation, client: OpenAI, bill: Bill) -> None:
    hangs = {"simulate": {"hang_before": True}}
    last = newest_record(beffroi)
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.5, max_retries=0).chat.completions.create(
            model=CHAT, messages=HELLO, extra_body=hangs
        )
    wait_for(lambda: newest_record(beffroi) != last, lambda: "no record", 5)
    bill.show_free(newest_record(beffroi), "client_left_early", 499)
    assert running_requests(beffroi) == 0


def test_who_is_impatient_within_a_stream_pays_what_came(
    beffroi: Installation, client: OpenAI, bill: Bill, prompt_tokens: int
) -> None:
    hangs = {"simulate": SLOW["simulate"] | {"hang_after": 6}}
    received: list[str] = []
    with client.with_options(timeout=1).chat.completions.create(
        model=CHAT, messages=HELLO, max_tokens=50, stream=True, extra_body=hangs
    ) as stream:
        request_id = stream.response.headers["x-request-id"]
        with pytest.raises(openai.APITimeoutError):
            read_to_end(stream, received)
    assert received
    show_left(beffroi, bill, request_id, prompt_tokens, len(received))


def newest_record(beffroi: Installation) -> str:
    """The id of the request that was recorded last: who timed out never saw it."""
    return str(beffroi.get("/api/usage/records?limit=1")["results"][0]["request_id"])
