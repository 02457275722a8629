"""The official `openai` package of npm, in Node.js: openai_client.mjs asks, and the bill is checked here."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.journeys import node
from tests.journeys.bill import Bill
from tests.support.installation import Installation

pytestmark = [pytest.mark.slow, pytest.mark.timeout(360)]  # the first time npm may have to download it

SCRIPT = Path(__file__).with_name("openai_client.mjs")

Run = Callable[[str], Any]


@pytest.fixture(scope="module")
def run(beffroi: Installation, keys: dict[str, str]) -> Run:
    """Runs a function of the script and gives what it found."""
    environment = {"BASE_URL": beffroi.base_url, "API_KEY": beffroi.demo["api_key"]}
    environment |= {"WEAK_KEY": keys["cannot_infer"], "POOR_KEY": keys["poor"]}
    return lambda scenario: node.run(SCRIPT, scenario, **environment)


def test_a_chat(run: Run, bill: Bill) -> None:
    told = run("chat")
    assert told["text"]
    assert told["usage"]["completion_tokens"] == 9
    bill.show_usage(told["requestId"], told["usage"])


def test_a_stream(run: Run, bill: Bill) -> None:
    told = run("stream")
    assert told["text"]
    assert told["usage"]["completion_tokens"] == 8
    bill.show_usage(told["requestId"], told["usage"], stream=True)


def test_who_leaves_a_stream_pays_what_came(run: Run, bill: Bill, beffroi: Installation) -> None:
    told = run("leave")
    record = beffroi.record(told["requestId"])
    assert told["received"] <= record["completion_tokens"] < 100
    tokens = {"prompt": record["prompt_tokens"], "completion": record["completion_tokens"]}
    bill.show(told["requestId"], **tokens, status="client_left", http_status=499)


def test_embeddings(run: Run, bill: Bill) -> None:
    told = run("embeddings")
    packed, plain = told["vectors"]
    assert packed == pytest.approx(plain, abs=1e-6)
    for request_id in told["requestIds"]:
        bill.show_usage(request_id, told["usage"])


def test_a_tool(run: Run, bill: Bill) -> None:
    told = run("tools")
    assert told["name"] == "weather"
    assert isinstance(told["town"], str)
    bill.show_usage(told["requestId"], told["usage"])


def test_models(run: Run) -> None:
    told = run("models")
    assert "gpt-oss:120b" in told["ids"]
    assert told["found"] == "gpt-oss:120b"


def test_errors_have_the_right_class(run: Run) -> None:
    caught = run("errors")
    assert all(error.pop("hasRequestId") for error in caught.values())
    assert caught == {
        "key": {"class": "AuthenticationError", "status": 401, "code": "invalid_api_key", "param": None},
        "model": {"class": "NotFoundError", "status": 404, "code": "model_not_found", "param": "model"},
        "member": {"class": "BadRequestError", "status": 400, "code": "integer_out_of_range", "param": "max_tokens"},
        "scope": {"class": "PermissionDeniedError", "status": 403, "code": "scope_missing", "param": None},
        "quota": {"class": "RateLimitError", "status": 429, "code": "insufficient_quota", "param": None},
    }
