"""Embeddings, rerank, transcription, tokens, and the state of a real engine process."""

import base64
import io
import math
import struct
import wave
from typing import Any

import pytest

from gateway.simulated_engine import tokenizer
from tests.gateway.simulated_engine.process import EngineProcess, chat, eventually, read_to_end, streamed


def embed(engine: EngineProcess, given: object, **members: object) -> Any:
    return engine.post("/v1/embeddings", {"model": "demo/embed", "input": given, **members}).json


def test_embeddings_are_unit_vectors_and_like_texts_are_near(engine: EngineProcess) -> None:
    body = embed(engine, ["the bell in the tower", "the tower has a bell", "invoices are due in June"])
    first, near, far = (item["embedding"] for item in body["data"])
    assert [item["index"] for item in body["data"]] == [0, 1, 2]
    assert math.isclose(math.fsum(value * value for value in first), 1.0)
    product = [sum(a * b for a, b in zip(first, other, strict=True)) for other in (near, far)]
    assert product[0] > product[1]
    assert body["usage"]["prompt_tokens"] == body["usage"]["total_tokens"] > 0


def test_embeddings_are_the_same_each_time_and_in_base64(engine: EngineProcess) -> None:
    plain = embed(engine, "hello", dimensions=16)["data"][0]["embedding"]
    packed = embed(engine, "hello", dimensions=16, encoding_format="base64")["data"][0]["embedding"]
    assert list(struct.unpack("<16f", base64.b64decode(packed))) == pytest.approx(plain)


@pytest.mark.parametrize(("given", "tokens"), [([1, 2, 3], 3), ([[1, 2], [3]], 3)])
def test_embeddings_take_token_ids(engine: EngineProcess, given: list[Any], tokens: int) -> None:
    assert embed(engine, given)["usage"]["prompt_tokens"] == tokens


@pytest.mark.parametrize(
    "members", [{"input": ""}, {"input": {}}, {"dimensions": 0}, {"encoding_format": "hex"}, {"dimensions": 10**6}]
)
def test_bad_embedding_requests_are_refused(engine: EngineProcess, members: dict[str, Any]) -> None:
    answer = engine.post("/v1/embeddings", {"model": "demo/embed", "input": "x"} | members)
    assert (answer.status, answer.json["error"]["code"]) == (400, 400)


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank", "/v2/rerank"])
def test_rerank_puts_the_likely_document_first(engine: EngineProcess, path: str) -> None:
    documents = ["the market square", "the bell of the tower", {"text": "a bell"}]
    body = engine.post(path, {"model": "demo/rerank", "query": "tower bell", "documents": documents, "top_n": 2}).json
    assert [result["index"] for result in body["results"]] == [1, 2]
    assert body["results"][0]["document"]["text"] == "the bell of the tower"
    assert body["usage"]["prompt_tokens"] > 0


@pytest.mark.parametrize("members", [{"query": 1}, {"documents": []}, {"documents": [3]}, {"top_n": -1}])
def test_bad_rerank_requests_are_refused(engine: EngineProcess, members: dict[str, Any]) -> None:
    good = {"model": "demo/rerank", "query": "a", "documents": ["b"]}
    assert engine.post("/v1/rerank", good | members).status == 400


def recording(seconds: float) -> bytes:
    """A silent WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(int(seconds * 16_000)))
    return file.getvalue()


def form(**fields: str | bytes) -> bytes:
    """A multipart form with the boundary `limit`."""
    parts = b""
    for name, value in fields.items():
        file = '; filename="a.wav"' if isinstance(value, bytes) else ""
        content = value if isinstance(value, bytes) else value.encode()
        parts += f'--limit\r\ncontent-disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + content + b"\r\n"
    return parts + b"--limit--\r\n"


def transcribe(engine: EngineProcess, **fields: str | bytes) -> Any:
    kind = "multipart/form-data; boundary=limit"
    return engine.post("/v1/audio/transcriptions", form(model="demo/voice", **fields), content_type=kind)


def test_a_transcription_reports_its_seconds_rounded_up(engine: EngineProcess) -> None:
    body = transcribe(engine, file=recording(2.5)).json
    assert "simulated" in body["text"]
    assert body["usage"] == {"type": "duration", "seconds": 3}


def test_a_transcription_can_be_verbose_or_plain_text(engine: EngineProcess) -> None:
    verbose = transcribe(engine, file=recording(2.5), response_format="verbose_json", language="fr").json
    assert (verbose["language"], float(verbose["duration"])) == ("fr", 2.5)
    assert transcribe(engine, file=recording(1), response_format="text").body.startswith(b"This is")


def test_a_transcription_without_a_file_or_a_form_is_refused(engine: EngineProcess) -> None:
    assert transcribe(engine, language="fr").status == 400
    assert engine.post("/v1/audio/transcriptions", {"model": "demo/voice"}).status == 400


def test_tokenize_counts_what_usage_counts(engine: EngineProcess) -> None:
    body = chat("Combien de jetons ?", tools=[{"type": "function", "function": {"name": "f"}}])
    counted = engine.post("/tokenize", body).json
    assert counted["count"] == len(counted["tokens"]) == engine.chat(body).json["usage"]["prompt_tokens"]
    assert (counted["max_model_len"], counted["token_strs"]) == (2000, None)


def test_tokens_of_a_prompt_can_be_shown_and_turned_back(engine: EngineProcess) -> None:
    asked = {"model": "demo/chat", "prompt": "Déjà vu, twice.", "return_token_strs": True}
    shown = engine.post("/tokenize", asked).json
    assert "".join(shown["token_strs"]) == "Déjà vu, twice."
    assert shown["count"] == tokenizer.count("Déjà vu, twice.")
    back = engine.post("/detokenize", {"model": "demo/chat", "tokens": shown["tokens"]}).json
    assert back == {"prompt": "Déjà vu, twice."}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/tokenize", {}, 400),
        ("/tokenize", {"model": "nobody", "prompt": "x"}, 404),
        ("/detokenize", {"tokens": "x"}, 400),
    ],
)
def test_bad_token_requests_are_refused(engine: EngineProcess, path: str, body: dict[str, Any], status: int) -> None:
    assert engine.post(path, body).status == status


def test_models_are_listed_as_simulated(engine: EngineProcess) -> None:
    cards = engine.get("/v1/models").json["data"]
    assert [card["id"] for card in cards] == ["demo/chat", "demo/embed", "demo/rerank", "demo/voice"]
    assert {card["owned_by"] for card in cards} == {"beffroi-simulated"}
    assert cards[0]["max_model_len"] == 2000


def test_a_key_guards_what_vllm_guards(engine: EngineProcess) -> None:
    refused = engine.get("/v1/models", key="wrong")
    assert (refused.status, refused.json) == (401, {"error": "Unauthorized"})
    open_paths = ("/health", "/metrics", "/version", "/is_sleeping")
    assert {engine.get(path, key="wrong").status for path in open_paths} == {200}


@pytest.mark.parametrize(("path", "status"), [("/nowhere", 404), ("/v1/chat/completions", 405), ("/sleep", 405)])
def test_unknown_routes_and_wrong_methods(engine: EngineProcess, path: str, status: int) -> None:
    assert engine.get(path).status == status


def test_counters_move_by_what_was_answered(engine: EngineProcess) -> None:
    names = ("prompt_tokens_total", "generation_tokens_total")
    before = [engine.metric(name) for name in names]
    stops = engine.metric("request_success_total", finished_reason="length")
    usage = engine.chat(chat("Count me", max_tokens=9, n=2)).json["usage"]
    assert [engine.metric(name) for name in names] == [
        before[0] + 2 * usage["prompt_tokens"],
        before[1] + usage["completion_tokens"],
    ]
    assert engine.metric("request_success_total", finished_reason="length") == stops + 2
    assert engine.metric("num_requests_waiting") == 0


def test_latencies_of_an_answer_are_counted_when_it_ends(start_engine: Any) -> None:
    own = start_engine("--tokens-per-second=20", "--first-token-ms=200")
    own.chat(streamed(max_tokens=5))
    own.chat(chat(max_tokens=5, n=2))
    assert own.metric("time_to_first_token_seconds_count") == own.metric("e2e_request_latency_seconds_count") == 3
    assert own.metric("time_to_first_token_seconds_bucket", le="0.1") == 0
    assert own.metric("inter_token_latency_seconds_count") == 3 * 4
    assert own.metric("inter_token_latency_seconds_bucket", le="0.025") == 0
    assert own.metric("inter_token_latency_seconds_sum") == pytest.approx(3 * 4 / 20, rel=0.5)
    assert own.metric("request_queue_time_seconds_sum") == 0


def test_a_sleeping_engine_aborts_what_runs_and_refuses_what_comes(start_engine: Any) -> None:
    own = start_engine("--tokens-per-second=20")
    with own.open(streamed(max_tokens=500) | {"simulate": {"first_token_ms": 0}}, "sleeper") as stream:
        assert eventually(lambda: own.metric("num_requests_running") == 1)
        assert 0 < own.metric("kv_cache_usage_perc") < 1
        assert own.post("/sleep", {}).status == 200
        stream.sendall(b"GET /is_sleeping HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        received = read_to_end(stream)
    assert b'"code":500' in received
    assert b'{"is_sleeping":true}' in received
    assert own.chat(chat()).status == 503
    assert own.post("/wake_up", {}).status == 200
    assert own.chat(chat(max_tokens=2)).status == 200
    assert own.story("sleeper")[-1]["reason"] == "abort"
