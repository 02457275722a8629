"""Requests that carry canaries through every address of an installation, to succeed and to fail in every way."""

import base64
import contextlib
import http.client
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

from gateway.relay.fields import Endpoint
from gateway.relay.routes import ESTIMATE, LIVE, MODELS, ONE_MODEL, READY
from tests.journeys import echoing_engine
from tests.journeys.canaries import Family

CHAT = "/v1/chat/completions"
Members = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """One request; `about` names it where something goes wrong."""

    about: str
    method: str
    path: str
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def send(port: int, key: str, request: Request, wait_s: float = 30) -> int:
    """The status of the answer, read to its end; 0 where there is none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=wait_s)
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"} | request.headers
    try:
        connection.request(request.method, request.path, request.body or None, headers)
        response = connection.getresponse()
        with contextlib.suppress(http.client.HTTPException):
            response.read()
        return response.status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def _json(value: object) -> bytes:
    """JSON in UTF-8: names written with escapes are refused at the door."""
    return json.dumps(value, ensure_ascii=False).encode()


def headers_of(said: Family, place: str) -> dict[str, str]:
    """The word in every header that a client may choose and we do not store."""
    names = ("user-agent", "referer", "cookie", "x-request-id", "idempotency-key", "x-canary", "openai-organization")
    return {name: said.plain(f"{place}-{name}") for name in names}


# ---- inference


def good_bodies(said: Family, models: dict[str, str]) -> dict[str, list[Members]]:
    """Path -> requests that succeed, the word in each member that takes text."""
    picture = base64.b64encode(b"\x89PNG" + said.at("image").encode()).decode()
    common = {"user": said.at("user"), "metadata": {said.at("name"): said.at("metadata")}, said.at("member"): 1}
    common |= {"safety_identifier": said.at("safety"), "prompt_cache_key": said.at("cache")}
    function = {"name": "f", "description": said.at("tool"), "parameters": {"title": said.at("schema")}}
    chat: Members = {
        "model": models["chat"],
        "messages": [
            {"role": "system", "content": said.at("system")},
            {"role": "user", "content": [{"type": "text", "text": said.at("part")}], "name": said.plain("name")},
            {"role": "assistant", "content": said.at("assistant")},
            {"role": "user", "content": said.at("prompt")},
        ],
        "max_tokens": 4,
        "stop": [said.at("stop")],
        **common,
    }
    echo = {"simulate": {"chunk_text": said.at("answer")}}
    streamed = {"stream": True, "stream_options": {"include_usage": True}}
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}}
    text = {"model": models["chat"], "prompt": [said.at("prompt"), said.at("second")], "max_tokens": 4, **common}
    rerank = {"model": models["rerank"], "query": said.at("query"), "documents": [said.at("document"), "b"], **common}
    return {
        CHAT: [
            chat,
            chat | echo,
            chat | echo | streamed,
            chat | {"tools": [{"type": "function", "function": function}], "tool_choice": "none"},
            chat | {"messages": [{"role": "user", "content": [image, {"type": "text", "text": said.at("part")}]}]},
            chat | {"response_format": {"type": "json_object"}, "reasoning_effort": "low"},
            *[
                chat | {"model": echoing_engine.MODEL, "stream": stream}
                | {"messages": [{"role": "user", "content": f"good {said.at('echo')}"}]}
                for stream in (False, True)
            ],
        ],
        "/v1/completions": [text, text | echo | streamed, text | {"echo": True, "suffix": said.at("suffix")}],
        "/v1/embeddings": [{"model": models["embedding"], "input": [said.at("input")], **common}],
        "/v1/rerank": [rerank],
        "/v2/rerank": [rerank | {"documents": [{"text": said.at("document")}]}],
        ESTIMATE: [chat, text, rerank],
    }  # fmt: skip


def inference_paths() -> set[str]:
    """All that the relay answers with a body of its own: a new one fails the sweep until it has a good body here."""
    return {path for endpoint in Endpoint for path in endpoint.paths} | {ESTIMATE}


def bad_bodies(said: Family, good: Members) -> Iterator[tuple[str, bytes]]:
    """The same spoilt in ways that do not ask what is in it."""
    data = _json(good)
    yield "cut", data[: len(data) * 2 // 3]
    yield "trailing", data + said.at("trailing").encode()
    yield "no UTF-8", data.replace("é".encode(), b"\xe9")
    yield "no JSON", said.at("nothing").encode()
    yield "a list", _json([good])
    yield "an escaped null", b'{"model":"' + said.word.encode() + b'\\u0000"}'
    yield "escaped letter by letter", b'{"model":"%b","messages":"%b"}' % ((said.json_escaped().encode(),) * 2)
    yield "twice a member", data[:-1] + b',"model":"' + said.word.encode() + b'"}'
    for name in good:
        yield f"{name} of a wrong type", _json(good | {name: {"x": [said.at(name)]}})
    yield "an unknown model", _json(good | {"model": said.at("model")})
    yield "refused members", _json(good | {"kv_transfer_params": {said.at("kv"): said.at("kv")}})
    yield "too deep", _json(good | {"x": json.loads("[" * 150 + json.dumps(said.at("x")) + "]" * 150)})
    yield "too long", _json(good | {"messages": said.at("x") * 9_000, "prompt": said.at("x") * 9_000})


FAULTS: list[Members] = [
    {"status": 400}, {"status": 500}, {"status": 429}, {"garbage": "http"}, {"garbage": "json"}, {"garbage": "length"},
    {"close_before": True}, {"hang_before": True}, {"no_usage": True}, {"nonsense_usage": "strings"},
    {"close_after": 3}, {"close_after": 3, "reset": True}, {"event_error_after": 3}, {"hang_after": 3},
]  # fmt: skip


def inference(said: Family, label: Family, models: dict[str, str]) -> Iterator[Request]:
    """Every inference address: what succeeds first."""
    good = good_bodies(said, models)
    assert set(good) == inference_paths(), "an inference address has no good body here"
    for path, bodies in good.items():
        for number, body in enumerate(bodies):
            place = f"good-{number}{path.replace('/', '-')}"  # no two the same: they are Idempotency-Keys, too
            headers = headers_of(said, place) | {"x-beffroi-label": label.plain(str(number))}
            yield Request(f"good {number}", "POST", path, _json(body), headers)
        for about, data in bad_bodies(said, bodies[0]):
            yield Request(about, "POST", path, data, headers_of(said, "bad"))
        yield Request("a form", "POST", path, *_form(said))
        yield Request("compressed", "POST", path, said.word.encode(), {"content-encoding": said.plain("coding")})
        yield Request("another method", "PUT", f"{path}?{said.word}={said.word}", said.at("put").encode())
    chat = good[CHAT][1]
    for stream in (False, True):
        for fault in FAULTS:
            simulate = {"simulate": chat["simulate"] | fault, "stream": stream}
            yield Request(str(fault), "POST", CHAT, _json(chat | simulate))
    for stream, answers in ((False, echoing_engine.WHOLE), (True, echoing_engine.STREAMED)):
        for mode in answers:
            messages = [{"role": "user", "content": f"{mode} {said.at(mode)}"}]
            body = {"model": echoing_engine.MODEL, "messages": messages, "stream": stream, "max_tokens": 4}
            yield Request(f"echo {mode}", "POST", CHAT, _json(body))


def _form(said: Family) -> tuple[bytes, dict[str, str]]:
    """A multipart form with a file of that name: speech to be written down."""
    file = said.at("file.wav")
    part = f'--b\r\ncontent-disposition: form-data; name="file"; filename="{file}"\r\n\r\n{said.at("speech")}\r\n'
    return (part + "--b--\r\n").encode(), {"content-type": "multipart/form-data; boundary=b"}


def odd_addresses(said: Family) -> Iterator[Request]:
    """Addresses that are not there, or that carry the word."""
    for path in (
        f"{ONE_MODEL}{said.word}", f"{MODELS}?q={said.word}", f"/v1/{said.word}", f"/v1/{said.percent_encoded()}",
        f"{LIVE}?{said.word}", f"{READY}?{said.word}", f"/{said.word}", f"/api/{said.word}/{said.percent_encoded()}",
        f"/static/{said.word}.css", f"/chat/completions?{said.word}", f"//{said.word}",
        "/chat/completions", "/v1/audio/transcriptions", "/v1/responses", f"/api/models/{said.word}/x",
    ):  # fmt: skip
        for method in ("GET", "POST", "DELETE", "OPTIONS"):
            body = _json({"messages": said.at("lost")}) if method == "POST" else b""
            yield Request("an odd address", method, path, body, headers_of(said, "odd"))
        yield Request("a form", "POST", path, *_form(said))
    yield Request("another host", "GET", "/", headers={"host": said.word})
    yield Request("another host", "GET", "/api/key", headers={"host": said.word})
    yield Request("a page of elsewhere", "GET", "/api/key", headers={"origin": f"https://{said.word}.example"})
    yield Request("a proxy's word", "GET", "/", headers={"x-forwarded-for": said.word, "forwarded": said.word})


# ---- everything that Django answers


def management(said: Family, kept: Family, sought: Family, described: Members) -> Iterator[Request]:
    """Every operation of the description of the API, so that a new one is swept by itself.

    `kept` is what it is meant to store, `sought` what one searches for, ids in addresses among it.
    """
    for path, operations in described["paths"].items():
        if not path.startswith("/api/"):
            continue
        for method, operation in operations.items():
            yield from _searches(sought, path, method.upper(), operation)
            filled = re.sub(r"\{\w+\}", sought.word, path)
            yield from _operation(said, kept, described, filled, method.upper(), operation)


def _searches(sought: Family, path: str, method: str, operation: Members) -> Iterator[Request]:
    named = [parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "query"]
    filled = re.sub(r"\{\w+\}", sought.word, path)
    for name in (*named, sought.word):
        yield Request(f"?{name}", method, f"{filled}?{name}={sought.percent_encoded()}")
        yield Request(f"?{name}", method, f"{filled}?{name}={sought.word}")


def _operation(
    said: Family, kept: Family, described: Members, path: str, method: str, operation: Members
) -> Iterator[Request]:
    yield Request("plain", method, path, headers=headers_of(said, "api"))
    if "requestBody" not in operation:
        yield Request("an unasked body", method, path, _json({"x": said.at("body")}))
        return
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    good = example_of(schema, described, kept.at("stored"))
    bad = example_of(schema, described, said.at("refused"))
    yield Request("good", method, path, _json(good))
    yield Request("an unknown member", method, path, _json(bad | {said.at("member"): said.at("value")}))
    for about, data in bad_bodies(said, bad | {said.word: 1}):
        yield Request(about, method, path, data)
    yield Request("a form", method, path, *_form(said))


def example_of(schema: Members, described: Members, text: str) -> Any:
    """A value that a schema allows: what it requires, and every text there is in it that may be anything."""
    if "$ref" in schema:
        return example_of(described["components"]["schemas"][schema["$ref"].rpartition("/")[2]], described, text)
    if "enum" in schema:
        return schema["enum"][0]
    if "properties" in schema:
        return {
            name: example_of(member, described, text)
            for name, member in schema["properties"].items()
            if name in schema.get("required", ())
        }
    match schema.get("type"):
        case "array":
            return [example_of(schema["items"], described, text)]
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return False
    return text


def pages(said: Family, sought: Family) -> Iterator[Request]:
    """Every pattern that Django's resolver knows, a word that is looked for in each part of it that takes any."""
    for path in sorted(_patterns(get_resolver().url_patterns, "/")):
        filled = re.sub(r"<(?:\w+:)?\w+>", sought.word, path)
        for method in ("GET", "POST"):
            body = _json({"x": said.at("page")}) if method == "POST" else b""
            yield Request("a page", method, f"{filled}?{said.word}={said.percent_encoded()}", body)
        yield Request("a form", "POST", filled, *_form(said))


def _patterns(found: list[URLPattern | URLResolver], before: str) -> Iterator[str]:
    for entry in found:
        if isinstance(entry, URLResolver):
            yield from _patterns(entry.url_patterns, before + str(entry.pattern))
        else:
            yield before + str(entry.pattern)
