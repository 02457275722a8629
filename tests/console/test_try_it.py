"""Try it: a person talks to a model on its page, in Chromium, through a real gateway, on a project's budget."""

import json
import logging
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Page, expect
from psycopg import sql
from pytest_django import DjangoDbBlocker, Settings

from billing.limits.budgets import set_budget
from billing.models import UsageRecord
from console.try_it import Conversation
from identity.models import Person, Role
from identity.projects import archive_project
from tests.gateway.simulated_engine.process import EngineProcess, eventually
from tests.support.browser import Browser, open_browser
from tests.support.console import signed_in
from tests.support.gateway import GatewayProcess, running_gateway, serve
from tests.support.ledger import House, make_house
from tests.support.people import TESTS, make_person

pytestmark = [pytest.mark.slow, pytest.mark.timeout(110)]
TOKENS_A_SECOND = 40


@dataclass
class Stage:
    """A house whose model a calm engine serves behind a gateway, and its owner."""

    house: House
    alice: Person
    engine: EngineProcess
    gateway: GatewayProcess

    @property
    def address(self) -> str:
        return f"/t/{self.house.tenant.slug}/models/{self.house.model.name}"

    def records(self) -> list[UsageRecord]:
        return list(UsageRecord.objects.filter(tenant_id=self.house.tenant.pk).order_by("request_id"))


@pytest.fixture(scope="module")
def both(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[EngineProcess, GatewayProcess]]:
    folder = tmp_path_factory.mktemp("try-it")
    flags = (f"--tokens-per-second={TOKENS_A_SECOND}", "--first-token-ms=30", "--max-model-len=8192")
    with (
        EngineProcess({"demo/chat": "chat"}, folder / "journal", "engine-key", *flags) as engine,
        running_gateway(folder) as gateway,
    ):
        yield engine, gateway


@pytest.fixture(scope="module")
def browser(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Browser]:
    with django_db_blocker.unblock(), open_browser() as browser:
        yield browser


@pytest.fixture
def stage(database: None, both: tuple[EngineProcess, GatewayProcess], settings: Settings) -> Stage:
    engine, gateway = both
    house = make_house()
    serve(house.model, engine)
    settings.GATEWAY_URL = gateway.url
    assert eventually(lambda: house.model.name in models_of(gateway, house), 10)
    return Stage(house, make_person("alice", house.tenant, Role.OWNER), engine, gateway)


def models_of(gateway: GatewayProcess, house: House) -> str:
    return gateway.get("/v1/models", house.key().text).body.decode()


def ask(page: Page, text: str) -> None:
    page.fill("#try-text", text)
    page.keyboard.press("Enter")


def test_T1_an_answer_streams_and_shows_the_ledgers_price_and_its_request(stage: Stage, browser: Browser) -> None:
    with browser.window(stage.alice) as window:
        page = window.open(stage.address)
        ask(page, "Tell me of the bell tower.")
        page.wait_for_selector(".try-model .try-body:not(.is-waiting)")
        first = page.inner_text(".try-model .try-body")
        page.wait_for_timeout(400)
        assert len(page.inner_text(".try-model .try-body")) > len(first) > 0  # it grows while one looks
        expect(page.locator(".try-figures strong")).to_be_visible(timeout=20_000)
        shown = page.get_attribute(".try-figures strong", "data-nano-eur")
        link = page.get_attribute(".try-figures a", "href")
        assert "curl" in (page.locator(".try-same pre").first.text_content() or "")
        assert window.offences() == []
    [record] = stage.records()
    assert (record.cost_nano_eur, record.status) == (int(shown or 0), "completed")
    assert record.cost_nano_eur > 0
    assert link == f"/t/{stage.house.tenant.slug}/requests/{record.request_id}"
    assert (record.project_id, record.owner) == (stage.house.project.pk, stage.alice.pseudonym)


def test_T1_a_second_message_carries_the_conversation_and_the_settings(stage: Stage, browser: Browser) -> None:
    with browser.window(stage.alice) as window:
        page = window.open(stage.address)
        page.click(".try-ask summary")
        page.fill("#try-system", "Answer in one word.")
        page.fill("#try-length", "5")
        for turn in (1, 2):
            ask(page, "Hello")
            expect(page.locator(".try-figures strong")).to_have_count(turn, timeout=20_000)
        assert page.locator(".try-note").count() == 2  # each says that its length was reached
        call = page.locator(".try-same").nth(1).locator("pre").first
        sent = json.loads((call.text_content() or "").partition("-d '")[2].removesuffix("'"))
    assert [message["role"] for message in sent["messages"]] == ["system", "user", "assistant", "user"]
    first, second = stage.records()
    assert (first.max_tokens_asked, first.output_quantity) == (5, 5)
    assert second.input_quantity > first.input_quantity


def test_I2_stopping_frees_the_engine_within_a_second_and_charges_what_was_written(
    stage: Stage, browser: Browser
) -> None:
    with browser.window(stage.alice) as window:
        page = window.open(stage.address)
        ask(page, "Go on for a long time.")
        page.wait_for_selector(".try-model .try-body:not(.is-waiting)")
        assert stage.engine.metric("num_requests_running") == 1
        began = time.monotonic()
        page.keyboard.press("Enter")  # the stop button has the focus
        assert eventually(lambda: stage.engine.metric("num_requests_running") == 0, 1)
        assert time.monotonic() - began < 1
        expect(page.locator(".try-figures strong")).to_be_visible(timeout=10_000)
        shown = int(page.get_attribute(".try-figures strong", "data-nano-eur") or 0)
        written = page.inner_text(".try-model .try-body")
    [record] = stage.records()
    assert (record.status, record.cost_nano_eur) == ("client_left", shown)
    assert record.output_quantity > 0
    assert written


def test_I2_leaving_the_page_frees_the_engine_too(stage: Stage, browser: Browser) -> None:
    with browser.window(stage.alice) as window:
        page = window.open(stage.address)
        ask(page, "Go on for a long time.")
        page.wait_for_selector(".try-model .try-body:not(.is-waiting)")
        window.open(f"/t/{stage.house.tenant.slug}/models")
        assert eventually(lambda: stage.engine.metric("num_requests_running") == 0, 2)


def test_a_budget_that_is_used_up_is_told_in_plain_words_and_the_question_comes_back(
    stage: Stage, browser: Browser
) -> None:
    set_budget(on=stage.house.project, period="month", limit_nano_eur=1, actor=TESTS)
    with browser.window(stage.alice) as window:
        page = window.open(stage.address)
        ask(page, "Hello")
        expect(page.locator(".try-error")).to_contain_text("The budget is used up", timeout=30_000)
        assert page.get_attribute(".try-error a", "href") == (
            f"/t/{stage.house.tenant.slug}/projects/{stage.house.project.pk}"
        )
        assert page.input_value("#try-text") == "Hello"
        assert window.offences() == []
    assert stage.records() == []


def test_what_a_model_says_is_text_and_never_html(stage: Stage, browser: Browser) -> None:
    with browser.window(stage.alice) as window:
        page = window.open(stage.address)
        # The engine is told by the request what to say; the page cannot ask for that, so its own request is changed.
        evil = "<img src=x onerror=alert(1)><b>bold</b>"
        say = {"simulate": {"chunk_text": evil, "first_token_ms": 0, "tokens_per_second": 0}, "max_tokens": 2}
        with rewritten(say):
            ask(page, "Hello")
            expect(page.locator(".try-figures strong")).to_be_visible(timeout=20_000)
        assert evil in page.inner_text(".try-model .try-body")
        assert page.locator(".try-model .try-body *").count() == 0


@contextmanager
def rewritten(members: dict[str, Any]) -> Iterator[None]:
    """The console's requests to the gateway get these members, too."""
    real = Conversation.request
    with pytest.MonkeyPatch.context() as patch:
        changed = lambda self, name: json.dumps(json.loads(real(self, name)) | members).encode()  # noqa: E731
        patch.setattr(Conversation, "request", changed)
        yield


def test_I5_nothing_of_a_conversation_is_in_a_table_or_a_log(
    stage: Stage, browser: Browser, owner_database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    word = f"Kanarienvogel{uuid.uuid4().hex}"
    caplog.set_level(logging.DEBUG)
    with browser.window(stage.alice) as window:
        page = window.open(stage.address)
        page.click(".try-ask summary")
        page.fill("#try-system", f"system {word}")
        ask(page, f"user {word}")
        expect(page.locator(".try-figures strong")).to_be_visible(timeout=20_000)
        page.reload()
        assert word not in page.content()
    client = signed_in(stage.alice)
    for spoilt in (f'{{"messages": "{word}"}}', f"{word}", json.dumps({"project": 1, "messages": [{word: word}]})):
        assert client.post(f"{stage.address}/try", spoilt, content_type="application/json").status_code in (400, 404)
    assert tables_with(owner_database_url, word) == []
    assert word not in caplog.text
    assert word not in stage.gateway.log.read_text()


def tables_with(url: str, word: str) -> list[str]:
    """The tables of which a row has the word."""
    with psycopg.connect(url) as connection:
        names = connection.execute("select tablename from pg_tables where schemaname = 'public'").fetchall()
        query = sql.SQL("select from {} t where t::text like {} limit 1")
        return [
            name for (name,) in names
            if connection.execute(query.format(sql.Identifier(name), sql.Literal(f"%{word}%"))).fetchone()
        ]  # fmt: skip


def test_the_page_says_so_without_javascript(stage: Stage, browser: Browser) -> None:
    with browser.window(stage.alice, java_script_enabled=False) as window:
        page = window.open(stage.address)
        assert "needs JavaScript" in page.inner_text(".try")
        assert not page.is_visible("#try-form")


def test_I6_nobody_talks_on_what_is_not_theirs(stage: Stage) -> None:
    others = make_house()
    finance = make_person("fatima", stage.house.tenant, Role.FINANCE)
    archived = stage.house.project_called("Archived")
    archive_project(archived, actor=TESTS)

    def status(person: Person, project_id: int) -> int:
        body = json.dumps({"project": project_id, "messages": [{"role": "user", "content": "Hi"}]})
        return int(signed_in(person).post(f"{stage.address}/try", body, content_type="application/json").status_code)

    assert status(stage.alice, others.project.pk) == 404
    assert status(make_person("charlie", others.tenant, Role.OWNER), others.project.pk) == 404
    assert status(finance, stage.house.project.pk) == 403
    assert status(stage.alice, archived.pk) == 409


def test_I6_a_bill_is_shown_to_whom_the_answer_was_for(stage: Stage) -> None:
    key = stage.house.key(owner=stage.alice)
    stage.gateway.await_key(key.text)
    answered = stage.gateway.chat(stage.house.model.name, key.text, max_tokens=2)
    address = f"{stage.address}/try/{answered.headers['x-request-id']}"
    bob = make_person("bob", stage.house.tenant, Role.DEVELOPER)
    assert signed_in(stage.alice).get(address).json()["cost_nano_eur"] == stage.records()[0].cost_nano_eur
    assert signed_in(bob).get(address).json() == {"is_settled": False}
    assert signed_in(make_person("charlie", make_house().tenant)).get(address).status_code == 404
