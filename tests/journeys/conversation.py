"""Somebody who is signed in talks to a model on its page, as the page's script does."""

import json
import re
from http.cookiejar import CookieJar
from urllib.parse import quote
from urllib.request import HTTPCookieProcessor, Request, build_opener

from tests.support.installation import Installation


def talk(beffroi: Installation, model: str, said: str, instructions: str) -> str:
    """Everything that the page is sent for one message, server-sent events."""
    browser = build_opener(HTTPCookieProcessor(CookieJar()))
    browser.open(beffroi.demo["login_urls"]["developer"], timeout=30).close()
    address = f"{beffroi.demo['console_url']}t/valbourg/models/{quote(model)}"
    with browser.open(address, timeout=30) as page:
        text = page.read().decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', text)
    project = re.search(r'<option value="(\d+)"', text)
    assert token, text
    assert project, text
    messages = [{"role": "system", "content": instructions}, {"role": "user", "content": said}]
    body = json.dumps({"project": int(project[1]), "messages": messages}).encode()
    headers = {"Content-Type": "application/json", "X-CSRFToken": token[1]}
    with browser.open(Request(f"{address}/try", body, headers), timeout=60) as answer:
        events: str = answer.read().decode()
    return events
