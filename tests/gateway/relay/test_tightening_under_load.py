"""I3: many at once at a scarce budget. What others merely hold is waited for, before anybody is cut short or refused.

An ordinary request here has an answer of 200 tokens under a default limit of 1,024: its hold is five times its cost.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from billing.limits.budgets import set_budget
from billing.models import BudgetPeriod, Hold
from tests.gateway.relay.bills import assert_exact, await_model, budget_ids, key_with_budget, only_record_of, records_of
from tests.gateway.relay.conftest import Scene
from tests.gateway.simulated_engine.process import Answered, EngineProcess, eventually, read_until
from tests.support.gateway import GatewayProcess, error_of, running_gateway
from tests.support.gateway import serve as register
from tests.support.ledger import HeldKey, make_house
from tests.support.people import TESTS

ORDINARY = {"first_token_ms": 400, "output_tokens": 200}
INPUT_PRICE, OUTPUT_PRICE = 150, 600  # nano-EUR a token
COST = 100 * INPUT_PRICE + 200 * OUTPUT_PRICE  # of an ordinary request, and enough to hold one whose limit is 200
DEFAULT_HOLD = 1_024 * OUTPUT_PRICE


@pytest.fixture(scope="module")
def hurried(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway that waits for money for a second, and with two requests of a tenant at most."""
    limits = "money_wait_s=1,waiting_for_money_of_tenant=2,tokenize_s=0.5"
    with running_gateway(tmp_path_factory.mktemp("hurried"), limits) as gateway:
        yield gateway


def at_once(scene: Scene, key: HeldKey, count: int, **members: Any) -> list[Answered]:
    """So many chat requests at once."""
    answers: list[Answered] = []

    def ask() -> None:
        answers.append(scene.gateway.chat(scene.model, key.text, **members))

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(answers) == count
    return answers


@pytest.mark.parametrize("headroom", [11, 14, 40])
def test_I3_ten_ordinary_requests_at_once_are_served_whole_where_their_costs_fit(scene: Scene, headroom: int) -> None:
    """The holds of all at their default limit would be 51 times the cost of one."""
    key = key_with_budget(scene.house, scene.gateway, headroom * COST)
    answers = at_once(scene, key, 10, simulate=ORDINARY)
    assert [answered.status for answered in answers] == [200] * 10
    assert {answered.json["choices"][0]["finish_reason"] for answered in answers} == {"stop"}
    given = {int(answered.headers.get("x-beffroi-max-tokens", 1_024)) for answered in answers}
    assert min(given) >= 256
    assert {record.output_quantity for record in records_of(key.row)} == {200}
    assert_exact(scene.house, key.row)


def test_I3_a_clients_own_limit_is_waited_for_and_not_lowered(scene: Scene) -> None:
    key = key_with_budget(scene.house, scene.gateway, 10 * COST)
    answers = at_once(scene, key, 6, max_tokens=600, simulate=ORDINARY)
    assert [answered.status for answered in answers] == [200] * 6
    assert not any("x-beffroi-max-tokens" in answered.headers for answered in answers)
    assert_exact(scene.house, key.row)


def test_I3_money_that_stays_held_is_waited_for_only_so_long(scene: Scene, hurried: GatewayProcess) -> None:
    """The refusal says that it may come free: unlike money that is spent, a second try can help."""
    key = key_with_budget(scene.house, hurried, COST)
    with long_stream(scene, hurried, key):
        began = time.monotonic()
        refused = hurried.chat(scene.model, key.text, max_tokens=100)
        assert (refused.status, error_of(refused)["code"]) == (429, "insufficient_quota")
        assert 0.9 < time.monotonic() - began < 10
        assert int(refused.headers["retry-after"]) >= 1
        assert "x-should-retry" not in refused.headers
    assert eventually(lambda: not Hold.objects.filter(key_id=key.row.pk).exists(), 5)
    assert hurried.chat(scene.model, key.text, max_tokens=100).status == 200
    assert_exact(scene.house, key.row)


def test_I3_nobody_waits_for_money_that_is_spent(scene: Scene) -> None:
    key = key_with_budget(scene.house, scene.gateway, COST)
    assert scene.gateway.chat(scene.model, key.text, max_tokens=200, simulate={"output_tokens": 200}).status == 200
    began = time.monotonic()
    refused = scene.gateway.chat(scene.model, key.text, max_tokens=100)
    assert (refused.status, refused.headers["x-should-retry"]) == (429, "false")
    assert time.monotonic() - began < 5


def test_I8_only_so_many_of_a_tenant_wait_for_money(scene: Scene, hurried: GatewayProcess) -> None:
    key = key_with_budget(scene.house, hurried, COST)
    waited: list[float] = []

    def ask() -> None:
        began = time.monotonic()
        assert hurried.chat(scene.model, key.text, max_tokens=100).status == 429
        waited.append(time.monotonic() - began)

    with long_stream(scene, hurried, key):
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert len(waited) == 8
    assert len([seconds for seconds in waited if seconds > 0.95]) == 2


@contextmanager
def long_stream(scene: Scene, gateway: GatewayProcess, key: HeldKey) -> Iterator[None]:
    """A stream of 40 seconds at the most, which holds what an ordinary request costs."""
    slow = {"tokens_per_second": 5, "output_tokens": 200}
    with gateway.open_stream(scene.model, key.text, max_tokens=200, simulate=slow) as stream:
        read_until(stream, lambda received: b'"content"' in received)
        yield


def test_I3_who_leaves_while_waiting_for_money_costs_nothing(scene: Scene) -> None:
    key = key_with_budget(scene.house, scene.gateway, COST)
    slow = {"tokens_per_second": 200, "output_tokens": 200}
    with scene.gateway.open_stream(scene.model, key.text, max_tokens=200, simulate=slow) as first:
        read_until(first, lambda received: b'"content"' in received)
        with scene.gateway.open_stream(scene.model, key.text, max_tokens=150):
            time.sleep(0.2)
        read_until(first, lambda received: b"[DONE]" in received)
    assert eventually(lambda: not Hold.objects.filter(key_id=key.row.pk).exists(), 5)
    assert sum(record.cost_nano_eur > 0 for record in records_of(key.row)) == 1
    assert_exact(scene.house, key.row)


def test_I3_several_answers_to_one_prompt_are_lowered_together(scene: Scene) -> None:
    key = key_with_budget(scene.house, scene.gateway, DEFAULT_HOLD)
    answered = scene.gateway.chat(scene.model, key.text, n=3, simulate={"output_tokens": 100})
    assert answered.status == 200
    given = int(answered.headers["x-beffroi-max-tokens"])
    assert 256 <= given <= 1_024 // 3
    assert answered.json["usage"]["completion_tokens"] == 300
    assert_exact(scene.house, key.row)


TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}]


def test_I3_a_request_with_tools_is_counted_before_its_window_is_held(scene: Scene) -> None:
    """A schema may be long in the model's own words, so that its bound is the window; an engine can count it."""
    key = key_with_budget(scene.house, scene.gateway, 2_000 * INPUT_PRICE + 100 * OUTPUT_PRICE)
    answered = scene.gateway.chat(scene.model, key.text, tools=TOOLS, max_tokens=100, simulate={"output_tokens": 20})
    assert answered.status == 200
    assert only_record_of(key.row).input_quantity < 2_000
    assert_exact(scene.house, key.row)


# ---- an engine that cannot count


class _Deaf(BaseHTTPRequestHandler):
    """Hands on what it gets, but for /tokenize."""

    protocol_version = "HTTP/1.1"
    behind: EngineProcess
    counting: str

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/tokenize" and self.counting == "slow":
            time.sleep(3)
        if self.path == "/tokenize":
            status, answer = 500, b"{}"
        else:
            connection = HTTPConnection("127.0.0.1", self.behind.port, timeout=30)
            connection.request("POST", self.path, body, dict(self.headers))
            response = connection.getresponse()
            status, answer = response.status, response.read()
            connection.close()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        with suppress(BrokenPipeError):  # whoever asked has given up
            self.wfile.write(answer)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing."""


@dataclass
class DeafEngine:
    """Enough of an EngineProcess to be registered."""

    url: str
    key: str


@pytest.fixture(params=["down", "slow"])
def deaf(request: pytest.FixtureRequest, database: None, scene: Scene, hurried: GatewayProcess) -> Iterator[Scene]:
    """A house whose engine fails to count, at once or after too long."""
    handler = type("Deaf", (_Deaf,), {"behind": scene.engine, "counting": request.param})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        house = make_house()
        engine: Any = DeafEngine(f"http://127.0.0.1:{server.server_port}", scene.engine.key)
        register(house.model, engine)
        await_model(hurried, house)
        yield Scene(house, hurried, scene.engine)
        server.shutdown()


def test_I3_where_no_engine_counts_the_default_limit_is_lowered(deaf: Scene) -> None:
    key = key_with_budget(deaf.house, deaf.gateway, DEFAULT_HOLD // 2)
    began = time.monotonic()
    answered = deaf.gateway.chat(deaf.model, key.text, "a prompt of some words", simulate={"output_tokens": 20})
    assert answered.status == 200
    assert 16 <= int(answered.headers["x-beffroi-max-tokens"]) < 1_024
    assert time.monotonic() - began < 2.5
    assert_exact(deaf.house, key.row)


def test_I3_where_no_engine_counts_what_cannot_be_lowered_is_refused_at_once(deaf: Scene) -> None:
    """Its bytes are 1,600 tokens at the most, as far as anybody knows."""
    key = key_with_budget(deaf.house, deaf.gateway, 1_600 * INPUT_PRICE)
    text = "extraordinarily " * 100
    refused = deaf.gateway.chat(deaf.model, key.text, text, max_tokens=10)
    assert (refused.status, error_of(refused)["code"], refused.headers["x-should-retry"]) == (
        429, "insufficient_quota", "false",
    )  # fmt: skip
    assert records_of(key.row) == []
    period = BudgetPeriod.objects.get(budget_id__in=budget_ids(key.row))
    assert (period.spent_nano_eur, period.held_nano_eur) == (0, 0)


def test_I3_tools_that_nobody_counts_hold_the_window_or_are_refused(deaf: Scene) -> None:
    window = 8_192 * OUTPUT_PRICE
    rich = key_with_budget(deaf.house, deaf.gateway, window + 1)
    poor = key_with_budget(deaf.house, deaf.gateway, 2_000 * INPUT_PRICE)
    assert deaf.gateway.chat(deaf.model, rich.text, tools=TOOLS, max_tokens=10).status == 200
    assert deaf.gateway.chat(deaf.model, poor.text, tools=TOOLS, max_tokens=10).status == 429


def test_I3_the_budget_that_is_short_says_whether_a_clients_limit_is_lowered(scene: Scene) -> None:
    """Not another one on the way, which has plenty and allows it."""
    key = scene.key()
    set_budget(on=key.row, period="month", limit_nano_eur=10**15, may_lower_output=True, actor=TESTS)
    set_budget(on=key.row, period="day", limit_nano_eur=DEFAULT_HOLD // 2, actor=TESTS)
    assert scene.gateway.chat(scene.model, key.text, max_tokens=1_000).status == 429
    set_budget(on=key.row, period="day", limit_nano_eur=DEFAULT_HOLD // 2, may_lower_output=True, actor=TESTS)
    answered = scene.gateway.chat(scene.model, key.text, max_tokens=1_000, simulate={"output_tokens": 20})
    assert answered.status == 200
    assert 250 <= int(answered.headers["x-beffroi-max-tokens"]) < 1_000
