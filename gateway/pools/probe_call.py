"""One probe: a token of a model through the gateway, as any client asks for it, and what became of it."""

import asyncio
import json
from dataclasses import dataclass
from time import monotonic
from typing import Any

from gateway.loopback import Answer, GatewayAway, posting
from gateway.pools.models import ModelProbe
from models_catalog.models import LanguageModel

Outcome = ModelProbe.Outcome

PROBE_SECONDS = 30.0  # a model that takes longer for its first token does not answer, for whoever waits
ANSWER_BYTES_MAX = 1024 * 1024  # an embedding of 16,384 numbers has some 300 KB
# A gateway hears of the new secret within milliseconds; until then it refuses it, and nothing is lost by asking again.
NEWS_SECONDS = 5.0
_NEWS_EVERY_SECONDS = 0.05
_QUESTION = [{"role": "user", "content": "ping"}]

# By kind of model: the route, and what it is asked beside the model's name.
_REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    LanguageModel.Kind.CHAT: (
        "/v1/chat/completions",
        {"messages": _QUESTION, "max_tokens": 1, "stream": True, "stream_options": {"include_usage": True}},
    ),
    LanguageModel.Kind.EMBEDDING: ("/v1/embeddings", {"input": "ping"}),
    LanguageModel.Kind.RERANK: ("/v1/rerank", {"query": "ping", "documents": ["ping"]}),
}
PROBED_KINDS = frozenset(_REQUESTS)
# The gateway's own codes for what is not the engine's failure.
_OUTCOMES = {"no_replica": Outcome.NO_REPLICA, "model_not_found": Outcome.NO_REPLICA, "engine_failed": Outcome.FAILED}


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of a probe. `code` is the gateway's for what it refused; milliseconds since the request was sent.

    `tokens`: that were written for it, of an embedding or a reranking those that were read.
    """

    outcome: ModelProbe.Outcome
    code: str = ""
    first_token_ms: int | None = None
    duration_ms: int | None = None
    tokens: int | None = None


async def probe(base_url: str, model: str, kind: str, key: str, *, seconds: float = PROBE_SECONDS) -> Seen:
    """Ask the model for one token. Never takes longer than `seconds`, and raises nothing."""
    if kind not in _REQUESTS:
        return Seen(Outcome.REFUSED, "model_not_supported")
    path, members = _REQUESTS[kind]
    body = json.dumps({"model": model, **members}).encode()
    try:
        async with asyncio.timeout(seconds):
            return await _asked_until_known(base_url, path, body, key)
    except TimeoutError:
        return Seen(Outcome.TIMED_OUT)
    except GatewayAway:
        return Seen(Outcome.GATEWAY_AWAY)


async def _asked_until_known(base_url: str, path: str, body: bytes, key: str) -> Seen:
    until = monotonic() + NEWS_SECONDS
    while True:
        began = monotonic()
        async with posting(base_url, path, body, key) as answer:
            status, _ = await answer.head()
            if status != 401 or monotonic() > until:
                return await _read(answer, status, began)
        await asyncio.sleep(_NEWS_EVERY_SECONDS)


async def _read(answer: Answer, status: int, began: float) -> Seen:
    first_at: float | None = None
    text = bytearray()
    async for piece in answer.pieces():
        text += piece
        if first_at is None and (b"data:" in text or text[:1] == b"{"):
            first_at = monotonic()
        if len(text) > ANSWER_BYTES_MAX:
            return Seen(Outcome.FAILED, "answer_too_large")
    if status != 200:
        return _refusal(status, text)
    documents = _documents(bytes(text))
    trouble = next((one["error"] for one in documents if "error" in one), None)
    if trouble is not None or not documents or first_at is None:
        code = trouble.get("code") if isinstance(trouble, dict) else None
        return Seen(Outcome.FAILED, str(code or "no_answer")[:64])
    return Seen(
        Outcome.ANSWERED,
        first_token_ms=_ms(first_at - began),
        duration_ms=max(1, _ms(monotonic() - began)),
        tokens=_tokens(documents),
    )


def _refusal(status: int, text: bytes | bytearray) -> Seen:
    try:
        code = str(json.loads(text)["error"]["code"])[:64]
    except (ValueError, KeyError, TypeError, RecursionError):
        return Seen(Outcome.FAILED, f"http_{status}")
    return Seen(_OUTCOMES.get(code, Outcome.REFUSED), code)


def _documents(text: bytes) -> list[dict[str, Any]]:
    """The events of a stream that ended as it should, or the one whole answer; none where it is neither."""
    lines = [line[5:].strip() for line in text.splitlines() if line.startswith(b"data:")]
    parts = lines[:-1] if lines else [text]
    if lines and lines[-1] != b"[DONE]":
        parts = [line for line in lines if b'"error"' in line]
    try:
        found = [json.loads(part) for part in parts]
    except (ValueError, RecursionError):
        return []
    return [one for one in found if isinstance(one, dict)]


def _tokens(documents: list[dict[str, Any]]) -> int | None:
    told = [one["usage"] for one in documents if isinstance(one.get("usage"), dict)]
    usage: dict[str, Any] = told[-1] if told else {}
    for name in ("completion_tokens", "prompt_tokens", "total_tokens"):
        if type(count := usage.get(name)) is int and 0 < count < 2**31:
            return count
    return None


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
