"""One-time sign-in links."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from identity.models import AuditEvent, Person, SignInLink
from identity.people import switch_person_off
from identity.sign_in_links import make_link, redeem
from tests.support.people import TESTS, make_person

pytestmark = pytest.mark.usefixtures("database")
NOW = timezone.now()
HOUR = timedelta(hours=1)


def test_a_link_signs_in_once() -> None:
    alice = make_person("alice")
    secret = make_link(alice, HOUR, actor=TESTS, now=NOW)
    assert len(secret) == 43
    assert redeem(secret, now=NOW) == alice
    assert redeem(secret, now=NOW) is None
    events = AuditEvent.objects.filter(target=str(alice.pseudonym)).order_by("sequence")
    assert [event.action for event in events] == ["person.created", "sign_in_link.made", "sign_in_link.used"]


def test_of_many_who_use_a_link_at_once_one_gets_in() -> None:
    secret = make_link(make_person("alice"), HOUR, actor=TESTS, now=NOW)

    def use(_: int) -> Person | None:
        try:
            return redeem(secret, now=NOW)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        got_in = [person for person in pool.map(use, range(16), timeout=60) if person]
    assert len(got_in) == 1


def test_a_link_ends_with_its_lifetime_and_with_its_person() -> None:
    alice = make_person("alice")
    secret = make_link(alice, HOUR, actor=TESTS, now=NOW)
    assert redeem(secret, now=NOW + HOUR) is None
    switch_person_off(alice, actor=TESTS)
    assert redeem(secret, now=NOW) is None


@pytest.mark.parametrize("secret", ["", "x", "a" * 43, "nul\0", "é" * 43])
def test_a_guess_gets_nobody_in(secret: str) -> None:
    make_link(make_person("alice"), HOUR, actor=TESTS, now=NOW)
    assert redeem(secret, now=NOW) is None


def test_the_secret_is_not_stored() -> None:
    alice = make_person("alice")
    secret = make_link(alice, HOUR, actor=TESTS, now=NOW)
    with connection.cursor() as cursor:
        cursor.execute("select row_to_json(l)::text from identity_signinlink l where person_id = %s", [alice.pk])
        (row,) = cursor.fetchone()
    assert secret not in row
    assert secret.encode().hex() not in row


def test_expired_links_do_not_pile_up() -> None:
    alice = make_person("alice")
    for day in range(4):
        make_link(alice, HOUR, actor=TESTS, now=NOW + timedelta(days=day))
    assert SignInLink.objects.filter(person=alice).count() == 1


@pytest.mark.parametrize("lifetime", [timedelta(0), timedelta(seconds=-1), timedelta(days=2)])
def test_a_link_lives_a_day_at_most(lifetime: timedelta) -> None:
    with pytest.raises(ValueError, match="at most"):
        make_link(make_person("alice"), lifetime, actor=TESTS, now=NOW)
