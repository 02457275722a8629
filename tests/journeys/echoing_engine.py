"""An engine that repeats its prompt wherever an engine could, in the way that the prompt's first word asks for.

`register` makes it a replica of a running installation; `manage.py shell` beside that calls it.
"""

import json
import time
from collections.abc import Callable

from billing.prices.price_book import load_prices
from gateway.pools.models import Replica
from gateway.pools.registry import register_pool, register_replica, set_state
from identity.audit import Actor
from models_catalog.models import LanguageModel
from tests.support.wire import RecordingServer, Wire, read_request

MODEL = "journeys/echo:1b"
HANGS_S = 3.0
Answer = Callable[[str], list[bytes]]  # the prompt -> what to send, one by one


def serve(wire: Wire, seen: bytearray) -> None:
    """One request a connection."""
    first, _, body = read_request(wire, seen)
    if b"GET " in first:
        wire.send(_whole(200, {"data": [{"id": MODEL, "max_model_len": 8192}]}))
        return
    asked = json.loads(body or b"{}")
    if b"/tokenize" in first:
        wire.send(_whole(500, {"error": json.dumps(asked)}))
        return
    prompt = str(asked["messages"][-1]["content"])
    answers = STREAMED if asked.get("stream") else WHOLE
    for data in answers[prompt.split()[0]](prompt):
        wire.send(data)
        time.sleep(0.02)


def engine() -> RecordingServer:
    """The engine, on a port of its own."""
    return RecordingServer.on_port(serve)


def register(url: str, key: str) -> None:
    """Serve its model by it, at the reference prices."""
    actor = Actor.system("journeys")
    model = LanguageModel.objects.create(
        name=MODEL, title=MODEL, kind=LanguageModel.Kind.CHAT, context_window=8192, default_max_output=64, is_demo=True
    )
    load_prices(actor=actor)
    pool = register_pool(model=model, served_name=MODEL, actor=actor)
    replica = register_replica(pool=pool, url=url, api_key=key, is_simulated=True, actor=actor)
    set_state(replica=replica, state=Replica.State.READY, reason="", actor=actor)


def _latin(text: str) -> bytes:
    """As it fits into a head."""
    return text.encode("ascii", "replace")


def _head(status: int, content_type: str, *lines: bytes) -> bytes:
    return b"\r\n".join([b"HTTP/1.1 %d -" % status, b"content-type: " + content_type.encode(), *lines, b"", b""])


def _whole(status: int, body: object, content_type: str = "application/json") -> bytes:
    data = body.encode() if isinstance(body, str) else json.dumps(body, ensure_ascii=False).encode()
    return _head(status, content_type, b"content-length: %d" % len(data), b"connection: close") + data


def _answer(prompt: str, **members: object) -> dict[str, object]:
    choice = {"index": 0, "message": {"role": "assistant", "content": prompt}, "finish_reason": prompt}
    usage = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8, "said": prompt}
    return {"id": prompt, "model": prompt, "system_fingerprint": prompt, "choices": [choice], "usage": usage, **members}


def _error(prompt: str) -> dict[str, object]:
    message = f"1 validation error for ChatCompletionRequest\nmessages\n  Field required [input_value={prompt!r}]"
    return {"error": {"message": message, "type": prompt, "param": prompt, "code": prompt}}


def _event(prompt: str, **members: object) -> bytes:
    usage = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}
    choice = {"index": 0, "delta": {"content": prompt}, "finish_reason": prompt}
    body = json.dumps({"id": prompt, "model": prompt, "choices": [choice], "usage": usage, **members})
    return _chunk(b"data: %b\n\n" % body.encode())


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


_STREAM = _head(200, "text/event-stream", b"transfer-encoding: chunked", b"connection: close")
_DONE = _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"

WHOLE: dict[str, Answer] = {
    "good": lambda prompt: [_whole(200, _answer(prompt))],
    "no-usage": lambda prompt: [_whole(200, _answer(prompt, usage=None))],
    "nonsense": lambda prompt: [_whole(200, _answer(prompt, usage={"prompt_tokens": prompt, prompt: prompt}))],
    "no-json": lambda prompt: [_whole(200, f"{{{prompt}")],
    "error-200": lambda prompt: [_whole(200, _error(prompt))],
    **{
        f"error-{status}": lambda prompt, status=status: [_whole(status, _error(prompt))]  # type: ignore[misc]
        for status in (400, 401, 404, 413, 422, 429, 500, 503)
    },
    "page-500": lambda prompt: [_whole(500, f"<html><h1>500</h1><pre>{prompt}</pre></html>", "text/html")],
    "page-400": lambda prompt: [_whole(400, prompt, "text/plain")],
    "moved": lambda prompt: [_head(302, "text/plain", b"location: /" + _latin(prompt), b"content-length: 0")],
    "no-http": lambda prompt: [b"HTTP/1.1 \x00 " + prompt.encode() + b"\r\n\r\n"],
    "head": lambda prompt: [_head(200, "text/plain", *[b"x-said: " + _latin(prompt)] * 20_000)],
    "half": lambda prompt: [_whole(200, _answer(prompt))[:-10]],
    "hang": lambda prompt: [_head(200, "text/plain") + prompt.encode(), *[b""] * int(HANGS_S / 0.02)],
}
STREAMED: dict[str, Answer] = {
    "good": lambda prompt: [_STREAM, _event(prompt), _event(prompt, choices=[]), _DONE],
    "half": lambda prompt: [_STREAM, _event(prompt), _event(prompt)[:-9]],
    "cut-before": lambda prompt: [_STREAM, _event(prompt)[:-9]],
    "error-event": lambda prompt: [_STREAM, _event(prompt), _chunk(f"data: {json.dumps(_error(prompt))}\n\n".encode())],
    "no-json": lambda prompt: [_STREAM, _event(prompt), _chunk(f"data: {{{prompt}\n\n".encode()), _DONE],
    "no-sse": lambda prompt: [_STREAM, _chunk(prompt.encode()), _DONE],
    "no-chunk": lambda prompt: [_STREAM, _event(prompt), prompt.encode() + b"\r\n"],
    "nonsense": lambda prompt: [_STREAM, _event(prompt, usage={"prompt_tokens": prompt, prompt: prompt}), _DONE],
    "hang": lambda prompt: [_STREAM, _event(prompt), *[b""] * int(HANGS_S / 0.02)],
    "error-400": WHOLE["error-400"],
}
