"""The official `openai` package straight at the engine."""

from collections.abc import Iterator

import openai
import pytest

from tests.gateway.simulated_engine.process import EngineProcess


@pytest.fixture
def client(engine: EngineProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{engine.url}/v1", api_key=engine.key, max_retries=0) as own:
        yield own


def test_a_chat_is_parsed(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="demo/chat", messages=[{"role": "user", "content": "Hello"}])
    assert answer.choices[0].message.content
    assert "simulated" in answer.choices[0].message.content
    assert answer.usage
    assert answer.usage.completion_tokens > 5


def test_a_stream_is_parsed_with_its_usage(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="demo/chat",
        messages=[{"role": "user", "content": "Hello"}],
        max_tokens=12,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices).startswith("This is")
    assert chunks[-1].usage
    assert chunks[-1].usage.completion_tokens == 12


def test_a_tool_call_is_parsed(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="demo/chat",
        messages=[{"role": "user", "content": "Use the tool"}],
        tools=[
            {"type": "function", "function": {"name": "ring_bell", "parameters": {"type": "object", "properties": {}}}}
        ],
    )
    calls = answer.choices[0].message.tool_calls
    assert calls
    assert calls[0].type == "function"
    assert (calls[0].function.name, calls[0].function.arguments) == ("ring_bell", "{}")


def test_embeddings_are_decoded(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model="demo/embed", input=["one", "two"], dimensions=32)
    assert [len(item.embedding) for item in answer.data] == [32, 32]


def test_a_transcription_is_parsed(client: openai.OpenAI) -> None:
    answer = client.audio.transcriptions.create(model="demo/voice", file=("a.mp3", b"\0" * 32_000))
    assert "simulated" in answer.text


def test_models_are_listed(client: openai.OpenAI) -> None:
    assert next(iter(client.models.list())).id == "demo/chat"


def test_errors_have_their_classes(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="nobody", messages=[{"role": "user", "content": "x"}])
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="wrong").models.list()


def test_an_error_inside_a_stream_is_raised(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="demo/chat",
        messages=[{"role": "user", "content": "x"}],
        stream=True,
        extra_body={"simulate": {"event_error_after": 2}},
    )
    with pytest.raises(openai.APIError, match="failed"):
        list(stream)
