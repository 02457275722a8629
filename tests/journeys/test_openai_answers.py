"""The official `openai` package for Python: everything that it can ask for, and what each answer cost."""

import asyncio
import json

import httpx2
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types import CompletionUsage
from openai.types.chat import (
    ChatCompletionChunk,
    ChatCompletionMessageFunctionToolCallParam,
    ChatCompletionMessageParam,
    ChatCompletionStreamOptionsParam,
    ChatCompletionToolUnionParam,
)
from pydantic import BaseModel

from tests.journeys.bill import Bill
from tests.support.installation import Installation

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]

CHAT, EMBEDDING, RERANK = "gpt-oss:120b", "bge-m3:567m", "qwen3-reranker:4b"
HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello!"}]
FAST = {"simulate": {"first_token_ms": 1, "tokens_per_second": 0}}
WEATHER: ChatCompletionToolUnionParam = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a town",
        "parameters": {"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]},
    },
}


def text_of(chunks: list[ChatCompletionChunk], choice: int = 0) -> str:
    """What a choice of a stream said."""
    said = [one.delta.content or "" for chunk in chunks for one in chunk.choices if one.index == choice]
    return "".join(said)


def usage_of(chunks: list[ChatCompletionChunk]) -> CompletionUsage:
    """The usage of a stream: in its last chunk, which has nothing else, and in no other."""
    *others, last = chunks
    assert not any(chunk.usage for chunk in others)
    assert not last.choices
    assert last.usage
    return last.usage


def test_a_chat(client: OpenAI, bill: Bill) -> None:
    answer = client.chat.completions.create(model=CHAT, messages=HELLO, max_tokens=9, extra_body=FAST)
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "length"
    assert answer.model == CHAT
    assert answer.usage
    assert answer.usage.completion_tokens == 9
    record = bill.show_usage(answer._request_id, answer.usage, stream=False, finish_reason="length")
    assert record["max_tokens_asked"] == record["max_tokens_given"] == 9


def test_an_answer_tells_its_cost(client: OpenAI, bill: Bill) -> None:
    raw = client.chat.completions.with_raw_response.create(model=CHAT, messages=HELLO, max_tokens=3, extra_body=FAST)
    answer = raw.parse()
    record = bill.show_usage(raw.headers["x-request-id"], answer.usage)
    assert raw.headers["x-beffroi-cost-nano-eur"] == str(record["cost_nano_eur"])
    assert raw.headers["x-ratelimit-limit-requests"] == "1000"


def test_a_stream_shows_no_usage_to_who_did_not_ask(client: OpenAI, bill: Bill) -> None:
    whole = client.chat.completions.create(model=CHAT, messages=HELLO, max_tokens=12, extra_body=FAST)
    assert whole.usage
    bill.show_usage(whole._request_id, whole.usage)
    with client.chat.completions.create(model=CHAT, messages=HELLO, max_tokens=12, stream=True) as stream:
        chunks = list(stream)
        request_id = stream.response.headers["x-request-id"]
        assert stream.response.headers["x-accel-buffering"] == "no"
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    assert text_of(chunks) == whole.choices[0].message.content
    assert chunks[-1].choices[0].finish_reason == "length"
    bill.show(request_id, prompt=whole.usage.prompt_tokens, completion=12, stream=True)


def test_a_stream_shows_usage_and_cost_to_who_asked(client: OpenAI, bill: Bill) -> None:
    with client.chat.completions.create(
        model=CHAT, messages=HELLO, max_tokens=7, stream=True, stream_options={"include_usage": True}, extra_body=FAST
    ) as stream:
        chunks = list(stream)
        request_id = stream.response.headers["x-request-id"]
    usage = usage_of(chunks)
    assert usage.completion_tokens == 7
    record = bill.show_usage(request_id, usage)
    assert usage.model_extra
    assert usage.model_extra["cost_nano_eur"] == record["cost_nano_eur"]


def test_reasoning_has_its_own_price(client: OpenAI, bill: Bill) -> None:
    thinking = {"simulate": {**FAST["simulate"], "reasoning_tokens": 20}}
    answer = client.chat.completions.create(model=CHAT, messages=HELLO, max_tokens=40, extra_body=thinking)
    assert answer.usage
    assert answer.usage.completion_tokens_details
    assert answer.usage.completion_tokens_details.reasoning_tokens == 20
    assert answer.choices[0].message.model_extra
    assert answer.choices[0].message.model_extra["reasoning"]
    bill.show_usage(answer._request_id, answer.usage, reasoning_tokens=20)


def test_a_cached_prompt_is_told(client: OpenAI, bill: Bill) -> None:
    cached = {"simulate": {**FAST["simulate"], "cached_tokens": 5}}
    answer = client.chat.completions.create(model=CHAT, messages=HELLO, max_tokens=2, extra_body=cached)
    assert answer.usage
    assert answer.usage.prompt_tokens_details
    assert answer.usage.prompt_tokens_details.cached_tokens == 5
    bill.show_usage(answer._request_id, answer.usage, cached_tokens=5)  # without a price of its own: that of input


def test_two_choices_are_both_paid(client: OpenAI, bill: Bill) -> None:
    answer = client.chat.completions.create(model=CHAT, messages=HELLO, n=2, max_tokens=5, extra_body=FAST)
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert answer.usage
    assert answer.usage.completion_tokens == 10
    bill.show_usage(answer._request_id, answer.usage)
    with client.chat.completions.create(model=CHAT, messages=HELLO, n=2, max_tokens=5, stream=True) as stream:
        chunks = list(stream)
        request_id = stream.response.headers["x-request-id"]
    assert [text_of(chunks, at) for at in (0, 1)] == [choice.message.content for choice in answer.choices]
    bill.show(request_id, prompt=answer.usage.prompt_tokens, completion=10)


def test_a_tool_is_called_and_its_answer_taken(client: OpenAI, bill: Bill) -> None:
    messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Use the weather tool for Mons."}]
    asked = client.chat.completions.create(model=CHAT, messages=messages, tools=[WEATHER], extra_body=FAST)
    bill.show_usage(asked._request_id, asked.usage, finish_reason="tool_calls")
    assert asked.choices[0].message.tool_calls
    call = asked.choices[0].message.tool_calls[0]
    assert call.type == "function"
    assert call.function.name == "weather"
    assert isinstance(json.loads(call.function.arguments)["town"], str)
    said: ChatCompletionMessageFunctionToolCallParam = {
        "id": call.id,
        "type": "function",
        "function": {"name": "weather", "arguments": call.function.arguments},
    }
    messages += [
        {"role": "assistant", "tool_calls": [said]},
        {"role": "tool", "tool_call_id": call.id, "content": "Rain."},
    ]
    answer = client.chat.completions.create(model=CHAT, messages=messages, max_tokens=5, extra_body=FAST)
    assert answer.choices[0].message.content
    bill.show_usage(answer._request_id, answer.usage)


def test_a_tool_is_called_in_a_stream(client: OpenAI, bill: Bill) -> None:
    with client.chat.completions.stream(
        model=CHAT,
        messages=HELLO,
        tools=[WEATHER],
        tool_choice={"type": "function", "function": {"name": "weather"}},
        stream_options={"include_usage": True},
        extra_body=FAST,
    ) as stream:
        answer = stream.get_final_completion()
        request_id = stream._response.headers["x-request-id"]
    assert answer.choices[0].message.tool_calls
    assert answer.choices[0].message.tool_calls[0].function.name == "weather"
    assert "town" in json.loads(answer.choices[0].message.tool_calls[0].function.arguments)
    bill.show_usage(request_id, answer.usage)


class Town(BaseModel):
    """What the model has to fill in."""

    name: str
    inhabitants: int


def test_an_answer_has_the_form_that_was_asked_for(client: OpenAI, bill: Bill) -> None:
    parsed = client.chat.completions.parse(model=CHAT, messages=HELLO, response_format=Town, extra_body=FAST)
    assert isinstance(parsed.choices[0].message.parsed, Town)
    bill.show_usage(parsed._request_id, parsed.usage)
    plain = client.chat.completions.create(
        model=CHAT, messages=HELLO, response_format={"type": "json_object"}, extra_body=FAST
    )
    assert isinstance(json.loads(plain.choices[0].message.content or ""), dict)
    bill.show_usage(plain._request_id, plain.usage)


def test_embeddings_are_the_same_in_each_encoding(client: OpenAI, bill: Bill) -> None:
    texts = ["A belfry has a bell.", "Une cloche."]
    packed = client.embeddings.create(model=EMBEDDING, input=texts)  # the client asks for base64 and unpacks it
    plain = client.embeddings.create(model=EMBEDDING, input=texts, encoding_format="float")
    assert [item.index for item in packed.data] == [0, 1]
    for one, other in zip(packed.data, plain.data, strict=True):
        assert len(one.embedding) > 100
        assert one.embedding == pytest.approx(other.embedding, abs=1e-6)
    for answer in (packed, plain):
        bill.show_usage(answer._request_id, answer.usage)


def test_embeddings_of_token_ids(client: OpenAI, bill: Bill) -> None:
    answer = client.embeddings.create(model=EMBEDDING, input=[[1, 2, 3], [4, 5]])
    assert len(answer.data) == 2
    assert answer.usage.prompt_tokens == 5
    bill.show_usage(answer._request_id, answer.usage)


def test_completions(client: OpenAI, bill: Bill) -> None:
    answer = client.completions.create(model=CHAT, prompt="Once upon", max_tokens=6, extra_body=FAST)
    bill.show_usage(answer._request_id, answer.usage, endpoint="/v1/completions")
    assert answer.usage
    with client.completions.create(
        model=CHAT, prompt="Once upon", max_tokens=6, stream=True, extra_body=FAST
    ) as stream:
        said = "".join(chunk.choices[0].text for chunk in stream)
        request_id = stream.response.headers["x-request-id"]
    assert said == answer.choices[0].text
    bill.show(request_id, prompt=answer.usage.prompt_tokens, completion=6)


def test_documents_are_ranked(client: OpenAI, bill: Bill) -> None:
    body = {"model": RERANK, "query": "a bell", "documents": ["a bell rings", "bread", "no"]}
    raw = client.post("/rerank", cast_to=httpx2.Response, body=body)
    answer = raw.json()
    assert answer["results"][0]["index"] == 0
    prompt = answer["usage"]["total_tokens"]
    bill.show(raw.headers["x-request-id"], prompt=prompt, documents=3, endpoint="/v1/rerank")


def test_the_models_are_listed_and_found_by_id_and_alias(client: OpenAI) -> None:
    models = {model.id: model for model in client.models.list()}
    assert {CHAT, EMBEDDING, RERANK} == set(models)
    assert models[CHAT].to_dict()["aliases"] == ["openai/gpt-oss-120b"]
    assert client.models.retrieve(CHAT).id == CHAT
    assert client.models.retrieve("openai/gpt-oss-120b").id == CHAT


def test_an_alias_answers_and_is_billed_as_the_model(client: OpenAI, bill: Bill) -> None:
    answer = client.chat.completions.create(model="openai/gpt-oss-120b", messages=HELLO, max_tokens=2, extra_body=FAST)
    record = bill.show_usage(answer._request_id, answer.usage)
    assert (record["model"], record["alias"]) == (CHAT, "openai/gpt-oss-120b")


def test_many_at_once_asynchronously(beffroi: Installation, bill: Bill) -> None:
    async def whole(client: AsyncOpenAI, tokens: int) -> None:
        answer = await client.chat.completions.create(model=CHAT, messages=HELLO, max_tokens=tokens, extra_body=FAST)
        assert answer.usage
        assert answer.usage.completion_tokens == tokens
        shown.append((answer._request_id, answer.usage))

    async def streamed(client: AsyncOpenAI) -> None:
        options: ChatCompletionStreamOptionsParam = {"include_usage": True}
        stream = await client.chat.completions.create(
            model=CHAT, messages=HELLO, max_tokens=20, stream=True, stream_options=options, extra_body=FAST
        )
        chunks = [chunk async for chunk in stream]
        shown.append((stream.response.headers["x-request-id"], usage_of(chunks)))

    async def embedded(client: AsyncOpenAI) -> None:
        answer = await client.embeddings.create(model=EMBEDDING, input="A bell")
        shown.append((answer._request_id, answer.usage))

    async def ask() -> None:
        async with AsyncOpenAI(base_url=beffroi.base_url, api_key=beffroi.demo["api_key"]) as client:
            wholes = [whole(client, tokens) for tokens in range(1, 11)]
            await asyncio.gather(*wholes, *(streamed(client) for _ in range(5)), embedded(client))

    shown: list[tuple[str | None, object]] = []
    asyncio.run(ask())
    assert len({request_id for request_id, _ in shown}) == 16
    for request_id, usage in shown:
        bill.show_usage(request_id, usage)
