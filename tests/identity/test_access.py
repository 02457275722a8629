"""The access funnel: who sees what, and with which refusal."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from identity import access
from identity.access import Caller, caller_for_key, caller_for_person
from identity.errors import Forbidden, NotFound
from identity.members import add_member
from identity.models import ApiKey, Membership, Person, Project, Role
from identity.people import switch_person_off
from identity.permissions import (
    ROLE_PERMISSIONS,
    SCOPE_PERMISSIONS,
    TENANT_WIDE,
    Permission,
    permissions_of_role,
    permissions_of_scopes,
)
from identity.projects import create_project
from identity.scopes import Scope
from tests.support.people import TESTS, Cast, as_member, make_cast, make_key, make_person

pytestmark = pytest.mark.usefixtures("database")

P = Permission
READS = {P.TENANT_READ, P.PROJECT_READ, P.MODEL_READ, P.REQUEST_READ, P.USAGE_READ, P.BUDGET_READ}
KEYS = {P.KEY_READ, P.KEY_CREATE, P.KEY_UPDATE, P.KEY_ROTATE, P.KEY_BLOCK, P.KEY_REVOKE}
CALLS = {P.INFERENCE_CALL, P.PLAYGROUND_USE}
# role -> what it may do, written out once more by hand: the product's table is made of parts
EXPECTED: dict[Role, set[Permission]] = {
    Role.OWNER: set(Permission),
    Role.ADMINISTRATOR: set(Permission) - {P.SUPPORT_GRANT, P.TIER_CHOOSE, P.CREDIT_ORDER, P.PAYER_UPDATE},
    Role.DEVELOPER: READS | KEYS | CALLS,
    Role.FINANCE: READS | {P.USAGE_READ_TENANT, P.BUDGET_UPDATE, P.BILLING_READ, P.BILLING_UPDATE, P.CREDIT_ORDER},
    Role.AUDITOR: READS
    | {
        P.USAGE_READ_TENANT,
        P.KEY_READ,
        P.MEMBER_READ,
        P.BILLING_READ,
        P.PROVIDER_READ,
        P.NOTICE_READ,
        P.WEBHOOK_READ,
        P.AUDIT_READ,
        P.AUDIT_EXPORT,
    },
}


@dataclass(frozen=True)
class House:
    """A cast with a second project, a key in each, and a member of the second project only."""

    cast: Cast
    second: Project
    key: ApiKey
    key_of_second: ApiKey
    dora: Person


def make_house() -> House:
    cast = make_cast()
    second = create_project(cast.tenant, "Second", actor=TESTS)
    dora = make_person("dora")
    system = Caller.system("tests", cast.tenant)
    add_member(by=system, person=dora, role=Role.DEVELOPER, projects=[second])
    key, _ = make_key(cast.tenant)
    key_of_second, _ = make_key(cast.tenant, project=second)
    return House(cast, second, key, key_of_second, dora)


@pytest.mark.parametrize("role", list(Role))
def test_I6_a_role_may_do_what_the_table_says_and_nothing_else(role: Role) -> None:
    cast = make_cast()
    caller = as_member(make_person("somebody", cast.tenant, role), cast.tenant)
    for permission in Permission:
        assert caller.may(permission) == (permission in EXPECTED[role])
        if permission in EXPECTED[role]:
            caller.require(permission)
        else:
            with pytest.raises(Forbidden, match=permission.value):
                caller.require(permission)


def test_permissions_are_named_resource_and_action() -> None:
    assert set(ROLE_PERMISSIONS) == set(Role)
    assert set(SCOPE_PERMISSIONS) == set(Scope)
    assert all(permission.value.count(":") == 1 for permission in Permission)


@pytest.mark.parametrize("role", list(Role))
def test_I6_a_member_of_some_projects_has_nothing_of_the_whole_tenant(role: Role) -> None:
    confined = permissions_of_role(role, in_all_projects=False)
    assert not confined & TENANT_WIDE
    assert confined == EXPECTED[role] - TENANT_WIDE


ASKED: list[tuple[str, Callable[[Caller, House], object]]] = [
    ("project", lambda caller, house: access.project_for(caller, house.cast.project.pk)),
    ("key", lambda caller, house: access.key_for(caller, house.key.lookup)),
    ("key to revoke", lambda caller, house: access.key_for(caller, house.key.lookup, P.KEY_REVOKE)),
]


@pytest.mark.parametrize(("what", "ask"), ASKED)
def test_I6_strangers_find_nothing(what: str, ask: Callable[[Caller, House], object]) -> None:
    house = make_house()
    strangers_key, _ = make_key(house.cast.strangers, scopes=list(Scope))
    for stranger in (
        as_member(house.cast.charlie, house.cast.strangers),
        caller_for_key(strangers_key),
        as_member(house.dora, house.cast.tenant),
        caller_for_key(house.key_of_second),
        Caller.system("tests", house.cast.strangers),
    ):
        with pytest.raises(NotFound):
            ask(stranger, house)


@pytest.mark.parametrize(("what", "ask"), ASKED)
def test_I6_the_owner_finds_it(what: str, ask: Callable[[Caller, House], object]) -> None:
    house = make_house()
    assert ask(as_member(house.cast.alice, house.cast.tenant), house) in (house.cast.project, house.key)


def test_I6_a_weak_role_is_forbidden_what_it_may_know_of() -> None:
    house = make_house()
    fred = as_member(make_person("fred", house.cast.tenant, Role.FINANCE), house.cast.tenant)
    with pytest.raises(Forbidden):
        access.key_for(fred, house.key.lookup)
    with pytest.raises(Forbidden):
        access.keys_for(fred)
    with pytest.raises(Forbidden):
        access.project_for(fred, house.cast.project.pk, P.PROJECT_UPDATE)
    assert access.project_for(fred, house.cast.project.pk) == house.cast.project


def test_I6_what_does_not_exist_looks_like_what_belongs_to_others() -> None:
    house = make_house()
    charlie = as_member(house.cast.charlie, house.cast.strangers)
    refusals = []
    for lookup in (house.key.lookup, "0000000000", "", "' or 1=1"):
        with pytest.raises(NotFound) as refusal:
            access.key_for(charlie, lookup)
        refusals.append(str(refusal.value))
    assert len(set(refusals)) == 1


def test_I6_a_strangers_tenant_is_not_found_even_by_name() -> None:
    cast = make_cast()
    for slug in (cast.tenant.slug, "no-such-tenant"):
        with pytest.raises(NotFound):
            caller_for_person(cast.charlie, slug)
        with pytest.raises(NotFound):
            access.tenant_for(cast.charlie, slug)


def test_a_page_about_the_tenant_asks_for_a_permission() -> None:
    cast = make_cast()
    assert access.tenant_for(cast.alice, cast.tenant.slug, P.TENANT_UPDATE) == cast.tenant
    with pytest.raises(Forbidden):
        access.tenant_for(cast.bob, cast.tenant.slug, P.TENANT_UPDATE)


def test_lists_hold_only_what_the_caller_may_know_of() -> None:
    house = make_house()
    tenant = house.cast.tenant
    alice, dora = as_member(house.cast.alice, tenant), as_member(house.dora, tenant)
    assert set(access.projects_for(alice)) == {house.cast.project, house.second}
    assert set(access.keys_for(alice)) == {house.key, house.key_of_second}
    assert set(access.projects_for(dora)) == {house.second}
    assert set(access.keys_for(dora)) == {house.key_of_second}
    assert list(access.tenants_of(house.dora)) == [tenant]
    assert list(access.tenants_of(house.cast.charlie)) == [house.cast.strangers]


def test_I6_a_member_of_projects_that_are_gone_is_in_none_rather_than_in_all() -> None:
    house = make_house()
    Membership.objects.get(person=house.dora).projects.clear()
    dora = as_member(house.dora, house.cast.tenant)
    assert list(access.projects_for(dora)) == []
    assert list(access.keys_for(dora)) == []


def test_a_person_switched_off_is_a_stranger_everywhere() -> None:
    cast = make_cast()
    switch_person_off(cast.bob, actor=TESTS)
    with pytest.raises(NotFound):
        caller_for_person(cast.bob, cast.tenant.slug)
    assert list(access.tenants_of(cast.bob)) == []
    assert list(access.notices_for(cast.bob)) == []


@pytest.mark.parametrize(
    ("scopes", "may"),
    [
        ([Scope.INFERENCE], CALLS),
        ([Scope.USAGE_READ_TENANT], {P.USAGE_READ_TENANT}),
        ([Scope.KEYS_MANAGE], KEYS),
        ([Scope.INFERENCE, Scope.USAGE_READ_TENANT, Scope.KEYS_MANAGE], CALLS | KEYS | {P.USAGE_READ_TENANT}),
    ],
)
def test_I6_a_key_may_do_what_its_scopes_say_and_read_its_own(scopes: list[Scope], may: set[Permission]) -> None:
    assert permissions_of_scopes(frozenset(scopes)) == READS | may


def test_I6_a_key_is_confined_to_its_project() -> None:
    house = make_house()
    key, _ = make_key(house.cast.tenant, scopes=list(Scope))
    caller = caller_for_key(key)
    assert (caller.project, caller.scopes) == (house.cast.project, frozenset(Scope))
    assert set(access.projects_for(caller)) == {house.cast.project}
    assert set(access.keys_for(caller)) == {house.key, key}


def test_a_key_knows_of_itself_without_a_scope_but_not_of_others() -> None:
    house = make_house()
    caller = caller_for_key(house.key)
    assert access.key_for(caller, house.key.lookup) == house.key
    with pytest.raises(Forbidden):
        access.key_for(caller, house.key.lookup, P.KEY_REVOKE)
    other, _ = make_key(house.cast.tenant)
    with pytest.raises(Forbidden):
        access.key_for(caller, other.lookup)
    with pytest.raises(Forbidden):
        access.keys_for(caller)


def test_a_scope_of_a_later_release_gives_nothing() -> None:
    key, _ = make_key(make_cast().tenant)
    ApiKey.objects.filter(pk=key.pk).update(scopes=["inference", "everything:forever"])
    assert access.scopes_of(ApiKey.objects.get(pk=key.pk)) == {Scope.INFERENCE}


def test_a_list_of_keys_is_one_query() -> None:
    house = make_house()
    alice = as_member(house.cast.alice, house.cast.tenant)
    with CaptureQueriesContext(connection) as queries:
        names = [f"{key.tenant.name} {key.project.name}" for key in access.keys_for(alice)]
    assert len(names) == 2
    assert len(queries) == 1
