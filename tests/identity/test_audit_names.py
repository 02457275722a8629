"""What stands beside the audit chain: who, from where, through which door, and the names that may be forgotten."""

import uuid
from ipaddress import ip_address

import pytest
from django.db import ProgrammingError, connection, transaction

from identity.audit import Actor, Target, record, told, verify_chain
from identity.audit_context import Door, origin, through
from identity.audit_names import merged, split
from identity.audit_verifier import commitment
from identity.models import AuditEvent, AuditName
from identity.projects import change_project
from tests.support.people import TESTS, make_cast, make_key, make_tenant

pytestmark = pytest.mark.usefixtures("database")


def last_event(tenant_id: int) -> AuditEvent:
    return AuditEvent.objects.filter(tenant=tenant_id).order_by("-sequence")[0]


def test_X4_an_event_says_who_from_where_through_which_door_and_what_was_before_and_after() -> None:
    cast = make_cast()
    with through(Door.PAGE, ip_address("192.0.2.7")):
        change_project(cast.project, name="Chatbot", cost_centre="CC-7", actor=Actor.person(cast.alice))
    event = last_event(cast.tenant.pk)
    assert (event.door, event.actor) == ("page", str(cast.alice.pseudonym))
    assert event.detail == {"before": {"cost_centre": ""}, "after": {"cost_centre": "CC-7"}}
    assert told(event)["before"] == {"name": "Default", "cost_centre": ""}
    kept = {row.part: row for row in event.known_as.all()}
    assert kept["actor"].content == {"name": "alice", "email": cast.alice.email, "address": "192.0.2.7"}
    assert kept["actor"].person == cast.alice.pseudonym
    assert kept["target"].content == {"name": "Default"}
    assert event.names == {part: commitment(bytes(row.salt), row.content) for part, row in kept.items()}
    assert verify_chain(cast.tenant).broken is None


def test_X4_no_name_and_no_address_is_in_the_chain_itself() -> None:
    cast = make_cast()
    key, _ = make_key(cast.tenant, owner=cast.bob, ip_ranges=("198.51.100.0/24",))
    secret_name = f"Zoé-{uuid.uuid4().hex}"
    said = {"note": secret_name, "who": ["x", f"{secret_name}@example.org"], "deep": {"at": "2001:db8::7", "n": 1}}
    with through(Door.API, ip_address("2001:db8::9")), transaction.atomic():
        record(tenant=cast.tenant, actor=Actor.key(key), action="thing.counted", target=cast.bob, detail=said)
    chain = str(list(AuditEvent.objects.filter(tenant=cast.tenant).values()))
    for private in ("alice", "bob", "@example.org", secret_name, "198.51.100.0", "2001:db8::", "a key"):
        assert private not in chain
    assert told(last_event(cast.tenant.pk)) == said
    about = {row.part: row.person for row in last_event(cast.tenant.pk).known_as.all()}
    assert about == dict.fromkeys(("actor", "target", "detail"), cast.bob.pseudonym)


def test_equal_names_have_different_hashes() -> None:
    tenant = make_tenant()
    for _ in range(2):
        with transaction.atomic():
            record(tenant=tenant, actor=TESTS, action="thing.counted", target=Target("thing", "1", "the same"))
    first, second = AuditEvent.objects.filter(tenant=tenant, action="thing.counted")
    assert set(first.names or ()) == set(second.names or ()) == {"target"}
    assert first.names != second.names


@pytest.mark.parametrize(
    "detail",
    [
        {},
        {"name": "x", "scopes": ["inference"]},
        {"before": {"name": "x"}, "after": {"name": "y", "n": 1}},
        {"list": [{"email": "a@b.example"}], "empty": {}, "none": None, "name": None},
        {"url": "http://10.0.0.1:8000", "version": "1.0", "at": "2026-11-21T10:00:00+00:00"},
    ],
)
def test_a_detail_taken_apart_is_the_same_put_together(detail: dict[str, object]) -> None:
    public, private = split(detail)
    assert merged(public, private) == detail
    assert not (public.keys() & private.keys()) - {"before", "after"}


def test_doors_nest_and_outside_of_all_is_a_command() -> None:
    assert origin().door == Door.COMMAND
    with through(Door.PAGE), through(Door.SIGN_IN, ip_address("192.0.2.1")):
        assert (origin().door, str(origin().address)) == (Door.SIGN_IN, "192.0.2.1")
    assert origin().door == Door.COMMAND


def test_names_are_deleted_or_stay_as_they_are() -> None:
    tenant = make_tenant()
    with pytest.raises(ProgrammingError, match="permission denied"), connection.cursor() as cursor:
        cursor.execute("update identity_auditname set content = '{}'")
    assert AuditName.objects.filter(event__tenant=tenant).delete()[0] > 0
    assert verify_chain(tenant).broken is None
