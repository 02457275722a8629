"""Each role walks through the console with the keyboard alone, in Chromium; a picture of every page is kept."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect
from pytest_django import DjangoDbBlocker

from identity.models import Role
from tests.support.browser import Browser, open_browser
from tests.support.console_world import ConsoleWorld, make_console_world
from tests.support.people import make_person
from tests.support.pictures import keep_picture

pytestmark = [pytest.mark.slow, pytest.mark.timeout(110)]
MOST_STOPS = 80
SEEN = {
    Role.OWNER: [
        "Overview",
        "Models",
        "Keys",
        "Requests",
        "Usage",
        "Projects",
        "Billing",
        "Members",
        "Audit",
        "Settings",
    ],
    Role.DEVELOPER: ["Overview", "Models", "Keys", "Requests", "Usage", "Projects"],
    Role.FINANCE: ["Overview", "Models", "Requests", "Usage", "Projects", "Billing"],
    Role.AUDITOR: ["Overview", "Models", "Keys", "Requests", "Usage", "Projects", "Billing", "Members", "Audit"],
}


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[ConsoleWorld]:
    with django_db_blocker.unblock():
        yield make_console_world()


@pytest.fixture(scope="module")
def browser(world: ConsoleWorld) -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until the focus is there. Fails where it never comes, or cannot be seen."""
    for _ in range(MOST_STOPS):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            shadow = page.evaluate("getComputedStyle(document.activeElement).boxShadow")
            assert outline != "none" or shadow != "none", f"the focus on {selector} cannot be seen"
            return
    pytest.fail(f"Tab never reaches {selector}")


@pytest.mark.parametrize("role", SEEN, ids=lambda role: role.value)
def test_a_role_reaches_its_pages_by_keyboard_and_no_others(world: ConsoleWorld, browser: Browser, role: Role) -> None:
    person = make_person(role.value, world.cast.tenant, role)
    with browser.window(person) as window:
        page = window.open("/")
        links = page.locator("nav[aria-label=Main] a")
        assert [text.strip() for text in links.all_inner_texts()] == SEEN[role]
        for number, name in enumerate(SEEN[role], 1):
            address = links.nth(number - 1).get_attribute("href")
            tab_to(page, f'nav[aria-label=Main] a[href="{address}"]')
            page.keyboard.press("Enter")
            page.wait_for_url(f"**{address}")
            expect(page.locator("nav[aria-label=Main] a[aria-current=page]")).to_have_text(name)
            expect(page.locator("main h1")).to_be_visible()
            keep_picture(page, f"pages-{role.value}-{number:02}-{name.lower()}")


def test_the_skip_link_leads_past_the_navigation(world: ConsoleWorld, browser: Browser) -> None:
    with browser.window(world.cast.alice) as window:
        page = window.open(f"/t/{world.cast.tenant.slug}/keys")
        tab_to(page, "a.skip")
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "content"


def test_a_key_is_created_and_copied_without_a_mouse(world: ConsoleWorld, browser: Browser) -> None:
    with browser.window(world.cast.bob) as window:
        page = window.open(f"/t/{world.cast.tenant.slug}/keys")
        tab_to(page, 'main a[href$="/keys/new"]')
        page.keyboard.press("Enter")
        page.wait_for_url("**/keys/new")
        tab_to(page, "input[name=name]")
        page.keyboard.type("By keyboard")
        tab_to(page, "main form button[type=submit]")
        page.keyboard.press("Enter")
        expect(page.locator("main")).to_contain_text(re.compile(r"bfr_\w{10}_\w{40,}"))
        tab_to(page, "[data-copy]")


def test_the_search_is_opened_walked_and_left_by_keyboard(world: ConsoleWorld, browser: Browser) -> None:
    with browser.window(world.cast.alice) as window:
        page = window.open(f"/t/{world.cast.tenant.slug}/")
        page.keyboard.press("Control+k")
        page.keyboard.type("default")
        expect(page.locator("#found a").first).to_be_visible()
        page.keyboard.press("ArrowDown")
        assert page.evaluate("document.activeElement.closest('#found') !== null")
        page.keyboard.press("Escape")
        expect(page.locator("#found a")).to_have_count(0)
