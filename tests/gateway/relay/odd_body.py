"""One body that nobody should send, and how to write it down."""

import json
from typing import Any, NamedTuple

from gateway.relay.fields import Endpoint

CHAT, COMPLETIONS, EMBEDDINGS, RERANK = Endpoint
MODEL, EMBEDDING_MODEL, RERANK_MODEL = "demo/chat", "demo/embed", "demo/rerank"


class OddBody(NamedTuple):
    """`code` is that of the refusal; None: accepted, with the attributes of the request in `decided`."""

    name: str
    endpoint: Endpoint
    body: bytes
    code: str | None
    decided: dict[str, Any]


def chat(**members: Any) -> dict[str, Any]:
    """An ordinary chat request with these members."""
    return {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]} | members


def refused(name: str, endpoint: Endpoint, body: Any, code: str = "invalid_value") -> OddBody:
    """A body (JSON as bytes, or what becomes JSON) that is refused."""
    return OddBody(name, endpoint, _bytes(body), code, {})


def accepted(name: str, endpoint: Endpoint, body: Any, /, **decided: Any) -> OddBody:
    """A body that is accepted, and attributes of the request that it becomes."""
    return OddBody(name, endpoint, _bytes(body), None, decided)


def _bytes(body: Any) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def chat_with(text: bytes) -> bytes:
    """A chat request with raw members at its end."""
    return b'{"model":"demo/chat","messages":[{"role":"user","content":"hi"}],' + text + b"}"


def chat_of(members: bytes) -> bytes:
    """A chat request of one message with raw members."""
    return b'{"model":"demo/chat","messages":[{' + members + b"}]}"
