"""The shapes of vLLM's errors: none of them is OpenAI's, so the gateway makes its own from the status."""

from typing import Any

import pytest

from tests.engine_contract.client import Endpoint, message
from tests.engine_contract.engines import only_real


def test_an_error_has_an_integer_code_that_is_the_status(chat: Endpoint) -> None:
    """OpenAI's `code` is a string or null."""
    answer = chat.chat(temperature=-1, max_tokens=1)
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/json"
    error = answer.json["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["code"], error["param"]) == ("BadRequestError", 400, "temperature")


@only_real
def test_a_member_of_the_wrong_type_is_400_with_the_offending_value_in_the_message(chat: Endpoint) -> None:
    """The message quotes the request: it may hold a prompt, and must not be logged or handed on."""
    answer = chat.chat(messages="a secret prompt", max_tokens=1)
    assert answer.status == 400
    assert "a secret prompt" in answer.json["error"]["message"]


def test_an_unknown_model_is_404_and_the_message_names_the_known_ones(chat: Endpoint) -> None:
    answer = chat.chat(model="nobody", max_tokens=1)
    assert answer.status == 404
    error = answer.json["error"]
    assert (error["type"], error["param"], error["code"]) == ("NotFoundError", "model", 404)
    assert "nobody" in error["message"]


@only_real
@pytest.mark.parametrize("model", [None, ""])
def test_no_model_means_the_one_that_is_served(chat: Endpoint, model: Any) -> None:
    """Absent, null and empty: a gateway must always set it."""
    assert chat.chat(model=model, max_tokens=1).json["model"] == chat.model
    assert (
        chat.post("/v1/chat/completions", b'{"messages":[{"role":"user","content":"x"}],"max_tokens":1}').status == 200
    )


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/models"])
@pytest.mark.parametrize("authorization", ["", "Bearer wrong", "Basic x"])
def test_a_wrong_key_is_401_before_the_body_is_read(chat: Endpoint, path: str, authorization: str) -> None:
    answer = chat.post(path, b"not even JSON", Authorization=authorization)
    assert (answer.status, answer.json) == (401, {"error": "Unauthorized"})


def test_an_unknown_route_and_a_wrong_method_have_no_error_member(chat: Endpoint) -> None:
    """`{"detail": ...}`: a third shape."""
    unknown = chat.post("/v1/nothing", {})
    assert (unknown.status, unknown.json) == (404, {"detail": "Not Found"})
    wrong = chat.get("/v1/chat/completions", chat.api_key)
    assert (wrong.status, wrong.json) == (405, {"detail": "Method Not Allowed"})


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"null", b"{} trailing", b'{"messages":[]}', b"\xff\xfe{"])
def test_a_body_that_is_no_request_is_400(chat: Endpoint, body: bytes) -> None:
    assert chat.post("/v1/chat/completions", body).status == 400


def test_another_content_type_is_refused(chat: Endpoint) -> None:
    body = {"messages": message("hi"), "max_tokens": 1}
    assert chat.post("/v1/chat/completions", body, Content_Type="text/plain").status == 400
    assert chat.post("/v1/chat/completions", body, Content_Type="application/json; charset=utf-8").status == 200


def test_a_refusal_of_a_stream_is_plain_json(chat: Endpoint) -> None:
    """What is wrong with a request is said before the stream begins, with a status."""
    answer = chat.stream_chat(max_tokens=-1)
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/json"


def test_a_refused_request_costs_no_token(chat: Endpoint) -> None:
    before = chat.metrics()
    chat.chat(max_tokens=-1)
    chat.chat(model="nobody")
    chat.chat(messages=message("a " * (chat.window + 10)))
    assert chat.metrics().tokens_since(before) == (0, 0)


@only_real
def test_a_picture_for_a_model_that_cannot_see_is_400(chat: Endpoint) -> None:
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    content = [{"type": "text", "text": "What is this?"}, part]
    assert chat.chat(messages=[{"role": "user", "content": content}], max_tokens=1).status == 400
