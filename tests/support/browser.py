"""A real Chromium before a real server: pages as people see them.

Each window notes what went wrong in it: a violation of the content security policy, an error of a script, an answer of
the server with a 5xx status. `close()` fails where something did.
"""

import gzip
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pytest
import uvicorn
from django.contrib.staticfiles import finders
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import BrowserContext, Page, sync_playwright

from identity.models import Person
from tests.support.console import cookie_of, session_of

# Playwright's loop runs in our thread: Django would take the tests' own queries for ones that block a server's loop.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"

ROOT = Path(__file__).resolve().parents[2]
AXE = ROOT / "node_modules/axe-core/axe.min.js"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
STATIC = "static/"
WIDE, NARROW, NARROWEST = 1280, 390, 320
Theme = Literal["light", "dark"]
# Layout Instability, what Chromium noted since the page began: all that moved though nobody had just touched anything.
SHIFT = """() => new Promise(resolve => {
  let shift = 0;
  const add = list => { for (const entry of list.getEntries()) if (!entry.hadRecentInput) shift += entry.value; };
  new PerformanceObserver(add).observe({type: "layout-shift", buffered: true});
  requestAnimationFrame(() => setTimeout(() => resolve(shift), 0));
})"""
# Resource Timing: the page and all that it loaded, and how many bytes of each came over the wire, its head included.
LOADED = """() => ["navigation", "resource"].flatMap(kind => performance.getEntriesByType(kind))
  .map(entry => [new URL(entry.name).pathname, entry.transferSize])"""
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@dataclass
class Window:
    """One window and what went wrong in it."""

    page: Page
    address: str
    troubles: list[str] = field(default_factory=list)

    def open(self, path: str) -> Page:
        """Go to a path of the console."""
        self.page.goto(self.address + path)
        return self.page

    def offences(self) -> list[str]:
        """What axe has to say against the page: rule, and where."""
        self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found = self.page.evaluate("tags => axe.run(document, {runOnly: tags})", WCAG)["violations"]
        return [f"{one['id']}: {', '.join(str(node['target'][0]) for node in one['nodes'][:3])}" for one in found]

    def is_wider_than_its_screen(self) -> bool:
        """Whether one has to scroll sideways (WCAG 1.4.10)."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))

    def shift(self) -> float:
        """How much the page moved by itself since it was opened: a share of the window times a share of its height."""
        self.page.wait_for_load_state("networkidle")
        return float(self.page.evaluate(SHIFT))

    def transferred_bytes(self) -> int:
        """How much comes over the wire for the page that is open, its styles, scripts and pictures included, where an
        installation serves it: what is static is compressed there (here by gzip, there by Brotli, which is shorter).
        """
        return sum(_compressed_bytes(path) or sent for path, sent in self.page.evaluate(LOADED))

    def close(self) -> None:
        """Close it; fails where anything went wrong in it."""
        self.page.context.close()
        assert not self.troubles, self.troubles


class Browser:
    """Opens windows for people."""

    def __init__(self, chromium: Chromium, address: str) -> None:
        self._chromium, self.address = chromium, address

    @contextmanager
    def window(
        self, person: Person | None, *, width: int = WIDE, theme: Theme = "light", **options: Any
    ) -> Iterator[Window]:
        """A window of somebody who is signed in (None: nobody)."""
        context = self._chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=theme, reduced_motion="reduce", **options
        )
        if person is not None:
            context.add_cookies([{"name": cookie_of(person), "value": session_of(person), "url": self.address}])
        window = Window(context.new_page(), self.address)
        _listen(context, window.troubles)
        yield window
        window.close()


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Chromium and our pages, from this process."""
    with _serving() as address, open_browser_at(address) as browser:
        yield browser


@contextmanager
def open_browser_at(address: str) -> Iterator[Browser]:
    """Chromium and the pages of that address. Skips where there is no Chromium, unless a build machine promised one."""
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if executable is None:
        assert not os.environ.get("CI"), "no Chromium: .ci/run installs it"
        pytest.skip("no Chromium on this machine: apt install chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield Browser(chromium, address)
        chromium.close()


@cache
def _compressed_bytes(path: str) -> int | None:
    """How long a static file is when it is sent; None: it is none."""
    if not path.startswith(f"/{STATIC}"):
        return None
    file = finders.find(path.removeprefix(f"/{STATIC}"))
    return len(gzip.compress(Path(file).read_bytes())) if file else None


def _listen(context: BrowserContext, troubles: list[str]) -> None:
    context.on("weberror", lambda error: troubles.append(f"script: {error.error}"))
    context.on(
        "console",
        lambda message: troubles.append(message.text) if "Content Security Policy" in message.text else None,
    )
    context.on(
        "response",
        lambda response: troubles.append(f"{response.status} {response.url}") if response.status >= 500 else None,
    )


@contextmanager
def _serving() -> Iterator[str]:
    """Our pages, served by uvicorn as in an installation, from a thread of this process."""
    from console.asgi import application

    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(application, lifespan="off", log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join(20)
    listening.close()
