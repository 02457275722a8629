"""Trying a model on its page: one text conversation, streamed through the gateway as any client's, kept nowhere.

The page holds the conversation and sends all of it each time. Here it is checked, and what the gateway answers is
passed on as it comes. Nothing of it reaches a log, a table or an exception's text (I5).
"""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from gateway.loopback import Answer, GatewayAway, posting
from identity.errors import Invalid

PATH = "/v1/chat/completions"
ROLES = ("system", "user", "assistant")
MESSAGES_MAX = 200
TEXT_MAX = 400_000  # characters of a conversation: some 100,000 tokens; the model's window decides before that
ERROR_BYTES_MAX = 64 * 1024
# A gateway hears of a new key within milliseconds; until then it refuses it, and nothing is lost by asking again.
NEWS_S = 3.0
NEWS_EVERY_S = 0.03


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a person wants answered, in a project. `temperature` and `max_tokens` None: the model's own."""

    project_id: int
    messages: list[dict[str, str]]
    temperature: float | None
    max_tokens: int | None

    def request(self, model_name: str) -> bytes:
        """The body of the request to the gateway."""
        members: dict[str, Any] = {"model": model_name, "messages": self.messages, "stream": True}
        if self.temperature is not None:
            members["temperature"] = self.temperature
        if self.max_tokens is not None:
            members["max_tokens"] = self.max_tokens
        return json.dumps(members, ensure_ascii=False).encode("utf-8", "replace")


def read_conversation(body: bytes) -> Conversation:
    """The page's JSON. Raises Invalid, which names the member and repeats nothing of it."""
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        raise Invalid("conversation", "must be JSON") from None
    if not isinstance(given, dict):
        raise Invalid("conversation", "must be a JSON object")
    return Conversation(
        project_id=_whole(given, "project", 1, 2**63 - 1) or _missing("project"),
        messages=_messages(given.get("messages")),
        temperature=_temperature(given.get("temperature")),
        max_tokens=_whole(given, "max_tokens", 1, 10**7),
    )


async def answer(request: bytes, key: str) -> AsyncIterator[bytes]:
    """Server-sent events: `began` with the request's id, then the gateway's own, or one with its error."""
    try:
        async for piece in _asked_until_known(request, key):
            yield piece
    except GatewayAway:
        yield _error_event({"code": "gateway_away", "message": ""})


async def _asked_until_known(request: bytes, key: str) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    until = loop.time() + NEWS_S
    while True:
        async with posting(settings.GATEWAY_URL, PATH, request, key) as response:
            status, headers = await response.head()
            if status != 401 or loop.time() > until:
                yield _event("began", {"request_id": headers.get("x-request-id", "")})
                async for piece in _passed_on(response, status):
                    yield piece
                return
        await asyncio.sleep(NEWS_EVERY_S)


async def _passed_on(response: Answer, status: int) -> AsyncIterator[bytes]:
    if status == 200:
        async for piece in response.pieces():
            yield piece
        return
    body = b""
    async for piece in response.pieces():
        body += piece
        if len(body) > ERROR_BYTES_MAX:
            break
    yield _error_event(_error_of(body))


def _error_of(body: bytes) -> dict[str, str]:
    try:
        error = json.loads(body)["error"]
        return {"code": str(error["code"]), "message": str(error["message"])}
    except (ValueError, KeyError, TypeError, RecursionError):
        return {"code": "internal_error", "message": ""}


def _error_event(error: dict[str, str]) -> bytes:
    return f"data: {json.dumps({'error': error})}\n\n".encode()


def _event(name: str, data: dict[str, str]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


def _messages(given: object) -> list[dict[str, str]]:
    if not isinstance(given, list) or not 0 < len(given) <= MESSAGES_MAX:
        raise Invalid("messages", f"must be from 1 to {MESSAGES_MAX} messages")
    messages = [_message(one) for one in given]
    if sum(len(message["content"]) for message in messages) > TEXT_MAX:
        raise Invalid("messages", f"must have at most {TEXT_MAX} characters together")
    return messages


def _message(given: object) -> dict[str, str]:
    if not isinstance(given, dict) or given.get("role") not in ROLES or not isinstance(given.get("content"), str):
        raise Invalid("messages", "must each have a role and a text")
    return {"role": given["role"], "content": given["content"]}


def _temperature(given: object) -> float | None:
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given <= 2:
        raise Invalid("temperature", "must be from 0 to 2")
    return float(given)


def _whole(given: dict[str, Any], name: str, lowest: int, highest: int) -> int | None:
    value = given.get(name)
    if value is None:
        return None
    if type(value) is not int or not lowest <= value <= highest:
        raise Invalid(name, f"must be a whole number from {lowest} to {highest}")
    return value


def _missing(name: str) -> int:
    raise Invalid(name, "is missing")
