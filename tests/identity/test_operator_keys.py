"""Operator's keys: made once, confined to what their maker may, ended for good."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import transaction
from django.utils import timezone

from identity import audit, key_format
from identity.api_keys import live_keys_by_pepper
from identity.errors import Forbidden, Invalid, KeyRefused, NotFound, Refusal
from identity.key_format import find_key, parse_key, parse_operator_key
from identity.key_format import make_operator_key as make_text
from identity.models import AuditEvent, OperatorKey, OperatorRole
from identity.operator_keys import (
    LIFE_MAX,
    authenticate_operator_key,
    make_operator_key,
    operator_keys_for,
    revoke_operator_key,
)
from identity.operators import Operator, operator_for_key, operator_for_person
from identity.permissions import OperatorPermission
from identity.scopes import OperatorScope
from tests.support.operators import RUNS, held_operator_key
from tests.support.people import make_cast, make_key, make_operator

pytestmark = pytest.mark.usefixtures("database")
TOMORROW = timedelta(days=1)


def made(*scopes: OperatorScope) -> tuple[OperatorKey, str]:
    held = held_operator_key(*scopes)
    return held.row, held.text


def refusal(text: str) -> Refusal:
    with pytest.raises(KeyRefused) as refused:
        authenticate_operator_key(text, now=timezone.now())
    return refused.value.reason


def test_a_key_is_shown_once_and_opens_what_its_scopes_say() -> None:
    key, text = made(OperatorScope.TENANTS_WRITE)
    assert text.startswith(f"bfo_{key.lookup}_")
    assert text.encode() not in bytes(key.digest)
    found = operator_for_key(authenticate_operator_key(text, now=timezone.now()))
    assert found.scopes == {OperatorScope.TENANTS_READ, OperatorScope.TENANTS_WRITE}
    assert found.may(OperatorPermission.TENANT_CREATE)
    assert not found.may(OperatorPermission.CONTRACT_UPDATE)
    assert OperatorKey.objects.get(pk=key.pk).last_used_at is not None


def test_a_wrong_secret_a_revoked_and_an_expired_key_are_refused() -> None:
    key, text = made(OperatorScope.TENANTS_READ)
    assert refusal(make_text()[0]) == Refusal.UNKNOWN
    assert refusal(text[:-1]) == refusal("") == refusal(f"{text}x") == refusal("bfo_é") == Refusal.MALFORMED
    assert revoke_operator_key(by=RUNS, lookup=key.lookup)
    assert not revoke_operator_key(by=RUNS, lookup=key.lookup)
    assert refusal(text) == Refusal.REVOKED
    expired, text = made(OperatorScope.TENANTS_READ)
    OperatorKey.objects.filter(pk=expired.pk).update(expires_at=timezone.now())
    assert refusal(text) == Refusal.EXPIRED
    with pytest.raises(NotFound):
        revoke_operator_key(by=RUNS, lookup="0000000000")


def test_I6_the_digest_of_an_api_key_makes_no_operator_key() -> None:
    """Who could copy rows between the tables must not turn a key of a tenant into one of the operator."""
    key, text = make_key(make_cast().tenant)
    OperatorKey.objects.create(
        name="copied", lookup=key.lookup, digest=bytes(key.digest), pepper_id=key.pepper_id,
        scopes=["tenants:write"], expires_at=timezone.now() + TOMORROW,
    )  # fmt: skip
    body = text.replace("bfr_", "bfo_")[:-7]
    forged = f"{body}_{key_format._checksum(body.encode()).decode()}"
    assert parse_operator_key(forged) is not None
    assert refusal(forged) == Refusal.UNKNOWN
    OperatorKey.objects.filter(lookup=key.lookup).delete()


def test_an_operator_key_is_no_api_key_and_is_found_where_none_may_stand() -> None:
    text, _ = make_text()
    assert parse_key(text) is None
    assert find_key(f"it is {text}".encode())
    with pytest.raises(Invalid):
        make_operator_key(by=RUNS, name=text, scopes=[OperatorScope.TENANTS_READ], expires_at=timezone.now() + TOMORROW)


def test_I6_nobody_gives_a_key_more_than_they_have() -> None:
    expires_at = timezone.now() + TOMORROW
    platform = operator_for_person(make_operator(OperatorRole.PLATFORM))
    make_operator_key(by=platform, name="Terraform", scopes=[OperatorScope.TENANTS_WRITE], expires_at=expires_at)
    with pytest.raises(Forbidden):
        make_operator_key(by=platform, name="Prices", scopes=[OperatorScope.PRICES_WRITE], expires_at=expires_at)
    for role in (OperatorRole.BILLING, OperatorRole.SUPPORT):
        with pytest.raises(Forbidden):
            make_operator_key(
                by=operator_for_person(make_operator(role)),
                name="A key",
                scopes=[OperatorScope.TENANTS_READ],
                expires_at=expires_at,
            )
    with pytest.raises(Forbidden):
        operator_keys_for(operator_for_person(make_cast().alice))


@pytest.mark.parametrize("days", [0, LIFE_MAX.days + 1])
def test_every_key_expires_within_a_year(days: int) -> None:
    with pytest.raises(Invalid):
        make_operator_key(
            by=RUNS,
            name="A key",
            scopes=[OperatorScope.TENANTS_READ],
            expires_at=timezone.now() + timedelta(days=days),
        )


def test_what_makes_and_what_uses_a_key_is_in_the_audit() -> None:
    person = make_operator()
    key, _ = make_operator_key(
        by=operator_for_person(person),
        name="Terraform",
        scopes=[OperatorScope.TENANTS_READ],
        expires_at=timezone.now() + TOMORROW,
    )
    made = AuditEvent.objects.get(tenant=None, action="operator_key.made", target=key.lookup)
    assert (made.actor_kind, made.actor) == ("operator", str(person.pseudonym))
    with transaction.atomic():
        event = audit.record(actor=operator_for_key(key).actor, action="operator_key.revoked", target=key)
    assert (event.actor_kind, event.actor) == ("operator_key", key.lookup)


def test_a_pepper_that_an_operator_key_names_is_still_needed() -> None:
    held, pepper_of_nobody_else = held_operator_key(OperatorScope.TENANTS_READ), 30_000
    OperatorKey.objects.filter(pk=held.row.pk).update(pepper_id=pepper_of_nobody_else)
    assert live_keys_by_pepper(timezone.now())[pepper_of_nobody_else] == 1
    assert pepper_of_nobody_else not in live_keys_by_pepper(held.row.expires_at)
    OperatorKey.objects.filter(pk=held.row.pk).delete()


def test_the_command_prints_a_key_that_works() -> None:
    printed = StringIO()
    call_command("make_operator_key", "Terraform", "tenants:write", "models:read", "--days", "30", stdout=printed)
    key = authenticate_operator_key(printed.getvalue().strip(), now=timezone.now())
    assert key.scopes == ["models:read", "tenants:write"]
    assert timedelta(days=29) < key.expires_at - timezone.now() <= timedelta(days=30)
    with pytest.raises(CommandError):
        call_command("make_operator_key", "Terraform", "tenants:write", "--days", "0")
    with pytest.raises(CommandError):
        call_command("make_operator_key", "Terraform", "everything")


def test_a_part_of_the_product_is_named_as_one() -> None:
    assert Operator.system("seed_demo").name == "seed_demo"
