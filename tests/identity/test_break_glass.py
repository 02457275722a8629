"""The one local administrator."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pyotp
import pytest
from django.db import connections
from django.utils import timezone

from identity import break_glass
from identity.break_glass import Credentials, TooManyTries
from identity.models import AuditEvent, BreakGlassTry, LocalAdministrator, Notice, Person, SignIn
from identity.sign_ins import Client, begin, open_sign_in
from tests.support.ledger import unique
from tests.support.people import TESTS

NOW = timezone.now().replace(second=10, microsecond=0)
HOME = "192.0.2.7"


@pytest.fixture
def made(database: None) -> Iterator[Credentials]:
    yield break_glass.make(actor=TESTS, now=NOW)
    BreakGlassTry.objects.all().delete()


def code(made: Credentials, at: datetime = NOW) -> str:
    return pyotp.TOTP(made.totp_secret).at(at)


def enters(made: Credentials, typed: str, *, at: datetime = NOW, address: str | None = HOME) -> Person | None:
    return break_glass.enter(password=made.password, code=typed, address=address, now=at)


def told(action: str) -> int:
    return AuditEvent.objects.filter(tenant=None, action=action).count()


def test_password_and_code_open_the_door_and_a_code_does_so_once(made: Credentials) -> None:
    before = told("break_glass.used"), Notice.objects.filter(tenant=None, kind="break_glass.used").count()
    person = enters(made, f" {code(made)[:3]} {code(made)[3:]}")
    assert person
    assert person.is_operator
    assert enters(made, code(made)) is None
    assert enters(made, code(made, NOW - timedelta(seconds=30))) is None  # an older one neither
    later = NOW + timedelta(seconds=30)
    assert enters(made, code(made, later), at=later) == person
    assert told("break_glass.used") == before[0] + 2
    assert Notice.objects.filter(tenant=None, kind="break_glass.used", level="alert").count() == before[1] + 2


def test_a_code_is_good_for_its_own_step_and_the_neighbours(made: Credentials) -> None:
    for wrong in (NOW - timedelta(seconds=60), NOW + timedelta(seconds=60)):
        assert enters(made, code(made, wrong)) is None
    assert enters(made, code(made, NOW - timedelta(seconds=30)))


def test_a_wrong_password_or_code_is_refused_and_told(made: Credentials) -> None:
    before = told("break_glass.refused")
    assert break_glass.enter(password="wrong", code=code(made), address=HOME, now=NOW) is None
    assert enters(made, "") is None
    assert enters(made, "éééééé") is None
    assert told("break_glass.refused") == before + 3
    assert enters(made, code(made))  # a wrong password did not use the code up


def test_tries_are_limited_from_one_address_and_in_all(made: Credentials) -> None:
    for _ in range(break_glass.TRIES_OF_AN_ADDRESS_MAX):
        enters(made, "000000")
    with pytest.raises(TooManyTries):
        enters(made, code(made))
    for number in range(break_glass.TRIES_MAX - break_glass.TRIES_OF_AN_ADDRESS_MAX):
        enters(made, "000000", address=f"198.51.100.{number}")
    before = told("break_glass.throttled")
    for _ in range(3):
        with pytest.raises(TooManyTries):
            enters(made, code(made), address="203.0.113.1")
    assert told("break_glass.throttled") - before <= 1
    later = NOW + break_glass.WINDOW
    assert enters(made, code(made, later), at=later)


def test_tries_of_an_unknown_address_count_together(made: Credentials) -> None:
    for _ in range(break_glass.TRIES_OF_AN_ADDRESS_MAX):
        enters(made, "000000", address=None)
    with pytest.raises(TooManyTries):
        enters(made, code(made), address=None)


def test_many_at_once_get_no_more_tries_than_one_after_the_other(made: Credentials) -> None:
    def one(_: int) -> str:
        try:
            return "in" if enters(made, "000000") else "refused"
        except TooManyTries:
            return "limited"
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(one, range(24)))
    assert outcomes.count("refused") == break_glass.TRIES_OF_AN_ADDRESS_MAX


def test_made_anew_it_forgets_the_old_secrets_sessions_and_tries(made: Credentials) -> None:
    person = enters(made, code(made))
    assert person
    key = unique("session")
    begin(person=person, session_key=key, door=SignIn.Door.BREAK_GLASS, client=Client(), now=NOW)
    for _ in range(4):
        enters(made, "000000")
    again = break_glass.make(actor=TESTS, now=NOW)
    assert open_sign_in(key) is None
    assert LocalAdministrator.objects.count() == 1
    assert enters(made, code(made)) is None
    assert enters(again, code(again)) == person


def test_its_secrets_are_nowhere_to_be_read(made: Credentials) -> None:
    row = LocalAdministrator.objects.get()
    assert row.password_hash.startswith("$argon2id$")
    assert made.password not in row.password_hash
    assert made.totp_secret.encode() not in bytes(row.sealed_secret)
    assert len(made.password.replace("-", "")) * 4 >= 128
    chain = AuditEvent.objects.filter(tenant=None, action__startswith="break_glass").values_list("detail", flat=True)
    assert not [word for word in (made.password, made.totp_secret) if word in json.dumps(list(chain))]
