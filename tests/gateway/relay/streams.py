"""Streams of engines for the tests of the relay's response side."""

import json
from typing import Any

from openai._streaming import SSEDecoder

Chunk = dict[str, Any]


def usage_of(prompt: int, completion: int, cached: int = 0) -> Chunk:
    usage = {"prompt_tokens": prompt, "total_tokens": prompt + completion, "completion_tokens": completion}
    return usage | {"prompt_tokens_details": {"cached_tokens": cached}} if cached else usage


def event(chunk: Chunk | str) -> bytes:
    """An event as vLLM writes it: compact, UTF-8."""
    data = chunk if isinstance(chunk, str) else json.dumps(chunk, separators=(",", ":"), ensure_ascii=False)
    return f"data: {data}\n\n".encode()


def chat_chunk(text: str = "hi", index: int = 0, finish: str | None = None, **members: Any) -> Chunk:
    """A chunk in vLLM's order."""
    choice = {"index": index, "delta": {"content": text}, "logprobs": None, "finish_reason": finish, "token_ids": None}
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1763700000, "model": "m"}
    return head | {"choices": [choice]} | members


def final_chunk(usage: Chunk) -> Chunk:
    return chat_chunk() | {"choices": [], "usage": usage, "system_fingerprint": "vllm-0.32.0"}


def decoded(relayed: bytes) -> list[Any]:
    """What the official client makes of it; "[DONE]" as it is."""
    events = SSEDecoder().iter_bytes(iter([relayed]))
    return [found.data if found.data == "[DONE]" else json.loads(found.data) for found in events]


def without_usage(chunk: Chunk) -> Chunk:
    return {name: value for name, value in chunk.items() if name != "usage"}
