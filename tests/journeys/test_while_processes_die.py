"""kill -9 of any of our processes while clients go on: requests are answered, each is billed once, all comes back."""

import os
import signal
import threading
import time
from types import TracebackType
from typing import Self

import openai
import pytest
from openai import OpenAI

from tests.journeys.bill import Bill
from tests.journeys.test_openai_answers import CHAT, HELLO
from tests.support.installation import Installation, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]

QUICK = {"simulate": {"first_token_ms": 5, "tokens_per_second": 0}}
CLIENTS, PAUSE_S = 4, 0.25  # below the 1,000 requests a minute of the demo's tier


class Traffic:
    """Clients that ask on and on with the settings that the SDK comes with; a context manager that ends them."""

    def __init__(self, beffroi: Installation, max_retries: int) -> None:
        self.answered: list[str] = []
        self.failures: list[str] = []
        self._over = threading.Event()
        self._options = {"base_url": beffroi.base_url, "api_key": beffroi.demo["api_key"]}
        self._max_retries = max_retries
        self._threads = [threading.Thread(target=self._ask_on) for _ in range(CLIENTS)]

    def _ask_on(self) -> None:
        with OpenAI(**self._options, max_retries=self._max_retries, timeout=30) as client:
            while not self._over.is_set():
                try:
                    answer = client.chat.completions.create(model=CHAT, messages=HELLO, max_tokens=3, extra_body=QUICK)
                    self.answered.append(answer._request_id or "")
                except openai.OpenAIError as error:
                    self.failures.append(f"{type(error).__name__}: {error}")
                time.sleep(PAUSE_S)

    def wait_for_more(self, count: int = 20) -> None:
        """Until so many further answers came."""
        wanted = len(self.answered) + count
        wait_for(lambda: len(self.answered) >= wanted or self.failures, lambda: "no answers", 30)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        self.wait_for_more()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


def kill_one(beffroi: Installation, kind: str) -> None:
    """Kill a process and wait until the supervisor has another one."""
    before = beffroi.pids(kind)
    os.kill(before[0], signal.SIGKILL)
    wait_for(
        lambda: before[0] not in (now := beffroi.pids(kind)) and len(now) == len(before), beffroi.terminal.read_text
    )


# How often a client's request may have to be repeated: a dead gateway takes what it was at with it, a dead engine does
# not, as another replica answers; pages and background work have nothing to do with inference.
@pytest.mark.parametrize(("kind", "max_retries"), [("engine", 0), ("django", 0), ("worker", 0), ("gateway", 1)])
def test_requests_go_on(beffroi: Installation, kind: str, max_retries: int) -> None:
    with Traffic(beffroi, max_retries) as traffic:
        kill_one(beffroi, kind)
        traffic.wait_for_more()
    assert not traffic.failures
    answered = set(traffic.answered)
    assert len(answered) == len(traffic.answered)
    wait_for(beffroi.is_answering, beffroi.said)
    billed = {row["request_id"] for row in beffroi.records() if row["status"] == "completed"}
    assert answered <= billed


def test_a_stream_of_a_killed_engine_ends_with_an_error_and_its_bill(
    beffroi: Installation, client: OpenAI, bill: Bill
) -> None:
    slow = {"simulate": {"first_token_ms": 1, "tokens_per_second": 50}}
    received = 0
    with client.chat.completions.create(
        model=CHAT, messages=HELLO, max_tokens=1000, stream=True, extra_body=slow
    ) as stream:
        request_id = stream.response.headers["x-request-id"]
        while received < 5:
            received += bool(next(stream).choices[0].delta.content)
        for pid in beffroi.pids("engine"):
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(openai.APIError) as raised:
            list(stream)
    assert raised.value.code == "engine_failed"
    record = beffroi.record(request_id)
    assert record["completion_tokens"] >= received
    tokens = {"prompt": record["prompt_tokens"], "completion": record["completion_tokens"]}
    bill.show(request_id, **tokens, status="engine_died")
    wait_for(lambda: is_answered(client, bill), beffroi.said)


def is_answered(client: OpenAI, bill: Bill) -> bool:
    """Whether a request gets an answer; either way it is in the bill."""
    try:
        answer = client.chat.completions.create(model=CHAT, messages=HELLO, max_tokens=1)
    except openai.APIStatusError as error:
        if error.code == "no_replica":  # refused at once: the platform knows by then that none runs
            return False
        bill.show_free(error.request_id, "engine_failed", error.status_code)
        return False
    bill.show_usage(answer._request_id, answer.usage)
    return True


def test_in_the_end_all_that_was_spent_is_in_records_and_nothing_stays_reserved(beffroi: Installation) -> None:
    # What a killed gateway was at is settled by another one, once it was silent for 20 seconds.
    wait_for(lambda: not any(row["held_nano_eur"] for row in beffroi.budgets().values()), lambda: "held", 60)
    costs = [row["cost_nano_eur"] for row in beffroi.records()]
    spent = {scope: row["spent_nano_eur"] for (scope, _), row in beffroi.budgets().items()}
    assert spent["tenant"] == spent["project"] == sum(costs)
    [whole] = beffroi.get("/api/usage/summary?by=&interval=all")["results"]
    assert (whole["requests"], whole["cost_nano_eur"]) == (len(costs), sum(costs))
