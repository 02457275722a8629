"""A request through the gateway shows on an open page, in Chromium, without the page being loaded again."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import expect
from pytest_django import DjangoDbBlocker

from identity.models import Role
from tests.gateway.simulated_engine.process import EngineProcess
from tests.support.browser import Browser, open_browser
from tests.support.gateway import GatewayProcess, serve
from tests.support.ledger import House, make_house
from tests.support.people import make_person


@pytest.fixture
def house(database: None) -> House:
    return make_house()


@pytest.fixture
def gateway(django_db_setup: None, house: House, tmp_path: Path) -> Iterator[GatewayProcess]:
    """A gateway with an engine behind it, and our pages on a Unix socket, as in an installation."""
    from console.asgi import application

    pages = tmp_path / "django.sock"
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(pages))
    listening.listen(64)
    server = uvicorn.Server(uvicorn.Config(application, lifespan="off", log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    engine = EngineProcess({"demo/chat": "chat"}, tmp_path / "journal", "engine-key", "--tokens-per-second=0")
    with engine, GatewayProcess(tmp_path, BEFFROI_DJANGO_SOCKET=str(pages)) as gateway:
        serve(house.model, engine)
        yield gateway
        server.should_exit = True
        thread.join(20)
    listening.close()


@pytest.mark.slow
@pytest.mark.timeout(110)
def test_a_request_appears_on_an_open_page_without_a_reload(
    house: House, gateway: GatewayProcess, django_db_blocker: DjangoDbBlocker
) -> None:
    alice, key = make_person("alice", house.tenant, Role.OWNER), house.key()
    gateway.await_key(key.text)
    with open_browser() as local:
        browser = Browser(local._chromium, gateway.url)
        with browser.window(alice) as window:
            page = window.open(f"/t/{house.tenant.slug}/requests")
            page.evaluate("window.wasNeverLoadedAgain = true")
            expect(page.locator("[data-live][data-open]")).to_be_attached(timeout=15_000)
            time.sleep(2.5)  # the watcher's first look, which everything later is compared with

            answered = gateway.chat(house.model.name, key.text)

            assert answered.status == 200
            button = page.get_by_role("link", name="1 new request")
            expect(button).to_be_visible(timeout=15_000)
            button.click()
            link = page.locator("table.requests tbody a")
            expect(link).to_have_count(1)
            assert answered.headers["x-request-id"] in str(link.get_attribute("href"))
            assert page.evaluate("window.wasNeverLoadedAgain") is True
