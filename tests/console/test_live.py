"""Sockets of live pages, against a real server: who may listen, until when, and what they hear."""

import asyncio
import contextlib
import socket as sockets
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import uvicorn
import websockets
from django.contrib.sessions.backends.db import SessionStore
from django.db import connection
from django.utils import timezone
from pytest_django import DjangoDbBlocker
from websockets.sync import client
from websockets.sync.client import ClientConnection

from billing.usage.records import Reader
from console.live import socket as live
from console.live import watch
from identity.access import Caller
from identity.erasure import erase_person
from identity.members import remove_member
from identity.models import Membership, Person, Role, SignIn
from identity.people import switch_person_off
from tests.support.console import session_of, signed_in
from tests.support.ledger import House, LedgerGateway, ledger_gateway, make_house
from tests.support.people import TESTS, make_person


@pytest.fixture(scope="module")
def address(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """Our server, as `console/server.py` starts it, from a thread of this process."""
    from console.asgi import application

    listening = sockets.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(application, lifespan="off", log_config=None, ws_max_size=1024))
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    with django_db_blocker.unblock():
        thread.start()
        while not server.started:
            time.sleep(0.02)
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join(20)
    listening.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "CHECK_EVERY_S", 0.2)
    monkeypatch.setattr(watch, "EVERY_S", 0.1)


@pytest.fixture
def house(database: None) -> House:
    return make_house()


@pytest.fixture
def alice(house: House) -> Person:
    return make_person("alice", house.tenant, Role.OWNER)


@pytest.fixture
def gateway(database: None, gateway_database_url: str) -> Iterator[LedgerGateway]:
    with ledger_gateway(gateway_database_url) as gateway:
        yield gateway


def connection_to(url: str, **given: Any) -> ClientConnection:
    connect: Any = client.connect
    connection: ClientConnection = connect(url, legacy=True, **given)
    return connection


def listen(address: str, house: House, session: str, **changes: Any) -> ClientConnection:
    headers = {"Cookie": f"sessionid={session}"} if session else {}
    given = {"origin": f"http://{address}", "additional_headers": headers, "open_timeout": 10} | changes
    return connection_to(f"ws://{address}/live/t/{house.tenant.slug}", **given)


def closed_with(connection: ClientConnection) -> int | None:
    with contextlib.closing(connection), contextlib.suppress(websockets.ConnectionClosed):
        connection.recv(timeout=10)
    return connection.close_code


def wait_until_watched() -> None:
    deadline = time.monotonic() + 10
    while not all(one.last is not None for one in live.watcher._watched.values()) or not live.watcher.listeners:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_member_hears_that_something_is_new_and_nothing_else(
    address: str, house: House, alice: Person, gateway: LedgerGateway
) -> None:
    key = house.key().row
    with listen(address, house, session_of(alice)) as window:
        wait_until_watched()
        gateway.complete(house, key)
        assert window.recv(timeout=10) == "new"
        time.sleep(0.3)
        with contextlib.suppress(TimeoutError):
            window.recv(timeout=0.1)  # what the hold and the charge told apart
        with pytest.raises(TimeoutError):
            window.recv(timeout=0.5)
        gateway.refuse(house, key, "rate_limit_exceeded")
        assert window.recv(timeout=10) == "new"


def test_a_stranger_is_told_nothing_and_who_is_signed_out_to_sign_in(address: str, house: House, alice: Person) -> None:
    stranger = make_person("charlie", make_house().tenant, Role.OWNER)
    assert closed_with(listen(address, house, session_of(stranger))) == 4404
    assert closed_with(listen(address, house, "")) == 4401
    assert closed_with(listen(address, house, "no-such-session")) == 4401


@pytest.mark.parametrize("origin", ["https://elsewhere.example", "http://127.0.0.1:9", "null", None])
def test_a_page_of_another_origin_is_refused(address: str, house: House, alice: Person, origin: str | None) -> None:
    with pytest.raises(websockets.InvalidStatus) as refused:
        listen(address, house, session_of(alice), origin=origin)
    assert refused.value.response.status_code == 403


def test_there_is_no_other_socket(address: str) -> None:
    with pytest.raises(websockets.InvalidStatus) as refused:
        connection_to(f"ws://{address}/live/elsewhere", origin=f"http://{address}")
    assert refused.value.response.status_code == 403


def test_a_socket_ends_with_its_session(address: str, house: House, alice: Person) -> None:
    session = session_of(alice)
    window = listen(address, house, session)
    wait_until_watched()
    SessionStore(session).delete()
    assert closed_with(window) == 4401


def test_a_socket_ends_with_the_membership(address: str, house: House, alice: Person) -> None:
    window = listen(address, house, session_of(alice))
    wait_until_watched()
    Membership.objects.filter(person=alice).delete()
    assert closed_with(window) == 4404


def test_a_socket_ends_when_its_member_is_confined_to_projects(address: str, house: House, alice: Person) -> None:
    window = listen(address, house, session_of(alice))
    wait_until_watched()
    Membership.objects.filter(person=alice).update(in_all_projects=False)
    assert closed_with(window) == live.COME_BACK


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sockets' own checks come too late to be what ends one."""
    monkeypatch.setattr(live, "CHECK_EVERY_S", 60.0)


def wait_until_heard() -> None:
    """Until PostgreSQL would tell our server whose access changed."""
    listening = (
        "select count(*) from pg_stat_activity where application_name = 'beffroi live pages' and query like 'listen%'"
    )
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with connection.cursor() as cursor:
            cursor.execute(listening)
            if cursor.fetchone()[0]:
                return
        time.sleep(0.02)
    raise AssertionError("nobody listens")


def ends_at_once(window: ClientConnection) -> int | None:
    """The code it was closed with; fails where that took longer than nobody notices."""
    begun = time.monotonic()
    code = closed_with(window)
    assert time.monotonic() - begun < 2
    return code


def test_signing_out_ends_the_sockets_of_that_session_at_once_and_no_others(
    address: str, house: House, alice: Person, patient: None
) -> None:
    session, other = session_of(alice), session_of(alice)
    window = listen(address, house, session)
    with listen(address, house, other) as another:
        wait_until_heard()
        browser = signed_in(None)
        browser.cookies["sessionid"] = session
        assert browser.post("/sign-out").status_code == 302
        assert ends_at_once(window) == 4401
        with pytest.raises(TimeoutError):
            another.recv(timeout=0.3)


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (lambda house, person: switch_person_off(person, actor=TESTS), 4401),
        (lambda house, person: erase_person(person, actor=TESTS), 4401),
        (lambda house, person: remove_member(by=Caller.system("tests", house.tenant), person=person), 4404),
    ],
    ids=["switched off", "erased", "removed"],
)
def test_who_is_switched_off_erased_or_removed_hears_nothing_any_more_at_once(
    address: str, house: House, patient: None, end: Callable[[House, Person], Any], code: int
) -> None:
    bob = make_person("bob", house.tenant, Role.DEVELOPER)
    window = listen(address, house, session_of(bob))
    wait_until_heard()
    end(house, bob)
    assert ends_at_once(window) == code


def test_an_open_socket_keeps_no_idle_session_alive(address: str, house: House, alice: Person) -> None:
    window = listen(address, house, session_of(alice))
    wait_until_watched()
    SignIn.objects.filter(person=alice).update(last_seen_at=timezone.now() - timedelta(hours=2))
    assert closed_with(window) == 4401


def test_a_person_has_so_many_windows(
    address: str, house: House, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "SOCKETS_A_PERSON_MAX", 2)
    session = session_of(alice)
    with listen(address, house, session), listen(address, house, session) as second:
        wait_until_watched()
        assert live.sockets_of(alice.pk) == 2
        assert closed_with(listen(address, house, session)) == 4429
        second.close()
        deadline = time.monotonic() + 10
        while live.sockets_of(alice.pk) == 2:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        listen(address, house, session).close()


def test_a_member_of_one_project_hears_nothing_of_another_I6(
    address: str, house: House, gateway: LedgerGateway
) -> None:
    mine, bob = house.project_called("Mine"), make_person("bob", house.tenant)
    membership = Membership.objects.get(person=bob)
    membership.in_all_projects = False
    membership.save()
    membership.projects.add(mine)
    my_key, their_key = house.key(project=mine).row, house.key().row
    with listen(address, house, session_of(bob)) as window:
        wait_until_watched()
        gateway.complete(house, their_key)
        gateway.refuse(house, their_key, "rate_limit_exceeded")
        with pytest.raises(TimeoutError):
            window.recv(timeout=0.7)
        gateway.complete(house, my_key)
        assert window.recv(timeout=10) == "new"


def test_nobody_listens_and_nobody_looks(database: None, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[Reader] = []

    def look(reader: Reader) -> watch.Counts:
        looked.append(reader)
        return {}

    async def scene() -> int:
        watcher, reader = watch.Watcher(), Reader(1)

        async def tell() -> None:
            pass

        watcher.add(reader, tell)
        await asyncio.sleep(0.35)
        watcher.remove(reader, tell)
        await asyncio.sleep(0.2)
        before = len(looked)
        await asyncio.sleep(0.3)
        return len(looked) - before

    monkeypatch.setattr(watch, "counts", look)
    assert asyncio.run(scene()) == 0
    assert len(looked) >= 2
