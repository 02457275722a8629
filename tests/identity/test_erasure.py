"""S7: a person takes their data along, and is erased, while ledger and chain keep the pseudonym and hold."""

import json
from datetime import timedelta
from ipaddress import ip_address

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from identity.account import ask_for_erasure
from identity.audit import Actor, verify_chain
from identity.audit_context import Door, through
from identity.audit_signing import checkpoint, public_keys
from identity.audit_trail import export_of
from identity.audit_verifier import ChainVerifier, verify_export
from identity.erasure import erase_person, export_person
from identity.errors import Conflict
from identity.members import change_member
from identity.models import ApiKey, AuditEvent, AuditName, Membership, Notice, Person, Role
from identity.people import create_person
from identity.projects import create_project
from identity.sign_in_links import make_link
from tests.support.people import Cast, as_member, make_cast, make_key, make_person

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def cast() -> Cast:
    """bob, who has a key, did something from his address, and had something done to him."""
    cast = make_cast()
    Person.objects.filter(pk=cast.bob.pk).update(name="Bob Lefèvre")
    cast.bob.refresh_from_db()
    make_key(cast.tenant, owner=cast.bob)
    with through(Door.PAGE, ip_address("198.51.100.99")):
        create_project(cast.tenant, "Bob Lefèvre's project", actor=Actor.person(cast.bob))
        change_member(by=as_member(cast.alice, cast.tenant), person=cast.bob, role=Role.AUDITOR)
    make_link(cast.bob, timedelta(hours=1), actor=Actor.system("tests"), now=timezone.now())
    checkpoint(cast.tenant)
    return cast


def everything_that_is_stored() -> str:
    """Every text of identity's tables."""
    with connection.cursor() as cursor:
        cursor.execute("select table_name from information_schema.tables where table_name like 'identity_audit%'")
        texts = []
        for (table,) in cursor.fetchall():
            cursor.execute(f"select t::text from {table} t")
            texts += [row[0] for row in cursor.fetchall()]
    return "\n".join(texts) + "\n".join(map(str, Person.objects.values_list()))


def test_S7_an_erased_person_is_nowhere_and_every_chain_still_holds(cast: Cast) -> None:
    email, pseudonym = cast.bob.email, str(cast.bob.pseudonym)
    with through(Door.PAGE, ip_address("198.51.100.99")):
        erase_person(cast.bob, actor=Actor.person(cast.bob))
    erase_person(cast.bob, actor=Actor.person(cast.bob))
    stored = everything_that_is_stored()
    assert email not in stored
    assert "Lefèvre" not in stored.replace("identity_project", "")
    assert not AuditName.objects.filter(person=pseudonym).exists()
    assert not AuditName.objects.filter(event__tenant=cast.tenant, event__actor=pseudonym, part="actor").exists()
    assert (cast.bob.name, cast.bob.is_active, cast.bob.erased_at is None) == ("", False, False)
    assert not Membership.objects.filter(person=cast.bob).exists()
    [key] = ApiKey.objects.filter(owner=cast.bob)
    assert (key.revoked_at is None, key.name) == (False, "-")
    erased = AuditEvent.objects.filter(action="person.erased", target=pseudonym)
    assert {event.tenant_id for event in erased} == {cast.tenant.pk, None}
    for tenant in (cast.tenant, None):
        verdict = verify_chain(tenant)
        assert verdict.broken is None
        assert verdict.erased > 0
    assert verify_chain(cast.tenant).signed > 0


def test_S7_an_export_made_after_an_erasure_still_verifies(cast: Cast) -> None:
    erase_person(cast.bob, actor=Actor.person(cast.bob))
    lines = [json.dumps(line) for line in export_of(cast.tenant)]
    found = verify_export(lines, ChainVerifier(trusted=frozenset(public_keys())))
    assert (found.flaw, found.erased > 0) == (None, True)
    assert "Lefèvre" not in "".join(lines)


def test_other_peoples_names_stay(cast: Cast) -> None:
    erase_person(cast.bob, actor=Actor.person(cast.bob))
    changed = AuditEvent.objects.get(tenant=cast.tenant, action="member.changed")
    kept = {row.part: row.content for row in changed.known_as.all()}
    assert kept["actor"]["name"] == "alice"
    assert "target" not in kept


def test_the_last_owner_is_not_erased(cast: Cast) -> None:
    with pytest.raises(Conflict):
        erase_person(cast.alice, actor=Actor.person(cast.alice))
    cast.alice.refresh_from_db()
    assert cast.alice.erased_at is None
    make_person("second", cast.tenant, Role.OWNER)
    erase_person(cast.alice, actor=Actor.person(cast.alice))
    assert cast.alice.erased_at is not None


def test_the_address_is_free_again(cast: Cast) -> None:
    email = cast.bob.email
    erase_person(cast.bob, actor=Actor.person(cast.bob))
    again = create_person(email=email, actor=Actor.system("tests"))
    assert again.pseudonym != cast.bob.pseudonym


def test_S7_an_export_has_the_persons_data_and_no_secret(cast: Cast) -> None:
    export = json.loads(json.dumps(export_person(cast.bob)))
    assert export["person"]["email"] == cast.bob.email
    assert [row["role"] for row in export["memberships"]] == ["auditor"]
    assert [row["tenant"] for row in export["keys"]] == [cast.tenant.slug]
    created = next(event for event in export["events"] if event["action"] == "project.created")
    assert (created["address"], created["door"]) == ("198.51.100.99", "page")
    assert len(export["others"]["signinlink"]) == 1
    text = json.dumps(export)
    assert "digest" not in text
    assert "password" not in text
    assert cast.alice.email not in text


def test_a_blank_row_stays_under_its_pseudonym(cast: Cast) -> None:
    erase_person(cast.bob, actor=Actor.person(cast.bob))
    assert Person.objects.get(pseudonym=cast.bob.pseudonym).email.endswith("@erased.invalid")


def test_S7_an_operator_erases_who_asked_for_it(cast: Cast) -> None:
    email = cast.bob.email
    ask_for_erasure(cast.bob)
    call_command("erase_person", email)
    assert not Notice.objects.filter(context__icontains=email).exists()
    with pytest.raises(CommandError, match="Nobody has this address"):
        call_command("erase_person", email)
    with pytest.raises(CommandError, match="last owner"):
        call_command("erase_person", cast.alice.email)
