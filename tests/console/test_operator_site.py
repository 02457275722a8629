"""The operator's console: other addresses, another cookie, and, where it is set, another host."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from console.live.audience import SIGNED_OUT, Audience, audience, session_key_of
from console.operator_site import COOKIE, URLS, answers_on, sign_in_link
from identity.models import NoticeDelivery
from identity.notice_mail import compose
from identity.notices import notify
from identity.sign_in_links import make_link
from identity.support_sessions import open_session
from tests.support.console import page, session_of, signed_in
from tests.support.people import TESTS, make_cast, make_operator

pytestmark = pytest.mark.usefixtures("database")
HOME = "/operator/"


def status(client: Client, path: str, **options: Any) -> int:
    return client.get(path, **options).status_code


class TestCookie:
    def test_a_link_signs_an_operator_in_to_the_operators_console_only(self) -> None:
        operator, browser = make_operator(), signed_in(None)
        secret = make_link(operator, timedelta(hours=1), actor=TESTS, now=timezone.now())
        response = browser.get(sign_in_link("", secret, of_operators=True))
        assert response["Location"] == HOME
        cookie = response.cookies[COOKIE]
        assert (cookie["path"], cookie["samesite"], bool(cookie["httponly"])) == (HOME, "Lax", True)
        assert "sessionid" not in response.cookies
        page(browser.get(HOME))
        assert browser.get("/")["Location"] == "/sign-in?next=%2F"

    def test_a_link_of_the_one_console_opens_nothing_in_the_other(self) -> None:
        for person, path in ((make_operator(), "/sign-in/"), (make_cast().alice, "/operator/sign-in/")):
            secret = make_link(person, timedelta(hours=1), actor=TESTS, now=timezone.now())
            assert signed_in(None).get(path + secret)["Location"].endswith("/sign-in/refused")

    def test_a_session_put_under_the_other_consoles_name_opens_nothing(self) -> None:
        cast, operator = make_cast(), make_operator()
        open_session(operator=operator, slug=cast.tenant.slug, reason="why", duration=timedelta(hours=1))
        overview = f"t/{cast.tenant.slug}/"
        client = signed_in(None)
        client.cookies[COOKIE] = session_of(cast.alice)
        client.cookies["sessionid"] = session_of(operator)
        for path in (HOME, HOME + overview, f"{HOME}account", f"/{overview}", "/account"):
            assert client.get(path)["Location"].split("?")[0].endswith("/sign-in"), path
        page(signed_in(cast.alice).get(f"/{overview}"))
        page(signed_in(operator).get(HOME + overview))

    def test_forms_of_the_operators_console_have_a_token_of_their_own(self) -> None:
        client = signed_in(make_operator(), enforce_csrf_checks=True)
        response = client.get(reverse("operator-support"))
        assert response.cookies[f"{COOKIE}_csrftoken"]["path"] == HOME
        assert "csrftoken" not in response.cookies
        assert client.post(reverse("operator-support"), {}).status_code == 403
        token = response.context["csrf_token"]
        page(client.post(reverse("operator-support"), {"csrfmiddlewaretoken": token}))

    def test_signing_out_leads_to_the_operators_door(self) -> None:
        client = signed_in(make_operator())
        assert client.post("/operator/sign-out")["Location"] == "/operator/signed-out"
        assert client.get(HOME)["Location"].startswith("/operator/sign-in")

    def test_a_socket_knows_whose_it_is(self) -> None:
        cast, operator = make_cast(), make_operator()
        open_session(operator=operator, slug=cast.tenant.slug, reason="why", duration=timedelta(hours=1))
        headers = [(b"cookie", f"sessionid=a; {COOKIE}=b".encode())]
        assert (session_key_of(headers), session_key_of(headers, of_operators=True)) == ("a", "b")
        key = session_of(operator)
        assert audience(key, cast.tenant.slug) == SIGNED_OUT
        assert isinstance(audience(key, cast.tenant.slug, of_operators=True), Audience)
        assert audience(session_of(cast.alice), cast.tenant.slug, of_operators=True) == SIGNED_OUT


class TestHost:
    @pytest.fixture(autouse=True)
    def _bound(self, settings: Settings) -> None:
        settings.PUBLIC_URL, settings.OPERATOR_URL = "https://models.example.org", "https://ops.example.org:8443"
        settings.ALLOWED_HOSTS = ["models.example.org", "ops.example.org", "localhost"]

    def test_each_console_answers_on_its_own_host_and_nothing_else_does(self) -> None:
        operator, outside, inside = signed_in(make_operator()), "models.example.org", "ops.example.org:8443"
        assert status(operator, HOME, HTTP_HOST=inside) == 200
        for path in (HOME, "/operator/sign-in", "/api/operator/tenants"):
            assert status(operator, path, HTTP_HOST=outside) == 404
            assert status(operator, path, HTTP_HOST="localhost") == 404
        for path in ("/sign-in", "/api/schema", "/t/a/", "/scim/v2/a/Users"):
            assert status(operator, path, HTTP_HOST=inside) == 404
        assert status(operator, "/sign-in", HTTP_HOST=outside) == 200
        assert operator.get("/", HTTP_HOST=inside)["Location"] == HOME
        assert answers_on("OPS.example.org:8443", HOME)
        assert not answers_on("ops.example.org", HOME)

    def test_links_and_cookies_are_of_that_host(self) -> None:
        assert sign_in_link("http://127.0.0.1:1", "s", of_operators=True) == (
            "https://ops.example.org:8443/operator/sign-in/s"
        )
        client = signed_in(None)
        response = client.get("/operator/break-glass", HTTP_HOST="ops.example.org:8443", secure=True)
        assert response.cookies[f"{COOKIE}_csrftoken"]["secure"]


def test_an_operator_finds_the_pages_of_an_organisation_below_the_operators_prefix() -> None:
    cast, operator = make_cast(), make_operator()
    open_session(operator=operator, slug=cast.tenant.slug, reason="why", duration=timedelta(hours=1))
    shown = page(signed_in(operator).get(reverse("overview", urlconf=URLS, kwargs={"slug": cast.tenant.slug})))
    assert f'href="/operator/t/{cast.tenant.slug}/keys"' in shown
    assert f'href="/t/{cast.tenant.slug}' not in shown
    assert f'data-live="/operator/live/t/{cast.tenant.slug}"' in shown


def test_an_operators_account_notices_and_sessions_are_in_the_operators_console() -> None:
    client = signed_in(make_operator())
    for name in ("account", "account-sessions", "account-notices", "account-data", "notices", "who-does-what"):
        shown = page(client.get(reverse(name, urlconf=URLS)))
        assert 'href="/operator/support"' in shown, name
        assert not re.search(r'(?:href|action)="/(?!operator/|static/|api/docs)', shown), name
    client.post(reverse("account", urlconf=URLS), {"name": "Olga", "language": "fr", "theme": "dark", "time_zone": ""})
    assert '<html lang="fr"' in page(client.get(HOME))


def test_from_a_host_of_its_own_the_reference_of_the_api_is_found_at_the_public_address(settings: Settings) -> None:
    settings.PUBLIC_URL, settings.OPERATOR_URL = "https://models.example.org", "https://ops.example.org"
    settings.ALLOWED_HOSTS = ["ops.example.org"]
    shown = page(signed_in(make_operator()).get("/operator/account", secure=True, headers={"host": "ops.example.org"}))
    assert 'href="https://models.example.org/api/docs"' in shown
    assert '<option value="" selected>UTC</option>' in shown


def test_a_mail_leads_who_runs_the_platform_to_their_own_console(settings: Settings) -> None:
    settings.PUBLIC_URL, settings.OPERATOR_URL = "https://models.example.org", "https://ops.example.org"
    settings.MAIL_IS_SET_UP = True
    operator = make_operator()
    notify(None, "break_glass.refused", context={"at": timezone.now().isoformat()})
    delivery = NoticeDelivery.objects.filter(person=operator, channel="email").latest("pk")
    assert "https://ops.example.org/operator/account/notices" in compose(delivery).body
