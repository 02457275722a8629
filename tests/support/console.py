"""Pages as our tests see them: Django's test client, signed in, as behind the gateway."""

import re
from typing import Any

from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpRequest
from django.test import Client

from console import operator_site
from console.sign_in.sessions import open_session
from identity.models import Person, SignIn


def signed_in(person: Person | None, *, enforce_csrf_checks: bool = False) -> Client:
    """A browser's cookies and headers; `person` None: nobody is signed in."""
    client = Client(
        HTTP_HOST="localhost",
        REMOTE_ADDR="",
        HTTP_X_FORWARDED_FOR="127.0.0.1",
        enforce_csrf_checks=enforce_csrf_checks,
    )
    if person is not None:
        client.cookies[cookie_of(person)] = session_of(person)
    return client


def cookie_of(person: Person) -> str:
    """The name of the cookie that the person's console keeps the session in."""
    return operator_site.COOKIE if person.is_operator else "sessionid"


def session_of(person: Person) -> str:
    """The value of the session cookie of somebody who has just signed in."""
    request = HttpRequest()
    request.session = SessionStore()
    open_session(request, person, SignIn.Door.LINK)
    request.session.save()
    return str(request.session.session_key)


def page(response: Any, status: int = 200) -> str:
    """The text of a whole page that was seen to be sound: nothing inline, one heading, a language, a strict policy."""
    assert response.status_code == status, response.status_code
    assert response["Content-Type"] == "text/html; charset=utf-8"
    assert "unsafe" not in response["Content-Security-Policy"]
    content: str = response.content.decode()
    inline = r"<script(?![^>]*\b(?:src=|type=\"application/json\"))|<style|\sstyle=|\son\w+=|javascript:"
    assert not re.findall(inline, content)
    assert re.search(r'<html lang="\w+"', content)
    assert len(re.findall(r"<h1[ >]", content)) == 1
    return content
