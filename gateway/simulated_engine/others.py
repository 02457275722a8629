"""The endpoints that generate no text: embeddings, rerank, transcription, tokens, and the state of the engine."""

import base64
import math
import re
import struct
import zlib
from email.message import Message
from typing import Any

import msgspec

from gateway.simulated_engine import shapes, text, tokenizer
from gateway.simulated_engine.checks import check_messages, check_window
from gateway.simulated_engine.config import Config, Kind
from gateway.simulated_engine.engine import VERSION, Engine
from gateway.simulated_engine.faults import Faults
from gateway.simulated_engine.members import flag, number
from gateway.simulated_engine.requests import count_cached, make_work, model_of, prompts_of
from gateway.simulated_engine.work import Refusal, Work

JSON = b"application/json"
MAX_DIMENSIONS = 8_192
BYTES_A_SECOND = 16_000
"""Length of audio that is no WAV, guessed from its size."""


def vector(words: str, dimensions: int) -> list[float]:
    """A unit vector of the text: each of its tokens, hashed, moves four coordinates, so that like texts are near each
    other."""
    found = [0.0] * dimensions
    for piece in tokenizer.pieces(words.lower()) or [""]:
        seed = zlib.crc32(piece.strip().encode("utf-8", "replace"))
        for turn in range(4):
            seed = (seed * 1_103_515_245 + 12_345 + turn) & 0x7FFFFFFF
            found[(seed >> 8) % dimensions] += 1.0 if seed & 0x80 else -1.0
    length = math.sqrt(math.fsum(value * value for value in found))
    if not length:
        return [1.0] + [0.0] * (dimensions - 1)
    return [value / length for value in found]


def embeddings(body: dict[str, Any], request_id: str | None, faults: Faults, config: Config) -> Work:
    """`POST /v1/embeddings`.  Raises Refusal."""
    work = make_work("/v1/embeddings", "embd", body, request_id, faults, config)
    work.model = model_of(body, Kind.EMBEDDING, config)
    inputs = prompts_of(body.get("input"), "input")
    work.prompt_tokens = [count for _, count in inputs]
    for tokens in work.prompt_tokens:
        check_window(tokens, config)
    count_cached(work, config)
    dimensions = number(body, "dimensions", config.embedding_dimensions, 1)
    if dimensions > MAX_DIMENSIONS:
        raise Refusal(400, f"dimensions must be at most {MAX_DIMENSIONS}.", param="dimensions")
    encoding = body.get("encoding_format") or "float"
    if encoding not in ("float", "base64"):
        raise Refusal(400, "encoding_format: Input should be 'float' or 'base64'", param="encoding_format")

    def render(work: Work) -> bytes:
        vectors = [vector(words, dimensions) for words, _ in inputs]
        data = [
            {"index": index, "object": "embedding", "embedding": found if encoding == "float" else _packed(found)}
            for index, found in enumerate(vectors)
        ]
        head = {"id": work.id, "object": "list", "created": work.created, "model": work.model, "data": data}
        return msgspec.json.encode(head)[:-1] + shapes.told(work) + b"}"

    work.render = render
    return work


def _packed(values: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()


def rerank(body: dict[str, Any], request_id: str | None, faults: Faults, config: Config) -> Work:
    """`POST /rerank`: the score of a document is the share of the query's words that it has.  Raises Refusal."""
    work = make_work("/rerank", "rerank", body, request_id, faults, config)
    work.model = model_of(body, Kind.RERANK, config)
    query, given = body.get("query"), body.get("documents")
    if not isinstance(query, str) or not isinstance(given, list) or not given:
        raise Refusal(400, "query: a string, and documents: a non-empty list, are required", param="documents")
    documents = [_document(item) for item in given]
    asked = tokenizer.count(query)
    work.prompt_tokens = [asked + tokenizer.count(document) for document in documents]
    for tokens in work.prompt_tokens:
        check_window(tokens, config)
    count_cached(work, config)
    work.generates = False
    top = number(body, "top_n", 0, 0) or len(documents)

    def render(work: Work) -> bytes:
        scored = sorted(
            ((_likeness(query, document), -index) for index, document in enumerate(documents)), reverse=True
        )
        results = [
            {"index": -at, "document": {"text": documents[-at], "multi_modal": None}, "relevance_score": score}
            for score, at in scored[:top]
        ]
        return (
            msgspec.json.encode({"id": work.id, "model": work.model, "results": results})[:-1]
            + shapes.told(work)
            + b"}"
        )

    work.render = render
    return work


def _document(given: object) -> str:
    found = given.get("text") if isinstance(given, dict) else given
    if not isinstance(found, str):
        raise Refusal(400, "documents: each must be a string or an object with a text", param="documents")
    return found


def _likeness(query: str, document: str) -> float:
    asked = set(re.findall(r"\w+", query.lower()))
    said = set(re.findall(r"\w+", document.lower()))
    return round(0.05 + 0.9 * len(asked & said) / max(1, len(asked)), 6)


def form(body: bytes, content_type: str) -> dict[str, Any]:
    """The fields of a multipart form; files as bytes, the rest as text.  Raises Refusal."""
    header = Message()
    header["content-type"] = content_type
    boundary = header.get_param("boundary")
    if header.get_content_type() != "multipart/form-data" or not isinstance(boundary, str):
        raise Refusal(400, "body: multipart/form-data with a boundary is required")
    fields: dict[str, Any] = {}
    for part in body.split(b"--" + boundary.encode("latin-1"))[1:-1]:
        head, separator, content = part.partition(b"\r\n\r\n")
        name = re.search(rb'[; ]name="([^"]*)"', head)
        if not separator or not name:
            raise Refusal(400, "body: a part of the form has no name")
        content = content.removesuffix(b"\r\n")
        is_file = b"filename=" in head
        fields[name[1].decode("utf-8", "replace")] = content if is_file else content.decode("utf-8", "replace")
    return fields


def transcription(body: dict[str, Any], request_id: str | None, faults: Faults, config: Config) -> Work:
    """`POST /v1/audio/transcriptions`, formats json, verbose_json and text.  Raises Refusal."""
    work = make_work("/v1/audio/transcriptions", "trsc", body, request_id, faults, config)
    work.model = model_of(body, Kind.TRANSCRIPTION, config)
    audio = body.get("file")
    if not isinstance(audio, bytes):
        raise Refusal(400, "file: Field required", param="file")
    wanted = body.get("response_format", "json")
    if wanted not in ("json", "verbose_json", "text"):
        raise Refusal(400, "Currently do not support this response_format", param="response_format")
    seconds = duration(audio)
    language = body.get("language") if body.get("language") in text.OPENINGS else "en"
    script = text.prose(str(language), 0)
    said = script.text(script.natural_length(max(16, int(seconds * 4))))

    def render(work: Work) -> bytes:
        if wanted == "text":
            return said.encode()
        answer: dict[str, Any] = {"text": said}
        if wanted == "verbose_json":
            segment = {"id": 0, "start": 0.0, "end": seconds, "text": said, "tokens": []}
            answer |= {"language": language, "duration": str(seconds), "segments": [segment], "words": None}
        if faults.no_usage not in (True, "final"):
            answer["usage"] = {"type": "duration", "seconds": 0 if faults.zero_usage else math.ceil(seconds)}
        return msgspec.json.encode(answer)

    work.render = render
    work.content_type = b"text/plain; charset=utf-8" if wanted == "text" else JSON
    return work


def duration(audio: bytes) -> float:
    """Seconds of audio: exact for a WAV file, guessed from the size of anything else."""
    data = audio.find(b"data", 12)
    if audio[:4] != b"RIFF" or audio[8:12] != b"WAVE" or data < 0 or len(audio) < 44:
        return len(audio) / BYTES_A_SECOND
    rate = int.from_bytes(audio[28:32], "little")
    return (len(audio) - data - 8) / rate if rate else 0.0


def tokenize(body: dict[str, Any], config: Config) -> bytes:
    """`POST /tokenize` with `prompt` or `messages`.  Raises Refusal."""
    if body.get("model") is not None and body["model"] not in config.models:
        raise Refusal(404, f"The model `{body['model']}` does not exist.", "NotFoundError", "model")
    if "messages" in body:
        check_messages(body)
        found = tokenizer.chat_pieces(body)
    elif isinstance(body.get("prompt"), str):
        found = tokenizer.pieces(body["prompt"])
    else:
        raise Refusal(400, "prompt: Field required", param="prompt")
    answer = {
        "count": len(found),
        "max_model_len": config.max_model_len,
        "tokens": [tokenizer.token_id(piece) for piece in found],
        "token_strs": found if flag(body, "return_token_strs") else None,
    }
    return msgspec.json.encode(answer)


def detokenize(body: dict[str, Any], config: Config) -> bytes:
    """`POST /detokenize` with `tokens`.  Raises Refusal."""
    tokens = body.get("tokens")
    if not isinstance(tokens, list) or not all(isinstance(token, int) for token in tokens):
        raise Refusal(400, "tokens: Input should be a list of integers", param="tokens")
    return msgspec.json.encode({"prompt": tokenizer.detokenize(tokens)})


def models(engine: Engine) -> tuple[bytes, bytes]:
    """`GET /v1/models`."""
    cards: list[dict[str, object]] = [
        {
            "id": model,
            "object": "model",
            "created": engine.created,
            "owned_by": "beffroi-simulated",
            "root": model,
            "parent": None,
            "max_model_len": engine.config.max_model_len,
            "permission": [],
        }
        for model in engine.config.models
    ]
    return msgspec.json.encode({"object": "list", "data": cards}), JSON


def health(engine: Engine) -> tuple[bytes, bytes]:
    """`GET /health`: 200 with nothing in it, as vLLM's."""
    return b"", b"text/plain"


def version(engine: Engine) -> tuple[bytes, bytes]:
    """`GET /version`."""
    return msgspec.json.encode({"version": VERSION}), JSON


def metrics(engine: Engine) -> tuple[bytes, bytes]:
    """`GET /metrics`."""
    return engine.metrics().encode(), b"text/plain; version=0.0.4; charset=utf-8"


def sleep(engine: Engine) -> tuple[bytes, bytes]:
    """`POST /sleep`: what runs is aborted (vLLM's default mode), what comes is refused."""
    engine.sleeping = True
    engine.interrupt_all()
    return b"", b"text/plain"


def wake_up(engine: Engine) -> tuple[bytes, bytes]:
    """`POST /wake_up`."""
    engine.sleeping = False
    return b"", b"text/plain"


def is_sleeping(engine: Engine) -> tuple[bytes, bytes]:
    """`GET /is_sleeping`."""
    return msgspec.json.encode({"is_sleeping": engine.sleeping}), JSON
