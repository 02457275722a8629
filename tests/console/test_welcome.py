"""The first page, and the links that open it."""

import re
from datetime import timedelta
from urllib.parse import quote

import pytest
from django.test import Client
from django.utils import timezone

from gateway.pools.models import Pool, Replica
from identity.models import Person, ProviderVersion
from identity.sign_in_links import make_link
from tests.support.console import page
from tests.support.ledger import make_model, unique
from tests.support.people import TESTS, make_cast

SESSION = "sessionid"


@pytest.fixture
def browser(database: None) -> Client:
    """A browser on this machine, through the gateway: Django's socket has no peer, the gateway names it."""
    return Client(HTTP_HOST="localhost", REMOTE_ADDR="", HTTP_X_FORWARDED_FOR="127.0.0.1", enforce_csrf_checks=True)


@pytest.fixture
def alice(database: None) -> Person:
    return make_cast().alice


def link(person: Person, lifetime: timedelta = timedelta(hours=1)) -> str:
    return f"/sign-in/{make_link(person, lifetime, actor=TESTS, now=timezone.now())}"


def lands_on(browser: Client, address: str, **headers: str) -> str:
    response = browser.get(address, headers={name.replace("_", "-"): value for name, value in headers.items()})
    assert response.status_code == 302
    assert "no-store" in response["Cache-Control"]
    return str(response["Location"])


def test_a_link_signs_in_once_and_opens_the_first_page(browser: Client, alice: Person) -> None:
    model = make_model(name=f"org/{unique('served')}:1b")
    pool = Pool.objects.create(name=unique("pool"), model=model, served_name="m")
    Replica.objects.create(pool=pool, name="r", url="http://127.0.0.1:1", state=Replica.State.READY, is_simulated=True)
    address = link(alice)

    assert lands_on(browser, address) == "/"
    shown = page(browser.get("/welcome"))
    assert alice.email in shown
    assert "A tenant" in shown
    assert "owner" in shown
    assert re.search(rf"<code>{re.escape(model.name)}</code>.*?simulated", shown)
    assert "curl -N http://127.0.0.1:8000/v1/chat/completions" in shown
    assert '/api/docs"' in shown

    another = Client(HTTP_HOST="localhost", REMOTE_ADDR="127.0.0.1")
    assert lands_on(another, address) == "/sign-in/refused"
    refused = another.get("/sign-in/refused")
    assert "works once" in page(refused, 403)
    assert lands_on(browser, address) == "/"  # who is signed in already gets the page, not a lecture


def test_a_wrong_or_old_link_signs_nobody_in(browser: Client, alice: Person) -> None:
    expired = link(alice, timedelta(microseconds=1))
    for address in (expired, "/sign-in/nothing", f"/sign-in/{quote('é' * 50)}", "/sign-in/a%00b"):
        assert lands_on(browser, address) == "/sign-in/refused"
        assert SESSION not in browser.cookies


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "192.0.2.7"},
        {"X-Forwarded-For": "127.0.0.1, 127.0.0.1"},
        {"X-Forwarded-For": "192.0.2.7, 127.0.0.1"},
        {"X-Forwarded-For": ""},
        {"X-Forwarded-For": "garbage"},
        {"X-Beffroi-Forwarded": "1"},
        {"X-Forwarded-Host": "models.example.org"},
        {"X-Real-IP": "127.0.0.1"},
        {"Forwarded": "for=127.0.0.1"},
    ],
    ids=str,
)
def test_a_link_works_on_this_machine_only_and_not_through_a_proxy(
    browser: Client, alice: Person, headers: dict[str, str]
) -> None:
    address = link(alice)
    assert lands_on(browser, address, **headers) == "/sign-in/refused"
    assert SESSION not in browser.cookies
    assert lands_on(browser, address) == "/"  # and it was not used up


def test_asking_for_the_head_of_a_link_does_not_use_it_up(browser: Client, alice: Person) -> None:
    address = link(alice)
    assert browser.head(address).status_code == 405
    assert lands_on(browser, address) == "/"


def test_a_refused_link_is_in_no_log(browser: Client, alice: Person, caplog: pytest.LogCaptureFixture) -> None:
    address = link(alice)
    lands_on(browser, address, X_Forwarded_For="192.0.2.7")
    assert address.split("/")[-1] not in caplog.text


def test_signing_out_takes_a_click_of_ones_own(browser: Client, alice: Person) -> None:
    browser.get(link(alice))
    shown = page(browser.get("/welcome"))
    assert browser.get("/sign-out").status_code == 405
    assert browser.post("/sign-out").status_code == 403
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', shown)
    assert token
    assert browser.post("/sign-out", {"csrfmiddlewaretoken": token[1]}).status_code == 302
    assert lands_on(browser, "/") == "/sign-in?next=%2F"


def test_a_stranger_is_told_how_to_sign_in_and_nothing_else(browser: Client, alice: Person) -> None:
    ProviderVersion.objects.update(state=ProviderVersion.State.OFF)  # other tests' own
    model = make_model()
    pool = Pool.objects.create(name=unique("pool"), model=model, served_name="m")
    Replica.objects.create(pool=pool, name="r", url="http://127.0.0.1:1", state=Replica.State.READY)
    assert lands_on(browser, "/") == "/sign-in?next=%2F"
    shown = page(browser.get("/sign-in"))
    assert "make up" in shown
    assert model.name not in shown


def test_what_people_are_called_is_never_markup(browser: Client, alice: Person) -> None:
    Person.objects.filter(pk=alice.pk).update(name="<script>alert(1)</script>")
    browser.get(link(alice))
    assert "&lt;script&gt;" in page(browser.get("/welcome"))


def test_an_address_that_is_not_there_has_a_page_too(browser: Client) -> None:
    response = browser.get("/nothing")
    assert response.status_code == 404
    assert "There is no such page" in page(response, 404)
