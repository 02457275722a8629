"""What `make up` prints works when it is pasted as it stands."""

import json
import subprocess
import sys
import urllib.request
from http.cookiejar import CookieJar
from itertools import dropwhile, takewhile

import pytest

from tests.journeys.bill import Bill
from tests.support.installation import Installation

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]


def printed(beffroi: Installation, heading: str) -> str:
    """The lines below a heading of the terminal's text, up to the next empty one."""
    lines = beffroi.terminal.read_text().splitlines()
    below = list(dropwhile(lambda line: not line.startswith(heading), lines))[1:]
    assert below, heading
    return "\n".join(takewhile(bool, below))


def show_newest(beffroi: Installation, bill: Bill) -> None:
    """The record of what was asked last: whoever only prints an answer sees no tokens."""
    record = beffroi.get("/api/usage/records?limit=1")["results"][0]
    assert record["stream"]
    bill.show(record["request_id"], prompt=record["prompt_tokens"], completion=record["completion_tokens"])


def paste(*command: str) -> str:
    """What a shell or an interpreter says to what was pasted."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_curl_line(beffroi: Installation, bill: Bill) -> None:
    lines = [line for line in paste("bash", "-c", printed(beffroi, "From the command line")).splitlines() if line]
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
    tokens = sum(bool(chunk["choices"][0]["delta"].get("content")) for chunk in chunks)
    record = beffroi.record(chunks[0]["id"].removeprefix("chatcmpl-"))
    assert record["completion_tokens"] >= tokens > 1  # the token that ends an answer has no text
    assert record["finish_reason"] == "stop"
    bill.show(record["request_id"], prompt=record["prompt_tokens"], completion=record["completion_tokens"])


def test_the_python_snippet(beffroi: Installation, bill: Bill) -> None:
    said = paste(sys.executable, "-c", printed(beffroi, "From Python"))
    assert len(said.split()) > 10
    show_newest(beffroi, bill)


def test_the_python_snippet_typed_into_an_interpreter(beffroi: Installation, bill: Bill) -> None:
    command = [sys.executable, "-i", "-q"]
    text = printed(beffroi, "From Python") + "\n\n"
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60)
    assert "Error" not in done.stderr
    assert len(done.stdout.split()) > 10
    show_newest(beffroi, bill)


def test_the_line_that_tells_the_cost(beffroi: Installation) -> None:
    told = json.loads(paste("bash", "-c", printed(beffroi, "What it cost")))
    assert told["results"] == beffroi.records()[:1]


@pytest.mark.parametrize("role", ["owner", "finance", "developer", "operator"])
def test_each_sign_in_link_opens_a_page(beffroi: Installation, role: str) -> None:
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    url = beffroi.demo["login_urls"][role]
    assert url in printed(beffroi, "Sign in")
    with browser.open(url, timeout=30) as page:
        assert page.status == 200
        assert page.url.startswith(beffroi.demo["console_url"])
        text = page.read().decode()
    assert ("Support sessions" if role == "operator" else "Ville de Valbourg") in text
