"""Each role does its work in the console of a running installation, in Chromium, and keeps pictures of it."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from openai import AuthenticationError, OpenAI
from playwright.sync_api import Page, expect

from console.supervisor.processes import ROOT
from tests.support.browser import Browser, open_browser_at
from tests.support.installation import GATEWAYS, Installation, wait_for
from tests.support.pictures import keep_picture

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]

HERE = "/t/valbourg"
INSIDE = "/operator/t/valbourg"  # for an operator in a support session
CLIPBOARD = ["clipboard-read", "clipboard-write"]
FAST = {"simulate": {"first_token_ms": 1, "tokens_per_second": 0}}
Enter = Callable[[str], AbstractContextManager[Page]]


@pytest.fixture(scope="module")
def browser(beffroi: Installation) -> Iterator[Browser]:
    with open_browser_at(beffroi.demo["console_url"].rstrip("/")) as browser:
        yield browser


@pytest.fixture(scope="module")
def enter(beffroi: Installation, browser: Browser) -> Enter:
    """Opens a window of somebody, who comes in by a link the first time and finds the session open afterwards."""
    file = beffroi.folder / "people.json"
    command = f"from tests.journeys import console_people; console_people.make({str(file)!r})"
    beffroi.manage("shell", "--no-imports", "-c", command)
    secrets: dict[str, str] = json.loads(file.read_text())
    sessions: dict[str, Any] = {}

    @contextmanager
    def window_of(who: str) -> Iterator[Page]:
        state = sessions.get(who)
        with browser.window(None, storage_state=state, permissions=CLIPBOARD, base_url=browser.address) as window:
            door = "/operator/" if who == "operator" else "/"
            page = window.open(door if who in sessions else f"{door}sign-in/{secrets[who]}")
            page.set_default_timeout(15_000)
            sessions[who] = page.context.storage_state()
            yield page

    return window_of


def go(page: Page, path: str, here: str = HERE) -> int:
    """Open a page of the organisation. Returns: its status."""
    answer = page.goto(f"{here}{path}")
    assert answer
    return answer.status


def press(page: Page, name: str) -> None:
    """A button or link of the page's middle, by its words."""
    middle = page.get_by_role("main")
    middle.get_by_role("button", name=name, exact=True).or_(middle.get_by_role("link", name=name, exact=True)).click()


def ask(beffroi: Installation, secret: str) -> str:
    """The id of a request made with the key by OpenAI's own client. Raises `AuthenticationError`."""
    with OpenAI(base_url=beffroi.base_url, api_key=secret, max_retries=0) as client:
        answer = client.chat.completions.create(
            model=beffroi.demo["models"]["chat"], messages=[{"role": "user", "content": "Hello!"}], extra_body=FAST
        )
    assert answer.choices[0].message.content
    return answer.id.removeprefix("chatcmpl-")


def is_refused(beffroi: Installation, secret: str) -> bool:
    """Whether no gateway takes the key any more."""
    try:
        for _ in range(3 * GATEWAYS):
            ask(beffroi, secret)
    except AuthenticationError:
        return True
    return False


def copied_secret(page: Page) -> str:
    """The secret that the page shows, by way of its button and the clipboard."""
    page.click(".key-secret [data-copy]")
    expect(page.locator("#toasts")).to_have_text("Copied")
    text: str = page.evaluate("navigator.clipboard.readText()")
    assert text == page.inner_text("#secret")
    return text


def test_a_developer_s_key_from_its_making_to_its_end(beffroi: Installation, enter: Enter) -> None:
    with enter("developer") as page:
        go(page, "/keys/new")
        page.get_by_label("Name").fill("Citizens' desk, production")
        press(page, "Create the key")
        first = copied_secret(page)
        keep_picture(page, "developer-1-the-secret")
        press(page, "I have copied it")
        here = page.url
        assert first not in page.content()

        request_id = ask(beffroi, first)
        go(page, "/requests")
        page.locator(f'main a[href$="{request_id}"]').click()
        expect(page.locator("main")).to_contain_text("Citizens' desk, production")
        keep_picture(page, "developer-2-the-request")
        page.goto(here)
        expect(page.locator("main")).to_contain_text(beffroi.demo["models"]["chat"])
        keep_picture(page, "developer-3-the-key")

        press(page, "Rotate")
        press(page, "Make a new secret")
        second = copied_secret(page)
        keep_picture(page, "developer-4-the-new-secret")
        press(page, "I have copied it")
        expect(page.get_by_role("heading", name="Two secrets work")).to_be_visible()
        assert ask(beffroi, first) != ask(beffroi, second)

        page.locator("main summary", has_text="End the old secret now").click()
        press(page, "End the old secret now")
        wait_for(lambda: is_refused(beffroi, first), lambda: "the old secret works on", 1)
        assert ask(beffroi, second)
        keep_picture(page, "developer-5-one-secret-again")

        def asks_for_a_word() -> bool:
            page.goto(here)
            return page.locator("input[name=confirmation]").count() == 1

        wait_for(asks_for_a_word, lambda: "the page does not know of the key's use", 20)
        page.locator("main summary", has_text="Revoke").click()
        page.locator("input[name=confirmation]").fill(first.split("_")[1])
        keep_picture(page, "developer-6-revoking")
        press(page, "Revoke")
        expect(page.locator("main")).to_contain_text("The key is revoked.")
        wait_for(lambda: is_refused(beffroi, second), lambda: "the revoked key works on", 1)
        keep_picture(page, "developer-7-revoked")


def test_an_owner_s_changes_are_in_the_audit(enter: Enter) -> None:
    with enter("owner") as page:
        go(page, "/projects/new")
        page.get_by_label("Name").fill("Citizens' desk")
        press(page, "Create the project")
        press(page, "Set a budget")
        page.get_by_label("Amount in euros").fill("25")
        press(page, "Set the budget")
        expect(page.locator("main")).to_contain_text("€0.00 of €25.00")
        keep_picture(page, "owner-1-the-budget")

        go(page, "/members/invite")
        page.get_by_label("E-mail address").fill("erin@valbourg.example")
        press(page, "Invite")
        expect(page.locator("main")).to_contain_text("erin@valbourg.example")
        page.get_by_role("link", name="Gaël Le Roux").click()
        page.locator("select[name=role]").select_option("finance")
        press(page, "Save")
        expect(page.get_by_role("row", name="Gaël Le Roux")).to_contain_text("finance")
        keep_picture(page, "owner-2-the-members")

        go(page, "/audit")
        said = page.locator("#events tbody tr").all_inner_texts()[:6]
        for words in ("set a budget", "invited", "Gaël Le Roux"):
            assert any("Alice Martin" in line and words in line for line in said), said
        keep_picture(page, "owner-3-the-audit")
        page.locator("#events a", has_text="Details").first.click()
        expect(page.locator("main")).to_contain_text("alice@valbourg.example")
        role = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="Role", exact=True))
        expect(role).to_have_text(re.compile(r"Role\s*developer\s*finance"))
        keep_picture(page, "owner-4-one-event")


def test_finance_reads_money_and_has_no_keys(enter: Enter) -> None:
    with enter("finance") as page:
        go(page, "")
        expect(page.get_by_role("link", name="Keys", exact=True)).to_have_count(0)
        expect(page.get_by_role("link", name="Create a key")).to_have_count(0)
        keep_picture(page, "finance-1-overview")
        page.get_by_role("link", name="Billing", exact=True).click()
        expect(page.get_by_role("heading", name=re.compile("Statement of"))).to_be_visible()
        keep_picture(page, "finance-2-billing")
        page.get_by_role("link", name="Usage", exact=True).click()
        expect(page.locator("main h1")).to_have_text("Usage")
        keep_picture(page, "finance-3-usage")
        assert go(page, "/keys") == 403
        assert go(page, "/keys/new") == 403
        keep_picture(page, "finance-4-no-keys")


def verify_offline(export: Path, public_key: str) -> subprocess.CompletedProcess[str]:
    """The verifier that needs neither Django nor a database."""
    command = [sys.executable, str(ROOT / "identity/audit_verifier.py"), str(export), "--public-key", public_key]
    return subprocess.run(command, cwd=export.parent, capture_output=True, text=True, timeout=30)


def test_an_auditor_s_export_holds_and_tells_of_a_changed_word(enter: Enter, tmp_path: Path) -> None:
    with enter("auditor") as page:
        go(page, "/audit")
        press(page, "Verify now")
        expect(page.locator("main")).to_contain_text("verified")
        keep_picture(page, "auditor-1-verified")
        with page.expect_download() as download:
            press(page, "Export to verify")
        export = tmp_path / "audit.jsonl"
        download.value.save_as(export)
        page.locator("#events a", has_text="Details").first.click()
        page.locator("main summary", has_text="Its place in the chain").click()
        keep_picture(page, "auditor-2-one-link")
        public_key = page.locator("main dl").last.locator("code").last.inner_text()
        go(page, "/keys")
        expect(page.get_by_role("link", name="Create a key")).to_have_count(0)
        keep_picture(page, "auditor-3-keys-to-read")

    assert verify_offline(export, public_key).returncode == 0, verify_offline(export, public_key).stderr
    whole = export.read_text()
    assert '"member.added"' in whole
    export.write_text(whole.replace('"member.added"', '"member.addad"', 1))
    assert verify_offline(export, public_key).returncode != 0


def test_an_operator_looks_in_and_the_organisation_sees_it(enter: Enter) -> None:
    with enter("operator") as operator, enter("owner") as owner:
        operator.goto("/operator/support?organisation=valbourg")
        operator.get_by_label("Reason").fill("Ticket 4711: no answers since noon")
        press(operator, "Open")
        expect(operator.locator(".support-banner")).to_contain_text("Support session in Ville de Valbourg.")
        keep_picture(operator, "operator-1-inside")
        assert go(operator, "/requests", INSIDE) == 200
        assert go(operator, "/keys/new", INSIDE) == 403
        assert go(operator, "/members/invite", INSIDE) == 403

        go(owner, "")
        expect(owner.locator(".support-banner")).to_contain_text("Inès Moreau of the operator is looking into")
        expect(owner.locator(".support-banner")).to_contain_text("Ticket 4711")
        keep_picture(owner, "operator-2-what-the-owner-sees")
        owner.locator(".support-banner").get_by_role("button", name="End now").click()
        expect(owner.locator(".support-banner")).to_have_count(0)
        assert go(operator, "/requests", INSIDE) == 404
        keep_picture(operator, "operator-3-out-again")
