"""The bound of the prompt is never too low, and no engine is told to fetch what it must not (I3, SSRF)."""

import json
import sys
import unicodedata
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.relay.errors import Refusal
from gateway.relay.input_bound import ModelFacts, check_media, input_bound
from gateway.relay.prompts import SPECIAL_TOKENS
from gateway.relay.request_body import Endpoint, InferenceRequest, parse_request
from gateway.relay.text_bound import MARK_EXTRA, token_bound

WINDOW = 10_000
FACTS = ModelFacts(WINDOW, 50, 10, {"image": 700, "audio": 300})
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 5000}}


def parse(body: Any, endpoint: Endpoint = Endpoint.CHAT, *, ensure_ascii: bool = True) -> InferenceRequest:
    return parse_request(endpoint, json.dumps(body, ensure_ascii=ensure_ascii).encode())


def chat(*contents: Any, **members: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": content} for content in contents]
    return {"model": "m", "messages": messages} | members


def bound(body: Any, endpoint: Endpoint = Endpoint.CHAT) -> int:
    return input_bound(parse(body, endpoint), FACTS)


def in_bytes(text: str) -> int:
    return len(text.encode())


NORMALIZATIONS = {
    "none": lambda text: text,
    "NFC (Qwen)": lambda text: unicodedata.normalize("NFC", text),
    "NFKC (XLM-RoBERTa)": lambda text: unicodedata.normalize("NFKC", text),
    "NFKC and lower case (mT5)": lambda text: unicodedata.normalize("NFKC", text).lower(),
    "NFKC and case folding (ALBERT)": lambda text: unicodedata.normalize("NFKC", text).casefold(),
    "lower case": str.lower,
}
CHARACTERS = st.characters(exclude_categories=["Cs"])
GROWING = st.sampled_from(
    "\ufdfa\ufdfb\u3316\u0958\u095c\ufb2c\u0344\u1f82\u0390\u0130\u00bd\U0001d160\u0323\u0308\u1ea1\u00e4\uac01\u0ddd"
)


@given(text=st.text(CHARACTERS | GROWING, max_size=30), ensure_ascii=st.booleans())
@example(text="\ufdfa" * 20, ensure_ascii=True)
@example(text="\ufdfa" * 20, ensure_ascii=False)
@example(text="\u00e4\u0323" * 20, ensure_ascii=False)
@example(text="\U0001d160" * 20, ensure_ascii=True)
def test_the_bound_covers_a_byte_level_tokenizer_after_any_normalization(text: str, *, ensure_ascii: bool) -> None:
    request = parse(chat(text, text), ensure_ascii=ensure_ascii)
    most = max(in_bytes(normalize(text)) for normalize in NORMALIZATIONS.values())
    assert input_bound(request, FACTS) >= min(2 * most + 50 + 20, WINDOW)
    assert token_bound(json.dumps(text, ensure_ascii=ensure_ascii).encode()) >= most


def test_every_character_alone_is_covered() -> None:
    for code in [*range(0xD800), *range(0xE000, sys.maxunicode + 1)]:
        character = chr(code)
        if unicodedata.is_normalized("NFKC", character) and character.lower() == character == character.casefold():
            continue
        longest = max(len(normalize(character).encode()) for normalize in NORMALIZATIONS.values())
        if longest <= len(character.encode()) and code < 0x10000:
            continue
        raw = json.dumps(character, ensure_ascii=False).encode()
        escaped = json.dumps(character).encode()
        assert min(token_bound(raw), token_bound(escaped)) - 2 >= longest, hex(code)


def test_a_mark_costs_at_most_what_its_base_was_composed_of() -> None:
    def undone(character: str) -> int:
        composed, decomposed = (len(unicodedata.normalize(form, character).encode()) for form in ("NFKC", "NFKD"))
        last = unicodedata.normalize("NFKC", character)[-1]
        return min(decomposed - composed, len(unicodedata.normalize("NFD", last).encode()) - len(last.encode()))

    hangul = range(0xAC00, 0xD7A4)
    codes = [code for code in range(sys.maxunicode + 1) if code not in hangul and not 0xD800 <= code < 0xE000]
    assert max(undone(chr(code)) for code in codes) <= MARK_EXTRA


def test_ordinary_languages_count_as_their_bytes() -> None:
    for text in (
        "Wo ist das \u00e4lteste Stra\u00dfencaf\u00e9?",
        "O\u00f9 est l\u2019\u00e9t\u00e9\u202f?",
        "\u4eba\u5de5\u667a\u80fd",
        "\ud55c\uad6d\uc5b4",
        "\u043f\u0440\u0438\u0432\u0435\u0442",
    ):
        assert token_bound(text.encode()) == len(text.encode())


def test_messages_cost_their_bytes_and_the_template() -> None:
    body = chat("hello", "world")
    raw = json.dumps(body["messages"]).encode()
    assert bound(body) == len(raw) + 50 + 2 * 10


def test_a_prompt_never_counts_more_than_the_window() -> None:
    assert bound(chat("x" * WINDOW)) == WINDOW
    assert (
        bound({"model": "m", "prompt": ["x" * WINDOW, "x" * WINDOW, "a"]}, Endpoint.COMPLETIONS)
        == 2 * WINDOW + 3 + SPECIAL_TOKENS
    )


def test_an_image_counts_as_the_catalog_says_and_not_as_its_bytes() -> None:
    text = {"type": "text", "text": "what is this?" * 10}
    one, two = bound(chat([text, IMAGE])), bound(chat([text, IMAGE, IMAGE]))
    assert 50 + 10 + 130 + 700 <= one < 50 + 10 + 130 + 700 + 100
    assert 700 <= two - one < 750


def test_media_in_any_message_count() -> None:
    messages = [{"role": "user", "content": "look"}, {"role": "tool", "tool_call_id": "c", "content": [IMAGE]}]
    assert 700 + 50 + 20 <= bound({"model": "m", "messages": messages}) < 900


def test_media_that_the_catalog_does_not_know_fill_the_window() -> None:
    assert bound(chat([{"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}}])) == WINDOW


def test_text_beside_media_counts_wherever_it_stands() -> None:
    parts = [IMAGE, {"type": "text", "text": "x" * 1000}]
    messages = [{"role": "system", "content": "y" * 1000}, {"role": "user", "name": "z" * 1000, "content": parts}]
    assert bound({"model": "m", "messages": messages}) >= 3000 + 700


def test_what_templates_write_out_fills_the_window() -> None:
    calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    for body in (
        chat("hi", tools=[{"type": "function", "function": {"name": "f"}}]),
        chat("hi", documents=[{"text": "a"}]),
        chat("hi", chat_template_kwargs={"enable_thinking": True}),
        chat("hi", response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}),
        {"model": "m", "messages": [{"role": "assistant", "tool_calls": calls}]},
        {"model": "m", "messages": [{"role": "developer", "content": "a", "tools": [{}]}]},
        chat([{"type": "text", "text": "a", "extra": {"a": 1}}]),
    ):
        assert bound(body) == WINDOW
    assert bound(chat("hi", tools=None, response_format={"type": "json_object"}, temperature=1)) < 150


def test_token_ids_count_themselves() -> None:
    assert bound({"model": "m", "prompt": [5] * 321}, Endpoint.COMPLETIONS) == 321
    assert bound({"model": "m", "input": [[5] * 3, [6] * 4]}, Endpoint.EMBEDDINGS) == 7


def test_each_prompt_and_input_counts() -> None:
    body = {"model": "m", "input": ["a" * 10, "b" * 20]}
    assert bound(body, Endpoint.EMBEDDINGS) == 12 + 22 + 2 * SPECIAL_TOKENS
    assert bound({"model": "m", "prompt": "a" * 10}, Endpoint.COMPLETIONS) == 12 + SPECIAL_TOKENS


def test_a_query_is_read_with_every_document() -> None:
    body = {"model": "m", "query": "q" * 100, "documents": ["d" * 10, "d" * 20, {"text": "d" * 30}]}
    least = 3 * (100 + 50) + 60
    assert least <= bound(body, Endpoint.RERANK) <= least + 3 * 2 * 10 + 40
    assert bound(body | {"instruction": "x"}, Endpoint.RERANK) == 3 * WINDOW


def test_a_query_may_hold_media() -> None:
    query: Any = {"content": [IMAGE]}
    body = {"model": "m", "query": query, "documents": ["a", "b"]}
    assert 2 * 700 <= bound(body, Endpoint.RERANK) < 2 * 850
    query["content"][0] = {"type": "image_url", "image_url": {"url": "http://example.org/"}}
    with pytest.raises(Refusal, match="query"):
        check_media(parse(body, Endpoint.RERANK), frozenset())
    assert bound(body | {"query": {"text": "a", "more": [1]}}, Endpoint.RERANK) == 2 * WINDOW


@given(st.lists(st.text(max_size=20), min_size=1, max_size=5), st.lists(st.text(max_size=20), min_size=1, max_size=5))
def test_the_bound_of_pairs_covers_their_bytes(queries: list[str], documents: list[str]) -> None:
    body = {"model": "m", "query": queries[0], "documents": documents}
    read = sum(in_bytes(queries[0]) + in_bytes(document) + 50 for document in documents)
    assert bound(body, Endpoint.RERANK) >= read


REMOTE = [
    "http://example.org/a.png",
    "https://example.org/a.png",
    "HTTP://example.org/a.png",
    "hTTps://example.org/a.png",
    " http://example.org/a.png",
    "\thttp://example.org/a.png",
    "\u00a0http://example.org/a.png",
    "\u200bhttp://example.org/a.png",
    "ht\ntp://example.org/a.png",
    "http:/\\example.org/a.png",
    "http:example.org/a.png",
    "//example.org/a.png",
    "\\\\example.org\\share",
    "/etc/passwd",
    "a.png",
    "file:///etc/passwd",
    "FILE:///etc/passwd",
    "ftp://example.org/a.png",
    "gopher://example.org/",
    "s3://bucket/key",
    "blob:http://example.org/a",
    "javascript:alert(1)",
    " data:image/png;base64,AAAA",
    "Data:image/png;base64,AAAA",
    "data\u200b:image/png;base64,AAAA",
    "http://169.254.169.254/latest/meta-data/",
    "http://[::1]/",
    "http://0x7f.1/",
    "http://\uff4cocalhost/",
    "",
]


@pytest.mark.parametrize("url", REMOTE)
@pytest.mark.parametrize("shape", ["object", "string", "image", "rerank"])
def test_no_engine_fetches_anything_by_default(url: str, shape: str) -> None:
    part: Any = {"type": "image_url", "image_url": {"url": url} if shape == "object" else url}
    if shape == "image":
        part = {"type": "image", "image": url}
    request = parse(chat("hi", [{"type": "text", "text": "a"}, part]))
    where = "messages[1].content[1]"
    if shape == "rerank":
        request = parse({"model": "m", "query": "q", "documents": ["a", {"content": [part]}]}, Endpoint.RERANK)
        where = "documents[1].content[0]"
    with pytest.raises(Refusal) as refusal:
        check_media(request, frozenset())
    assert (refusal.value.status, refusal.value.code) == (400, "remote_media_refused")
    assert (refusal.value.param or "").startswith(where)


def test_data_uris_are_fine() -> None:
    check_media(
        parse(chat("hi", [IMAGE, {"type": "audio_url", "audio_url": "data:audio/wav;base64,AAAA"}])), frozenset()
    )


ALLOWED = frozenset({"media.example.org", "store.example.org:9000"})


@pytest.mark.parametrize(
    "url",
    [
        "https://media.example.org/a.png?x=1#y",
        "http://media.example.org",
        "https://media.example.org:443/a",
        "http://media.example.org:80/a",
        "http://store.example.org:9000/a",
    ],
)
def test_hosts_that_the_operator_allows_may_be_fetched_from(url: str) -> None:
    check_media(parse(chat([{"type": "image_url", "image_url": {"url": url}}])), ALLOWED)


@pytest.mark.parametrize(
    "url",
    [
        *REMOTE,
        "https://media.example.org.evil.org/a",
        "https://evil.org/media.example.org",
        "https://media.example.org@evil.org/a",
        "https://evil.org\\@media.example.org/a",
        "https://media.example.org\\.evil.org/a",
        "https://media.example.org:8080/a",
        "https://media.example.org:80/a",
        "http://store.example.org/a",
        "https://MEDIA.example.org\u3002evil.org/",
        "https://media.example.org%2eevil.org/",
        "https://media.example.org./a",
        "https://user:pw@media.example.org/",
        "https://media.example.org\n/a",
        "https://media.example.org/a b",
        "https://media.example.org/a\r\nhost: evil",
        "ftp://media.example.org/a",
        "//media.example.org/a",
    ],
)
def test_other_hosts_may_not(url: str) -> None:
    with pytest.raises(Refusal):
        check_media(parse(chat([{"type": "image_url", "image_url": {"url": url}}])), ALLOWED)
