"""/tokenize: exact prompt tokens before the call, for estimates and for holds that must not starve a tenant."""

from typing import Any

import pytest

from tests.engine_contract.client import Endpoint, figures, message

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CONVERSATIONS: list[dict[str, Any]] = [
    {"messages": message("Hello belfry")},
    {"messages": [{"role": "system", "content": "Be brief."}, *message("Où est le beffroi ? 鐘楼 🔔")]},
    {"messages": [*message("Hi"), {"role": "assistant", "content": "Yes?"}, *message("Which bell?")]},
    {"messages": message("Weather in Lille?"), "tools": [TOOL]},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "One"}, {"type": "text", "text": "two"}]}]},
    {"messages": message("Think"), "chat_template_kwargs": {"enable_thinking": True}},
]


@pytest.mark.parametrize("conversation", CONVERSATIONS, ids=["plain", "unicode", "turns", "tools", "parts", "thinking"])
def test_a_conversation_counts_what_its_answer_will_report(chat: Endpoint, conversation: dict[str, Any]) -> None:
    """With the same members that shape the template: tools and chat_template_kwargs change the count."""
    assert chat.count(**conversation) == figures(chat.chat(max_tokens=1, **conversation).usage)[0]


@pytest.mark.parametrize("prompt", ["def main", "鐘楼 🔔", " ", "<|end|>", "a" * 1000])
def test_a_prompt_counts_what_its_completion_will_report(chat: Endpoint, prompt: str) -> None:
    assert chat.count(prompt=prompt) == figures(chat.complete(prompt=prompt, max_tokens=1).usage)[0]


def test_an_answer_tells_the_window_too(chat: Endpoint) -> None:
    answer = chat.post("/tokenize", {"prompt": "def main"}).json
    assert answer["max_model_len"] == chat.window
    assert answer["count"] == len(answer["tokens"])


def test_an_unknown_model_is_404(chat: Endpoint) -> None:
    assert chat.post("/tokenize", {"model": "nobody", "prompt": "x"}).status == 404


def test_a_text_has_at_most_as_many_tokens_as_bytes(chat: Endpoint) -> None:
    """The bound that holds are made with: byte-level vocabularies have a token for each byte."""
    for text in ("鐘楼", "🔔🔔🔔", "\x00\x01\x7f", "é" * 50, "zxqj" * 20):
        assert chat.count(prompt=text) <= len(text.encode())
