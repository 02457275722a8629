"""People and their memberships."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import connection

from identity.access import Caller
from identity.api_keys import mint_api_key
from identity.audit import verify_chain
from identity.errors import Conflict, Forbidden, Invalid, NotFound
from identity.key_handover import keys_without_responsible
from identity.key_policy import KeyPolicy
from identity.members import add_member, change_member, remove_member
from identity.models import ApiKey, AuditEvent, Membership, Person, Role
from identity.notices import inbox
from identity.people import create_person, switch_person_off
from identity.projects import create_project
from identity.scopes import Scope
from tests.support.people import (
    TESTS,
    as_member,
    default_project,
    make_cast,
    make_key,
    make_person,
    make_tenant,
)

pytestmark = pytest.mark.usefixtures("database")


def is_live(key: ApiKey) -> bool:
    return ApiKey.objects.get(pk=key.pk).revoked_at is None


def test_a_person_has_a_lower_case_address_a_pseudonym_and_no_password() -> None:
    email = f"Alice-{uuid.uuid4().hex}@Example.ORG"
    person = create_person(email=f" {email} ", name=" Alice ", actor=TESTS)
    assert (person.email, person.name) == (email.lower(), "Alice")
    assert not person.has_usable_password()
    assert person.is_active
    with pytest.raises(Conflict):
        create_person(email=email.upper(), actor=TESTS)


@pytest.mark.parametrize("email", ["", "alice", "alice@", "a b@example.org", f"{'a' * 60}@{'b.' * 110}org"])
def test_an_address_that_makes_no_sense_is_refused(email: str) -> None:
    with pytest.raises(Invalid, match="email"):
        create_person(email=email, actor=TESTS)


def test_a_language_without_pages_is_refused() -> None:
    with pytest.raises(Invalid, match="language"):
        create_person(email=f"{uuid.uuid4().hex}@example.org", language="tlh", actor=TESTS)


def test_the_chain_learns_the_pseudonym_only() -> None:
    person = make_person("alice")
    event = AuditEvent.objects.get(tenant=None, action="person.created", target=str(person.pseudonym))
    assert person.email not in str(event.detail)
    assert event.detail == {"is_operator": False}


def test_switching_a_person_off_revokes_the_keys_in_every_tenant() -> None:
    cast, other = make_cast(), make_tenant()
    add_member(by=Caller.system("tests", other), person=cast.bob, role=Role.DEVELOPER)
    here, _ = make_key(cast.tenant, owner=cast.bob)
    there, _ = make_key(other, owner=cast.bob)
    shared, _ = make_key(cast.tenant)
    assert switch_person_off(cast.bob, actor=TESTS)
    assert not switch_person_off(cast.bob, actor=TESTS)
    assert (is_live(here), is_live(there), is_live(shared)) == (False, False, True)
    assert not Person.objects.get(pk=cast.bob.pk).is_active
    event = AuditEvent.objects.get(action="person.switched_off", target=str(cast.bob.pseudonym))
    assert event.detail == {"keys_revoked": 2}
    assert verify_chain(cast.tenant).broken is None
    with pytest.raises(NotFound):
        make_key(cast.tenant, owner=cast.bob)


def test_a_person_is_a_member_once() -> None:
    cast = make_cast()
    with pytest.raises(Conflict):
        add_member(by=as_member(cast.alice, cast.tenant), person=cast.bob, role=Role.FINANCE)
    assert Membership.objects.get(person=cast.bob).role == "developer"


@pytest.mark.parametrize("role", [Role.DEVELOPER, Role.FINANCE, Role.AUDITOR])
def test_I6_weak_roles_manage_no_members(role: Role) -> None:
    cast = make_cast()
    weak = as_member(make_person("weak", cast.tenant, role), cast.tenant)
    with pytest.raises(Forbidden):
        add_member(by=weak, person=cast.charlie, role=Role.AUDITOR)
    with pytest.raises(Forbidden):
        change_member(by=weak, person=cast.bob, role=Role.AUDITOR)
    with pytest.raises(Forbidden):
        remove_member(by=weak, person=cast.bob)


def test_I6_only_an_owner_makes_and_unmakes_owners() -> None:
    cast = make_cast()
    administrator = as_member(make_person("adam", cast.tenant, Role.ADMINISTRATOR), cast.tenant)
    for attempt in (
        lambda: add_member(by=administrator, person=cast.charlie, role=Role.OWNER),
        lambda: change_member(by=administrator, person=cast.bob, role=Role.OWNER),
        lambda: change_member(by=administrator, person=cast.alice, role=Role.AUDITOR),
        lambda: remove_member(by=administrator, person=cast.alice),
    ):
        with pytest.raises(Forbidden):
            attempt()
    change_member(by=administrator, person=cast.bob, role=Role.FINANCE)
    change_member(by=as_member(cast.alice, cast.tenant), person=cast.bob, role=Role.OWNER)
    assert Membership.objects.get(person=cast.bob).role == "owner"


def test_I6_a_member_gets_no_project_of_another_tenant() -> None:
    cast = make_cast()
    alice = as_member(cast.alice, cast.tenant)
    with pytest.raises(NotFound):
        add_member(by=alice, person=cast.charlie, role=Role.AUDITOR, projects=[default_project(cast.strangers)])
    with pytest.raises(NotFound):
        change_member(by=alice, person=cast.bob, role=Role.AUDITOR, projects=[default_project(cast.strangers)])
    with pytest.raises(NotFound):
        remove_member(by=alice, person=cast.charlie)


def test_the_last_owner_stays() -> None:
    cast = make_cast()
    alice = as_member(cast.alice, cast.tenant)
    with pytest.raises(Conflict, match="at least one owner"):
        remove_member(by=alice, person=cast.alice)
    with pytest.raises(Conflict, match="at least one owner"):
        change_member(by=alice, person=cast.alice, role=Role.AUDITOR)
    second = make_person("second", cast.tenant, Role.OWNER)
    switch_person_off(second, actor=TESTS)
    with pytest.raises(Conflict, match="at least one owner"):
        remove_member(by=alice, person=cast.alice)


def test_two_owners_who_remove_each_other_leave_one() -> None:
    cast = make_cast()
    second = make_person("second", cast.tenant, Role.OWNER)
    together = Barrier(2)

    def remove(by: Person, person: Person) -> bool:
        try:
            caller = as_member(by, cast.tenant)
            together.wait(timeout=30)
            remove_member(by=caller, person=person)
        except Conflict:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(2) as pool:
        removals = [pool.submit(remove, cast.alice, second), pool.submit(remove, second, cast.alice)]
        assert sorted(removal.result(timeout=30) for removal in removals) == [False, True]
    assert Membership.objects.filter(tenant=cast.tenant, role=Role.OWNER).count() == 1


def test_I6_a_removed_members_keys_are_revoked_and_the_projects_are_not() -> None:
    cast = make_cast()
    bobs, _ = make_key(cast.tenant, owner=cast.bob)
    made_by_bob, _ = mint_api_key(
        maker=as_member(cast.bob, cast.tenant),
        project=cast.project,
        name="the project's",
        policy=KeyPolicy(frozenset({Scope.INFERENCE})),
    )
    remove_member(by=as_member(cast.alice, cast.tenant), person=cast.bob)
    assert (is_live(bobs), is_live(made_by_bob)) == (False, True)
    with pytest.raises(NotFound):
        as_member(cast.bob, cast.tenant)
    event = AuditEvent.objects.get(tenant=cast.tenant, action="member.removed")
    assert (event.target, event.detail) == (
        str(cast.bob.pseudonym),
        {
            "role": "developer",
            "keys_revoked": 1,
            "keys_handed_over": 0,
            "heir": None,
            "invitations_withdrawn": 0,
            "keys_left": 1,
            "budgets_handed_over": 0,
            "budgets_left": 0,
        },
    )


def test_I6_a_weaker_role_narrows_the_members_keys() -> None:
    cast = make_cast()
    alice = as_member(cast.alice, cast.tenant)
    change_member(by=alice, person=cast.bob, role=Role.ADMINISTRATOR)
    both, _ = make_key(cast.tenant, owner=cast.bob, scopes=[Scope.INFERENCE, Scope.USAGE_READ_TENANT])
    tenants_only, _ = make_key(cast.tenant, owner=cast.bob, scopes=[Scope.USAGE_READ_TENANT])
    inference_only, _ = make_key(cast.tenant, owner=cast.bob)
    change_member(by=alice, person=cast.bob, role=Role.DEVELOPER)
    assert ApiKey.objects.get(pk=both.pk).scopes == ["inference"]
    assert (is_live(both), is_live(tenants_only), is_live(inference_only)) == (True, False, True)
    narrowed = AuditEvent.objects.get(tenant=cast.tenant, action="api_key.narrowed")
    assert narrowed.target == both.lookup
    assert narrowed.detail == {
        "before": {"scopes": ["inference", "usage:read:tenant"]},
        "after": {"scopes": ["inference"]},
    }


def test_I6_a_member_confined_to_projects_loses_the_keys_of_others() -> None:
    cast = make_cast()
    second = create_project(cast.tenant, "Second", actor=TESTS)
    kept, _ = make_key(cast.tenant, project=second, owner=cast.bob)
    lost, _ = make_key(cast.tenant, owner=cast.bob)
    change_member(by=as_member(cast.alice, cast.tenant), person=cast.bob, role=Role.DEVELOPER, projects=[second])
    assert (is_live(kept), is_live(lost)) == (True, False)
    assert as_member(cast.bob, cast.tenant).project_ids == frozenset({second.pk})
    change_member(by=as_member(cast.alice, cast.tenant), person=cast.bob, role=Role.DEVELOPER)
    assert as_member(cast.bob, cast.tenant).project_ids is None


def test_a_leavers_keys_of_projects_go_to_the_heir_who_may_know_of_them() -> None:
    cast = make_cast()
    second = create_project(cast.tenant, "Second", actor=TESTS)
    policy = KeyPolicy(frozenset({Scope.INFERENCE}))
    key, _ = mint_api_key(maker=as_member(cast.bob, cast.tenant), project=cast.project, name="theirs", policy=policy)
    alice, dora = as_member(cast.alice, cast.tenant), make_person("dora")
    add_member(by=alice, person=dora, role=Role.DEVELOPER, projects=[second])
    for nobody in (dora, cast.charlie):
        with pytest.raises(Invalid, match="responsible"):
            remove_member(by=alice, person=cast.bob, heir=nobody)
    assert as_member(cast.bob, cast.tenant)
    remove_member(by=alice, person=cast.bob, heir=cast.alice)
    assert ApiKey.objects.get(pk=key.pk).responsible == cast.alice
    changed = AuditEvent.objects.get(tenant=cast.tenant, action="api_key.changed", target=key.lookup)
    assert changed.detail["after"] == {"responsible": str(cast.alice.pseudonym)}


def test_keys_that_nobody_took_over_are_told_of() -> None:
    cast = make_cast()
    policy = KeyPolicy(frozenset({Scope.INFERENCE}))
    key, _ = mint_api_key(maker=as_member(cast.bob, cast.tenant), project=cast.project, name="theirs", policy=policy)
    alice = as_member(cast.alice, cast.tenant)
    remove_member(by=alice, person=cast.bob)
    assert is_live(key)
    assert list(keys_without_responsible(alice)) == [key]
    assert "api_key.needs_a_responsible_person" in [entry.notice.kind for entry in inbox(cast.alice)]


def test_who_comes_from_the_provider_is_changed_there() -> None:
    cast = make_cast()
    alice = as_member(cast.alice, cast.tenant)
    for source in (Membership.Source.GROUP, Membership.Source.SCIM):
        Membership.objects.filter(person=cast.bob).update(source=source)
        with pytest.raises(Conflict, match="identity provider"):
            change_member(by=alice, person=cast.bob, role=Role.OWNER)
        with pytest.raises(Conflict, match="identity provider"):
            remove_member(by=alice, person=cast.bob)
    change_member(by=Caller.system("scim", cast.tenant), person=cast.bob, role=Role.AUDITOR)
