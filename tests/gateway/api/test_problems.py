"""Whatever goes wrong under /api/ is a problem of RFC 9457."""

import logging
from typing import Any

import pytest
from django.test import Client

from billing.limits import standing
from gateway.api import view
from tests.gateway.api.conftest import Api, problem_of
from tests.support.ledger import HeldKey


def post(api: Api, key: HeldKey, body: bytes | str, content_type: str = "application/json") -> Any:
    return api.client.post("/api/keys", data=body, content_type=content_type, headers=key.header)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[1]",
        b'"text"',
        b"null",
        b'{"name": NaN}',
        b"\xff\xfe{}",
        b'{"name": "\xff"}',
        b"[" * 100_000,
        b'{"a": ' + b"9" * 5_000 + b"}",
    ],
)
def test_a_body_that_is_no_object_is_400(api: Api, strong_key: HeldKey, body: bytes) -> None:
    response = post(api, strong_key, body)
    assert response.status_code == 400
    assert problem_of(response)["code"] in ("parse_error", "invalid")


def test_another_content_type_is_415(api: Api, strong_key: HeldKey) -> None:
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "application/xml", "nonsense"):
        response = post(api, strong_key, "name=x", content_type)
        assert (response.status_code, problem_of(response)["code"]) == (415, "unsupported_media_type")


def test_a_body_over_the_limit_is_413(api: Api, strong_key: HeldKey) -> None:
    response = post(api, strong_key, b" " * (view.BODY_BYTES_MAX + 1))
    assert (response.status_code, problem_of(response)["code"]) == (413, "body_too_large")


def test_a_wrong_method_is_405_and_names_the_right_ones(api: Api, key: HeldKey) -> None:
    for method, address, allowed in (
        ("PUT", "/api/keys", "GET, POST"),
        ("POST", "/api/usage/records", "GET"),
        ("OPTIONS", "/api/key", "GET"),
        ("TRACE", "/api/budgets", "GET"),
        ("DELETE", "/api/schema", "GET"),
    ):
        response = api.ask(method, address, key)
        assert (response.status_code, problem_of(response)["code"]) == (405, "method_not_allowed")
        assert {name.strip() for name in response["Allow"].split(",")} >= set(allowed.split(", "))


def test_an_answer_is_json_whatever_the_client_accepts(api: Api, key: HeldKey) -> None:
    response = api.get("/api/key", key, Accept="text/html")
    assert (response.status_code, response["Content-Type"]) == (200, "application/json")


def test_a_defect_is_a_500_that_tells_nothing_and_is_logged(
    api: Api, key: HeldKey, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(standing, "_rows", lambda *_: 1 / 0)
    with caplog.at_level(logging.ERROR):
        response = api.get("/api/budgets", key)
    assert (response.status_code, problem_of(response)["code"]) == (500, "server_error")
    assert "ZeroDivisionError" not in response.content.decode()
    assert "ZeroDivisionError" in caplog.text
    assert key.text not in caplog.text


def test_what_django_itself_refuses_is_a_problem_too(api: Api) -> None:
    response = Client().get("/api/key", HTTP_HOST="attacker.example.org")
    assert (response.status_code, problem_of(response)["code"]) == (400, "bad_request")
