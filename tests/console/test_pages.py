"""Every page of the console, found by its address: quick, sound, within its policy, usable by everybody."""

from collections.abc import Iterator

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoDbBlocker

from billing.checks.ledger_checks import last_check
from identity.service import service
from tests.support.browser import NARROW, NARROWEST, WIDE, Browser, open_browser
from tests.support.console import page, signed_in
from tests.support.console_world import ConsoleWorld, Route, console_routes, make_console_world

QUERIES_MAX = 10
# Of a page that nobody had opened before.
TRANSFERRED_BYTES_MAX = 200_000
# Of the window's area; what jumps moves ten times as much, and Web Vitals calls 0.1 good.
SHIFT_MAX = 0.02
PAGES = [
    route
    for route in console_routes()
    if route.is_of_tenant or route.is_of_operators or hasattr(route.view, "is_of_person")
]


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[ConsoleWorld]:
    with django_db_blocker.unblock():
        yield make_console_world()


@pytest.fixture(scope="module")
def browser(world: ConsoleWorld) -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


def is_shown(world: ConsoleWorld, route: Route) -> bool:
    """Whether GET answers with a page: some only take posts, some lead elsewhere, some are files."""
    response = signed_in(world.reader(route)).get(world.address(route))
    return response.status_code == 200 and response["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("route", PAGES, ids=lambda route: route.name)
def test_a_page_is_sound_and_takes_few_queries(world: ConsoleWorld, route: Route) -> None:
    reader = signed_in(world.reader(route))
    # What is read once a minute, whatever page it is that asks.
    service()
    last_check()
    with CaptureQueriesContext(
        connection,
    ) as queries:
        response = reader.get(world.address(route))
    assert response.status_code in (200, 302, 405), response.status_code
    if response.status_code == 200 and response["Content-Type"].startswith("text/html"):
        page(response)
        assert "no-store" in response["Cache-Control"]
        assert len(queries) <= QUERIES_MAX, "\n".join(query["sql"][:200] for query in queries)


@pytest.mark.slow
@pytest.mark.timeout(110)
@pytest.mark.parametrize("route", PAGES, ids=lambda route: route.name)
def test_a_page_stands_still_weighs_little_fits_its_screen_and_axe_finds_nothing(
    world: ConsoleWorld, browser: Browser, route: Route
) -> None:
    if not is_shown(world, route):
        pytest.skip("not a page")
    with browser.window(world.reader(route), width=WIDE, theme="light") as window:
        window.open(world.address(route))
        assert window.shift() < SHIFT_MAX
        assert window.transferred_bytes() < TRANSFERRED_BYTES_MAX
        assert window.offences() == []
        window.page.emulate_media(color_scheme="dark")
        window.page.set_viewport_size({"width": NARROW, "height": 800})
        assert window.offences() == []
        window.page.set_viewport_size({"width": NARROWEST, "height": 800})
        assert not window.is_wider_than_its_screen()
