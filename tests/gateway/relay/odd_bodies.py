"""Bodies that nobody should send, and what becomes of each: for the parser alone, and end to end through a gateway.

No engine may ever run what the ledger did not hold. So each body is either refused with a code, or accepted with what
is then decided: the output limit that was asked for, the sequences, documents and prompts that are held.
"""

from collections.abc import Iterator
from typing import Any

from gateway.relay.fields import FIELDS, Action, Endpoint
from tests.gateway.relay.odd_body import (
    CHAT,
    COMPLETIONS,
    EMBEDDING_MODEL,
    EMBEDDINGS,
    MODEL,
    RERANK,
    RERANK_MODEL,
    OddBody,
    accepted,
    chat,
    chat_of,
    chat_with,
    refused,
)
from tests.gateway.relay.odd_json import deep, hidden_members, not_json

IMAGE = "data:image/png;base64,iVBORw0KGgo="


def odd_bodies() -> list[OddBody]:
    """The corpus, each body under a name of its own."""
    groups = (not_json, hidden_members, _output_limits, _choices, _streams, _models, _messages, _media)
    more = (_completions, _embeddings, _rerank, _refused_members, _harmless_members, deep)
    found = [odd for group in groups + more for odd in group()]
    if len({odd.name for odd in found}) != len(found):
        raise ValueError("two odd bodies have one name")
    return found


def _output_limits() -> Iterator[OddBody]:
    for name in ("max_tokens", "max_completion_tokens"):
        for text, code in (
            ("0", "integer_out_of_range"),
            ("-1", "integer_out_of_range"),
            ("-0", "integer_out_of_range"),
            ("2147483648", "integer_out_of_range"),
            ("9223372036854775808", "integer_out_of_range"),
            ("1e12", "integer_out_of_range"),
            ("1.5", "invalid_type"),
            ("0.1", "invalid_type"),
            ("1e400", "invalid_type"),
            ("-1e400", "invalid_type"),
            ("1e-400", "integer_out_of_range"),
            ("true", "invalid_type"),
            ("false", "invalid_type"),
            ('"16"', "invalid_type"),
            ("[16]", "invalid_type"),
            ('{"value":16}', "invalid_type"),
            ("9" * 5000, "invalid_type"),
        ):
            yield refused(f"{name} of {text[:20]}", CHAT, chat_with(f'"{name}":{text}'.encode()), code)
        for text, asked in (
            ("1", 1),
            ("2147483647", 2**31 - 1),
            ("5.0", 5),
            ("1e3", 1000),
            ("1E+2", 100),
            ("null", None),
        ):
            yield accepted(f"{name} of {text}", CHAT, chat_with(f'"{name}":{text}'.encode()), max_output_asked=asked)
    yield accepted("both limits", CHAT, chat(max_tokens=9, max_completion_tokens=5), max_output_asked=5)
    yield accepted("both limits the other way", CHAT, chat(max_tokens=5, max_completion_tokens=9), max_output_asked=5)
    yield accepted("one limit null", CHAT, chat(max_tokens=None, max_completion_tokens=9), max_output_asked=9)
    yield refused("one of both limits is wrong", CHAT, chat(max_tokens=5, max_completion_tokens="9"), "invalid_type")


def _choices() -> Iterator[OddBody]:
    for text in ("0", "-1", "129", "1000000000000"):
        yield refused(f"n of {text}", CHAT, chat_with(f'"n":{text}'.encode()), "integer_out_of_range")
    for text in ("true", '"3"', "[2]", "1.5", "{}"):
        yield refused(f"n of {text}", CHAT, chat_with(f'"n":{text}'.encode()), "invalid_type")
    yield accepted("n of null", CHAT, chat(n=None), sequences=1)
    yield accepted("n of 2.0", CHAT, chat_with(b'"n":2.0'), sequences=2)
    yield accepted("the most choices", CHAT, chat(n=128), sequences=128)
    yield accepted(
        "choices of several prompts", COMPLETIONS, {"model": MODEL, "prompt": ["a", "b", "c"], "n": 4}, sequences=12
    )


def _streams() -> Iterator[OddBody]:
    not_booleans: list[Any] = [1, 0, "true", "yes", [], {}]
    for value in not_booleans:
        yield refused(f"stream of {value!r}", CHAT, chat(stream=value), "invalid_type")
    yield accepted("stream of null", CHAT, chat(stream=None), stream=False)
    yield refused("stream_options without stream", CHAT, chat(stream_options={"include_usage": True}))
    yield refused("stream_options that are a list", CHAT, chat(stream=True, stream_options=[]))
    for value in not_booleans:
        options = {"include_usage": value}
        yield refused(f"include_usage of {value!r}", CHAT, chat(stream=True, stream_options=options), "invalid_type")
    twice = chat_with(b'"stream":true,"stream_options":{"include_usage":false,"include_usage":true}')
    yield refused("include_usage twice", CHAT, twice)
    yield accepted(
        "stream_options of null", CHAT, chat(stream=True, stream_options=None), stream=True, include_usage=False
    )
    yield accepted("empty stream_options", CHAT, chat(stream=False, stream_options={}), stream=False)
    unknown = {"include_obfuscation": False, "include_usage": True}
    yield accepted("stream_options unknown here", CHAT, chat(stream=True, stream_options=unknown), include_usage=True)
    hidden = {"include_usage": False, "continuous_usage_stats": True}
    yield accepted("usage per chunk but none", CHAT, chat(stream=True, stream_options=hidden), continuous_usage=False)


def _models() -> Iterator[OddBody]:
    messages = chat()["messages"]
    yield refused("no model", CHAT, {"messages": messages}, "missing_required_parameter")
    yield refused("a model of null", CHAT, chat(model=None), "missing_required_parameter")
    for value in (1, ["demo"], {"id": "demo"}, True):
        yield refused(f"a model of {value!r}", CHAT, chat(model=value), "invalid_type")
    yield refused("an empty model", CHAT, chat(model=""))
    yield refused("an endless model", CHAT, chat(model="m" * 201))
    for name in ("demo\0", "../demo", "demo' or 1=1--", "a/b:c", "\u202eomed", "<script>"):
        yield accepted(f"a model called {name!r}", CHAT, chat(model=name), model=name)
    yield accepted("an escaped model", CHAT, chat_with(b'"x":1').replace(b'"demo/', rb'"\u0064emo/'), model=MODEL)


def _messages() -> Iterator[OddBody]:
    for name, value in {
        "a string": "hi",
        "an object": {"role": "user", "content": "hi"},
        "empty": [],
        "strings": ["hi"],
        "nulls": [None],
        "lists": [[{"role": "user", "content": "hi"}]],
        "a message without role": [{"content": "hi"}],
        "a role of null": [{"role": None, "content": "hi"}],
        "a role of 1": [{"role": 1, "content": "hi"}],
        "a content of 1": [{"role": "user", "content": 1}],
        "a content of true": [{"role": "user", "content": True}],
        "a content that is an object": [{"role": "user", "content": {"type": "text", "text": "hi"}}],
        "string parts": [{"role": "user", "content": ["hi"]}],
        "null parts": [{"role": "user", "content": [None]}],
        "parts in parts": [{"role": "user", "content": [[{"type": "text", "text": "hi"}]]}],
        "a part without type": [{"role": "user", "content": [{"text": "hi"}]}],
        "a part of an unknown type": [{"role": "user", "content": [{"type": "hologram", "hologram": "x"}]}],
        "a part whose type is a list": [{"role": "user", "content": [{"type": ["text"], "text": "hi"}]}],
    }.items():
        yield refused(f"messages: {name}", CHAT, chat(messages=value))
    yield refused("no messages", CHAT, {"model": MODEL}, "missing_required_parameter")
    yield refused("messages of null", CHAT, chat(messages=None), "missing_required_parameter")
    yield refused("messages and prompt", CHAT, chat(prompt="hi"), "unsupported_parameter")
    yield refused("too many messages", CHAT, chat(messages=[{"role": "user", "content": ""}] * 10_001))
    yield accepted("a content of null", CHAT, chat(messages=[{"role": "assistant", "content": None}]))
    yield accepted("no content", CHAT, chat(messages=[{"role": "assistant"}]))
    yield accepted("no parts", CHAT, chat(messages=[{"role": "user", "content": []}]))
    calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    yield accepted("tool calls", CHAT, chat(messages=[{"role": "assistant", "tool_calls": calls}]))


def _media() -> Iterator[OddBody]:
    def part(**members: Any) -> dict[str, Any]:
        return chat(messages=[{"role": "user", "content": [members]}])

    raw = {
        "a type twice": b'{"type":"text","type":"image_url","image_url":{"url":"http://169.254.169.254/"}}',
        "a type twice, text last": b'{"type":"image_url","type":"text","image_url":{"url":"http://169.254.169.254/"}}',
        "a url twice": b'{"type":"image_url","image_url":{"url":"data:,","url":"http://169.254.169.254/"}}',
        "a url twice, data last": b'{"type":"image_url","image_url":{"url":"http://169.254.169.254/","url":"data:,"}}',
        "an image twice": b'{"type":"image_url","image_url":{"url":"data:,"},"image_url":{"url":"http://x/"}}',
        "an escaped name": b'{"type":"text","text":"a","image\\u005furl":{"url":"http://x/"}}',
    }
    for name, text in raw.items():
        yield refused(f"a part with {name}", CHAT, chat_of(b'"role":"user","content":[' + text + b"]"))
    for member in ("uuid", "image_embeds", "audio_embeds", "video_embeds", "prompt_embeds", "image_pil"):
        yield refused(
            f"an image with {member}", CHAT, part(type="image_url", image_url={"url": IMAGE}, **{member: "x"})
        )
        yield refused(f"a text with {member}", CHAT, part(type="text", text="a", **{member: "x"}))
        yield refused(f"a part of the type {member}", CHAT, part(type=member, **{member: "x"}))
    for member in ("image_url", "video_url", "audio_url", "input_audio", "image", "url", "path", "file"):
        yield refused(f"a text with {member}", CHAT, part(type="text", text="a", **{member: "http://169.254.169.254/"}))
    yield refused("an image without one", CHAT, part(type="image_url"))
    for value in (None, 1, [], {}, {"url": None}, {"url": 1}, {"url": ["data:,"]}, [{"url": IMAGE}]):
        yield refused(f"an image of {value!r}", CHAT, part(type="image_url", image_url=value))
    yield refused(
        "audio that is a URL", CHAT, part(type="input_audio", input_audio={"data": "http://x/", "format": "wav"})
    )
    yield refused("audio that is no string", CHAT, part(type="input_audio", input_audio={"data": 1, "format": "wav"}))
    yield refused(
        "audio of two kinds", CHAT, part(type="input_audio", input_audio={"data": "AAAA", "url": "http://x/"})
    )
    yield accepted("an image as data", CHAT, part(type="image_url", image_url={"url": IMAGE, "detail": "low"}))
    yield accepted("an image as a plain string", CHAT, part(type="image_url", image_url=IMAGE))
    yield accepted("audio as data", CHAT, part(type="input_audio", input_audio={"data": "AAAA/+=", "format": "wav"}))
    yield accepted("a URL in a text", CHAT, part(type="text", text="see http://169.254.169.254/ and image_url"))


def _completions() -> Iterator[OddBody]:
    for name, prompt in {
        "a number": 1,
        "true": True,
        "an object": {"text": "hi"},
        "an empty list": [],
        "an empty list of tokens": [[]],
        "one prompt without tokens": [[1], []],
        "nulls": [None],
        "text and tokens": ["a", 1],
        "tokens and text": [1, "a"],
        "text and lists": ["a", [1]],
        "lists and tokens": [[1], 2],
        "objects": [{"prompt": "a"}],
        "negative tokens": [1, -2],
        "fractional tokens": [1, 2.5],
        "boolean tokens": [True],
        "tokens beyond any vocabulary": [2**31],
        "three levels": [[[1]]],
        "too many prompts": ["a"] * 1025,
    }.items():
        yield refused(f"prompt: {name}", COMPLETIONS, {"model": MODEL, "prompt": prompt})
    yield refused("no prompt", COMPLETIONS, {"model": MODEL}, "missing_required_parameter")
    yield refused("prompt and messages", COMPLETIONS, chat(prompt="hi"), "unsupported_parameter")
    yield refused("best_of over n", COMPLETIONS, {"model": MODEL, "prompt": "a", "best_of": 5}, "unsupported_parameter")
    yield refused(
        "tools for a prompt", COMPLETIONS, {"model": MODEL, "prompt": "a", "tools": [{}]}, "unsupported_parameter"
    )
    yield accepted("a prompt", COMPLETIONS, {"model": MODEL, "prompt": "hi"}, endpoint=COMPLETIONS, prompts=1)
    yield accepted("tokens", COMPLETIONS, {"model": MODEL, "prompt": [1, 2, 3]}, sequences=1, prompts=1)
    yield accepted("lists of tokens", COMPLETIONS, {"model": MODEL, "prompt": [[1], [2, 3]]}, sequences=2, prompts=2)
    yield accepted("messages instead of a prompt", COMPLETIONS, chat(n=2), endpoint=CHAT, sequences=2, prompts=1)
    yield accepted("messages and a null prompt", COMPLETIONS, chat(prompt=None), endpoint=CHAT)


def _embeddings() -> Iterator[OddBody]:
    def body(**members: Any) -> dict[str, Any]:
        return {"model": EMBEDDING_MODEL, "input": "hi"} | members

    for name, value in {
        "a number": 1,
        "an object": {"text": "hi"},
        "empty": [],
        "messages": [{"role": "user", "content": "hi"}],
        "conversations": [[{"role": "user", "content": "hi"}]],
        "too many": ["a"] * 2049,
    }.items():
        yield refused(f"input: {name}", EMBEDDINGS, body(input=value))
    yield refused("no input", EMBEDDINGS, {"model": EMBEDDING_MODEL}, "missing_required_parameter")
    yield refused("messages to embed", EMBEDDINGS, chat(), "unsupported_parameter")
    yield refused("a stream of embeddings", EMBEDDINGS, body(stream=True), "unsupported_parameter")
    yield refused("several embeddings of one", EMBEDDINGS, body(n=2), "unsupported_parameter")
    yield refused("padding", EMBEDDINGS, body(padding="max_length"), "unsupported_parameter")
    for value in ("bytes", "bytes_only", "float16", 1, ["float"]):
        yield refused(f"encoding_format of {value!r}", EMBEDDINGS, body(encoding_format=value))
    yield accepted(
        "embeddings without an answer's options", EMBEDDINGS, body(stream=False, n=1), sequences=1, prompts=1
    )
    yield accepted("many inputs", EMBEDDINGS, body(input=["a"] * 2048), sequences=1, prompts=2048)
    yield accepted("lists of tokens to embed", EMBEDDINGS, body(input=[[1, 2], [3]]), prompts=2)
    yield accepted("an output limit for embeddings", EMBEDDINGS, body(max_tokens=-5), max_output_asked=None)


def _rerank() -> Iterator[OddBody]:
    def body(**members: Any) -> dict[str, Any]:
        return {"model": RERANK_MODEL, "query": "q", "documents": ["a", "b"]} | members

    for name, value in {"a number": 1, "empty": [], "nulls": [None], "lists": [["a"]], "numbers": [1]}.items():
        yield refused(f"documents: {name}", RERANK, body(documents=value))
    yield refused(
        "a document's text twice", RERANK, b'{"model":"demo/rerank","query":"q","documents":[{"text":"a","text":"b"}]}'
    )
    image = [{"type": "image_url", "image_url": {"url": IMAGE}}]
    yield refused(
        "media beside a document's content", RERANK, body(documents=[{"content": image, "image_url": "http://x/"}])
    )
    yield refused("no query", RERANK, {"model": RERANK_MODEL, "documents": ["a"]}, "missing_required_parameter")
    yield refused("no documents", RERANK, {"model": RERANK_MODEL, "query": "q"}, "missing_required_parameter")
    for value in (1, ["q"], True):
        yield refused(f"a query of {value!r}", RERANK, body(query=value))
    yield refused("too many documents", RERANK, body(documents=["a"] * 10_001))
    yield accepted("documents", RERANK, body(), documents=2, prompts=2, sequences=1)
    yield accepted("the best of the documents", RERANK, body(top_n=1), documents=2)
    yield accepted("one document", RERANK, body(documents="a"), documents=1)
    yield accepted("documents as objects", RERANK, body(documents=[{"text": "a", "url": "http://x/"}]), documents=1)
    yield accepted("documents with parts", RERANK, body(documents=[{"content": image}, "b"]), documents=2)


_ORDINARY: dict[Endpoint, dict[str, Any]] = {
    CHAT: chat(),
    COMPLETIONS: {"model": MODEL, "prompt": "hi"},
    EMBEDDINGS: {"model": EMBEDDING_MODEL, "input": "hi"},
    RERANK: {"model": RERANK_MODEL, "query": "q", "documents": ["a"]},
}


def _refused_members() -> Iterator[OddBody]:
    for endpoint in (CHAT, EMBEDDINGS):
        for name, field in FIELDS[endpoint].items():
            if field.action is Action.REFUSE and name not in _ORDINARY[endpoint] and name not in ("prompt", "messages"):
                body = _ORDINARY[endpoint] | {name: ["odd"]}
                yield refused(f"{name} for {endpoint.name}", endpoint, body, "unsupported_parameter")
    for name in ("chat_template", "tokenize", "messages", "tools"):
        kwargs = chat(chat_template_kwargs={name: "x"})
        yield refused(f"chat_template_kwargs with {name}", CHAT, kwargs, "unsupported_parameter")
    yield refused("chat_template_kwargs that are a list", CHAT, chat(chat_template_kwargs=["x"]))
    yield refused("a template argument twice", CHAT, chat_with(b'"chat_template_kwargs":{"a":1,"a":2}'))


def _harmless_members() -> Iterator[OddBody]:
    for name, field in FIELDS[CHAT].items():
        for value in sorted(field.harmless):
            yield accepted(
                f"{name} of {value.decode()}", CHAT, chat_with(b'"%s": %s' % (name.encode(), value)), is_unbounded=False
            )
    yield accepted(
        "everything null", CHAT, chat(**dict.fromkeys(FIELDS[CHAT].keys() - {"model", "messages"})), sequences=1
    )
