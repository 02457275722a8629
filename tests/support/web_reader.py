"""A browser without a screen: keeps cookies, follows redirects as far as it may, fills in forms."""

import http.client
import http.cookiejar
import json
import re
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from html import unescape
from urllib.parse import urlencode, urljoin


@dataclass
class Page:
    """What an address answered."""

    address: str
    status: int
    text: str
    location: str = ""

    def form(self) -> tuple[str, dict[str, str]]:
        """The address of the first form that posts, and the values of its named inputs."""
        found = re.search(r"<form([^>]*)>(.*?)</form>", self.text, re.DOTALL)
        assert found, self.text[:2000]
        action = re.search(r'action="([^"]*)"', found[1])
        values = {}
        for element in re.findall(r"<input[^>]*>", found[2]):
            attributes = {name: unescape(value) for name, value in re.findall(r'([\w-]+)="([^"]*)"', element)}
            if "name" in attributes:
                values[attributes["name"]] = attributes.get("value", "")
        return urljoin(self.address, unescape(action[1]) if action else ""), values


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: object) -> None:
        return None


@dataclass
class WebReader:
    """One browser. It never follows a redirect to `ours`: those are for Django's test client."""

    ours: str = "http://127.0.0.1:8000"
    _opener: urllib.request.OpenerDirector = field(init=False)

    def __post_init__(self) -> None:
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(cookies, _NoRedirect)

    def open(self, address: str, form: dict[str, str] | None = None) -> Page:
        """The page at the end of the redirects, or the one that leads to us."""
        for _ in range(12):
            page = self._once(address, form)
            if not page.location or page.location.startswith(self.ours):
                return page
            address, form = page.location, None
        raise AssertionError(f"redirects without end at {address}")

    def post_json(self, address: str, value: object) -> None:
        """Send a JSON value."""
        request = urllib.request.Request(address, json.dumps(value).encode(), {"Content-Type": "application/json"})
        self._opener.open(request, timeout=20).close()

    def _once(self, address: str, form: dict[str, str] | None) -> Page:
        body = urlencode(form).encode() if form is not None else None
        try:
            response: http.client.HTTPResponse | urllib.error.HTTPError = self._opener.open(address, body, timeout=20)
        except urllib.error.HTTPError as error:
            response = error
        with response:
            location = urljoin(address, response.headers["Location"]) if response.headers["Location"] else ""
            return Page(address, int(response.status or 0), response.read().decode(), location)
