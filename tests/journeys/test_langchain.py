"""LangChain's ChatOpenAI and OpenAIEmbeddings: only base_url, api_key and model are given, all else is as it comes."""

import asyncio
from typing import Any

import pytest
import tiktoken
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel, SecretStr

from tests.journeys.bill import Bill
from tests.support.installation import Installation

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]

CHAT, EMBEDDING = "gpt-oss:120b", "bge-m3:567m"


@pytest.fixture
def chat(beffroi: Installation) -> ChatOpenAI:
    """The chat model."""
    return ChatOpenAI(model=CHAT, base_url=beffroi.base_url, api_key=SecretStr(beffroi.demo["api_key"]))


@pytest.fixture
def byte_encoding(monkeypatch: pytest.MonkeyPatch) -> tiktoken.Encoding:
    """The encoding that LangChain cuts texts with, which it would download: here each byte is a token."""
    ranks = {bytes([byte]): byte for byte in range(256)}
    encoding = tiktoken.Encoding("cl100k_base", pat_str=r"(?s).", mergeable_ranks=ranks, special_tokens={})
    monkeypatch.setattr(tiktoken.registry, "ENCODINGS", {"cl100k_base": encoding})
    return encoding


@tool
def weather(town: str) -> str:
    """The weather of a town."""
    return f"Rain in {town}."


class Town(BaseModel):
    """A town."""

    name: str
    inhabitants: int


def show(beffroi: Installation, bill: Bill, answers: list[AIMessage | AIMessageChunk]) -> None:
    """The bill of what was just asked, newest last: LangChain hands on no request id, but the tokens."""
    newest = beffroi.get(f"/api/usage/records?limit={len(answers)}")["results"]
    for answer, record in zip(reversed(answers), newest, strict=True):
        told = answer.usage_metadata
        assert told
        assert told["total_tokens"] == told["input_tokens"] + told["output_tokens"]
        bill.show(record["request_id"], prompt=told["input_tokens"], completion=told["output_tokens"])


def test_a_question(beffroi: Installation, chat: ChatOpenAI, bill: Bill) -> None:
    answer = chat.bind(max_tokens=9).invoke([HumanMessage("Hello!")])
    assert answer.content
    assert answer.usage_metadata
    assert answer.usage_metadata["output_tokens"] == 9
    assert answer.response_metadata["finish_reason"] == "length"
    show(beffroi, bill, [answer])


def test_a_stream_with_usage(beffroi: Installation, bill: Bill) -> None:
    key = SecretStr(beffroi.demo["api_key"])
    chat = ChatOpenAI(model=CHAT, base_url=beffroi.base_url, api_key=key, stream_usage=True)
    whole: AIMessageChunk | None = None
    for chunk in chat.stream("Hello!", max_tokens=7):
        assert isinstance(chunk, AIMessageChunk)
        whole = chunk if whole is None else whole + chunk
    assert whole
    assert whole.content
    assert whole.usage_metadata
    assert whole.usage_metadata["output_tokens"] == 7
    show(beffroi, bill, [whole])


def test_a_stream_as_it_comes(beffroi: Installation, chat: ChatOpenAI, bill: Bill) -> None:
    chunks = list(chat.stream("Hello!", max_tokens=7))
    assert "".join(str(chunk.content) for chunk in chunks)
    record = beffroi.get("/api/usage/records?limit=1")["results"][0]
    assert record["stream"]
    bill.show(record["request_id"], prompt=record["prompt_tokens"], completion=7)


def test_a_tool_is_bound_called_and_answered(beffroi: Installation, chat: ChatOpenAI, bill: Bill) -> None:
    question = HumanMessage("Use the weather tool for Mons.")
    asked = chat.bind_tools([weather]).invoke([question])
    [call] = asked.tool_calls
    assert call["name"] == "weather"
    result = weather.invoke(call)
    assert isinstance(result, ToolMessage)
    answer = chat.bind(max_tokens=5).invoke([question, asked, result])
    assert answer.content
    show(beffroi, bill, [asked, answer])


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
def test_an_answer_has_the_form_that_was_asked_for(
    beffroi: Installation, chat: ChatOpenAI, bill: Bill, method: Any
) -> None:
    structured = chat.with_structured_output(Town, method=method, include_raw=True).invoke("Which town, as JSON?")
    assert isinstance(structured, dict)
    if method != "json_mode":  # which asks for JSON, but not for this form
        assert isinstance(structured["parsed"], Town)
    show(beffroi, bill, [structured["raw"]])


def test_embeddings_send_token_ids(beffroi: Installation, bill: Bill, byte_encoding: tiktoken.Encoding) -> None:
    key = SecretStr(beffroi.demo["api_key"])
    embeddings = OpenAIEmbeddings(model=EMBEDDING, base_url=beffroi.base_url, api_key=key)
    texts = ["A belfry has a bell.", "Une cloche."]
    vectors = embeddings.embed_documents(texts)
    assert len(vectors) == 2
    assert len(vectors[0]) > 100
    record = beffroi.get("/api/usage/records?limit=1")["results"][0]
    tokens = sum(len(byte_encoding.encode(text)) for text in texts)
    bill.show(record["request_id"], prompt=tokens)


def test_embeddings_of_text(beffroi: Installation, bill: Bill) -> None:
    key = SecretStr(beffroi.demo["api_key"])
    embeddings = OpenAIEmbeddings(
        model=EMBEDDING, base_url=beffroi.base_url, api_key=key, check_embedding_ctx_length=False
    )
    assert len(embeddings.embed_query("A bell")) > 100
    record = beffroi.get("/api/usage/records?limit=1")["results"][0]
    bill.show(record["request_id"], prompt=record["prompt_tokens"])


def test_many_at_once_asynchronously(beffroi: Installation, chat: ChatOpenAI, bill: Bill) -> None:
    show(beffroi, bill, list(asyncio.run(chat.abatch(["Mons", "Mons", "Mons"], max_tokens=4))))
