"""/v1/embeddings, /v1/rerank and /v2/rerank: bytes that the gateway only passes on, and the usage that it bills."""

import base64
import struct
from typing import Any

import pytest

from tests.engine_contract.client import Endpoint, figures
from tests.engine_contract.engines import only_real

QUERY = "what hangs in the belfry"
DOCUMENTS = ["a bell", "a bell and a clock", "nothing at all"]


@pytest.mark.parametrize(
    ("given", "vectors"),
    [("a belfry", 1), (["a belfry", "and its bells"], 2), ([20, 21, 22], 1), ([[20, 21], [22]], 2)],
)
def test_an_input_costs_its_tokens_and_gives_a_vector_each(embedding: Endpoint, given: Any, vectors: int) -> None:
    answer = embedding.post("/v1/embeddings", {"input": given})
    assert [entry["index"] for entry in answer.json["data"]] == list(range(vectors))
    assert figures(answer.usage) == (count(embedding, given), 0)


def count(embedding: Endpoint, given: Any) -> int:
    """Tokens of an embeddings input."""
    if isinstance(given, str):
        return embedding.count(prompt=given)
    if isinstance(given[0], int):
        return len(given)
    return sum(count(embedding, entry) for entry in given)


@only_real
def test_usage_of_embeddings_says_zero_completion_tokens_and_null_details(embedding: Endpoint) -> None:
    """`completion_tokens` is there, and 0; the details are null: read them as absent."""
    usage = embedding.post("/v1/embeddings", {"input": "a belfry"}).usage
    assert usage["completion_tokens"] == 0
    assert usage["prompt_tokens_details"] is None


def test_base64_is_the_same_vector_as_little_endian_32_bit_floats(embedding: Endpoint) -> None:
    """What the official Python client asks for when it is not told."""
    floats = embedding.post("/v1/embeddings", {"input": "a belfry"}).json["data"][0]["embedding"]
    text = embedding.post("/v1/embeddings", {"input": "a belfry", "encoding_format": "base64"}).json["data"][0][
        "embedding"
    ]
    decoded = struct.unpack(f"<{len(floats)}f", base64.b64decode(text))
    assert decoded == pytest.approx(floats, abs=1e-2)


@pytest.mark.parametrize("given", ["", [], [""], [[]], None, [-1], [[20, 10**9]], {"a": 1}])
def test_an_input_that_cannot_be_is_refused(embedding: Endpoint, given: Any) -> None:
    assert embedding.post("/v1/embeddings", {"input": given}).status == 400


def test_an_input_longer_than_the_window_is_refused_not_cut(embedding: Endpoint) -> None:
    answer = embedding.post("/v1/embeddings", {"input": [20] * (embedding.window + 1)})
    assert answer.status == 400


def test_one_input_too_long_refuses_all(embedding: Endpoint) -> None:
    answer = embedding.post("/v1/embeddings", {"input": [[20], [20] * (embedding.window + 1)]})
    assert answer.status == 400


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank", "/v2/rerank"])
def test_a_reranking_orders_the_documents_and_tells_its_usage(reranker: Endpoint, path: str) -> None:
    answer = reranker.post(path, {"query": QUERY, "documents": DOCUMENTS})
    assert answer.status == 200
    scores = [result["relevance_score"] for result in answer.json["results"]]
    assert scores == sorted(scores, reverse=True)
    assert sorted(result["index"] for result in answer.json["results"]) == [0, 1, 2]
    assert set(answer.json["usage"]) == {"prompt_tokens", "total_tokens"}


def test_a_cross_encoder_reads_the_query_again_for_each_document(reranker: Endpoint) -> None:
    """So the upper bound of a reranking is documents x query + all documents, not the bytes of the request."""
    usage = reranker.post("/v1/rerank", {"query": QUERY, "documents": DOCUMENTS}).usage
    pairs = sum(reranker.count(prompt=document) for document in DOCUMENTS) + len(DOCUMENTS) * reranker.count(
        prompt=QUERY
    )
    assert figures(usage) == (pairs, 0)


def test_top_n_shortens_the_answer_but_not_the_bill(reranker: Endpoint) -> None:
    whole = reranker.post("/v1/rerank", {"query": QUERY, "documents": DOCUMENTS})
    best = reranker.post("/v1/rerank", {"query": QUERY, "documents": DOCUMENTS, "top_n": 1})
    assert len(best.json["results"]) == 1
    assert best.json["results"][0] == whole.json["results"][0]
    assert best.usage == whole.usage


def test_a_reranking_without_documents_is_refused(reranker: Endpoint) -> None:
    assert reranker.post("/v1/rerank", {"query": QUERY, "documents": []}).status == 400


def test_a_reranking_moves_the_prompt_counter_by_its_usage(reranker: Endpoint) -> None:
    before = reranker.metrics()
    usage = reranker.post("/v1/rerank", {"query": QUERY, "documents": DOCUMENTS}).usage
    after = reranker.metrics_when(
        "vllm:prompt_tokens_total", before["vllm:prompt_tokens_total"] + usage["prompt_tokens"]
    )
    assert after.tokens_since(before) == (usage["prompt_tokens"], 0)


def test_a_model_that_cannot_chat_refuses_to(embedding: Endpoint) -> None:
    """A vLLM that serves vectors has no such route at all: 404 and no `error` member."""
    assert embedding.chat(max_tokens=1).status in (400, 404)


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/rerank"])
def test_a_model_that_chats_makes_no_vectors_and_no_scores(chat: Endpoint, path: str) -> None:
    assert chat.post(path, {"input": "x", "query": "x", "documents": ["y"]}).status in (400, 404)
