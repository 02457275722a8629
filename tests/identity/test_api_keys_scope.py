"""A key never grants more than its maker or itself has (I6)."""

from datetime import timedelta
from ipaddress import ip_address

import pytest
from django.utils import timezone

from identity.access import Caller, caller_for_key
from identity.api_keys import authenticate, mint_api_key
from identity.errors import Forbidden, NotFound
from identity.key_policy import KeyPolicy
from identity.members import add_member
from identity.models import AuditEvent, Role
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
NOW = timezone.now()
INFERENCE = KeyPolicy(frozenset({Scope.INFERENCE}))


@pytest.mark.parametrize(
    ("role", "scope", "may"),
    [
        (Role.OWNER, Scope.USAGE_READ_TENANT, True),
        (Role.DEVELOPER, Scope.INFERENCE, True),
        (Role.DEVELOPER, Scope.KEYS_MANAGE, True),
        (Role.DEVELOPER, Scope.USAGE_READ_TENANT, False),
        (Role.FINANCE, Scope.USAGE_READ_TENANT, False),
        (Role.AUDITOR, Scope.USAGE_READ_TENANT, False),
        (Role.AUDITOR, Scope.INFERENCE, False),
    ],
)
def test_I6_a_person_gives_a_key_no_scope_that_the_role_lacks(role: Role, scope: Scope, may: bool) -> None:
    cast = make_cast()
    maker = as_member(make_person("somebody", cast.tenant, role), cast.tenant)
    policy = KeyPolicy(frozenset({scope}))
    if may:
        assert mint_api_key(maker=maker, project=cast.project, name="k", policy=policy)[0].scopes == [scope.value]
        return
    with pytest.raises(Forbidden):
        mint_api_key(maker=maker, project=cast.project, name="k", policy=policy)
    assert not cast.project.api_keys.exists()


MANAGE = frozenset({Scope.KEYS_MANAGE, Scope.INFERENCE})
SOON, LATER = NOW + timedelta(days=1), NOW + timedelta(days=2)
PARENT = KeyPolicy(
    scopes=MANAGE,
    allowed_models=("small", "large"),
    ip_ranges=("10.0.0.0/8", "2001:db8::/32"),
    origins=("https://a.example.org",),
    expires_at=SOON,
)


@pytest.mark.parametrize(
    ("policy", "refused"),
    [
        (PARENT, None),
        (
            KeyPolicy(
                frozenset({Scope.INFERENCE}),
                ("small",),
                ("10.1.0.0/16", "2001:db8:1::/48"),
                (),
                NOW + timedelta(hours=9),
            ),
            None,
        ),
        (KeyPolicy(MANAGE | {Scope.USAGE_READ_TENANT}, ("small",), ("10.0.0.0/8",), (), SOON), "usage:read:tenant"),
        (KeyPolicy(MANAGE, (), ("10.0.0.0/8",), (), SOON), "allowed_models"),
        (KeyPolicy(MANAGE, ("small", "other"), ("10.0.0.0/8",), (), SOON), "allowed_models"),
        (KeyPolicy(MANAGE, ("small",), (), (), SOON), "ip_ranges"),
        (KeyPolicy(MANAGE, ("small",), ("0.0.0.0/0",), (), SOON), "ip_ranges"),
        (KeyPolicy(MANAGE, ("small",), ("10.0.0.0/8", "192.0.2.1"), (), SOON), "ip_ranges"),
        (KeyPolicy(MANAGE, ("small",), ("::/0",), (), SOON), "ip_ranges"),
        (KeyPolicy(MANAGE, ("small",), ("10.0.0.0/8",), ("https://b.example.org",), SOON), "origins"),
        (KeyPolicy(MANAGE, ("small",), ("10.0.0.0/8",), (), None), "expires_at"),
        (KeyPolicy(MANAGE, ("small",), ("10.0.0.0/8",), (), LATER), "expires_at"),
    ],
)
def test_I6_a_key_passes_on_at_most_what_it_has(policy: KeyPolicy, refused: str | None) -> None:
    tenant = make_tenant()
    project = default_project(tenant)
    parent, _ = mint_api_key(maker=Caller.system("tests", tenant), project=project, name="parent", policy=PARENT)
    maker = caller_for_key(parent)
    if refused is None:
        child, text = mint_api_key(maker=maker, project=project, name="child", policy=policy)
        assert authenticate(text, client_ip=ip_address("10.1.2.3"), origin=None, now=timezone.now()) == child
        assert AuditEvent.objects.get(action="api_key.minted", target=child.lookup).actor == parent.lookup
        return
    with pytest.raises(Forbidden, match=refused):
        mint_api_key(maker=maker, project=project, name="child", policy=policy)


def test_I6_a_key_without_the_scope_makes_no_keys() -> None:
    tenant = make_tenant()
    key, _ = make_key(tenant)
    with pytest.raises(Forbidden):
        mint_api_key(maker=caller_for_key(key), project=default_project(tenant), name="k", policy=INFERENCE)


def test_I6_a_key_makes_keys_in_its_own_project_only() -> None:
    tenant = make_tenant()
    second = create_project(tenant, "Second", actor=TESTS)
    key, _ = make_key(tenant, scopes=MANAGE)
    for project in (second, default_project(make_tenant())):
        with pytest.raises(NotFound):
            mint_api_key(maker=caller_for_key(key), project=project, name="k", policy=INFERENCE)


def test_I6_a_key_makes_keys_for_its_own_owner_only() -> None:
    cast = make_cast()
    bobs, _ = make_key(cast.tenant, owner=cast.bob, scopes=MANAGE)
    shared, _ = make_key(cast.tenant, scopes=MANAGE)
    for parent, owner in ((bobs, None), (bobs, cast.alice), (shared, cast.bob)):
        with pytest.raises(Forbidden, match="owner"):
            mint_api_key(maker=caller_for_key(parent), project=cast.project, name="k", policy=INFERENCE, owner=owner)
    child, _ = mint_api_key(
        maker=caller_for_key(bobs), project=cast.project, name="k", policy=INFERENCE, owner=cast.bob
    )
    assert child.owner == cast.bob


def test_I6_members_own_their_own_keys_and_administrators_give_them_to_members() -> None:
    cast = make_cast()
    bob, alice = as_member(cast.bob, cast.tenant), as_member(cast.alice, cast.tenant)
    assert (
        mint_api_key(maker=bob, project=cast.project, name="k", policy=INFERENCE, owner=cast.bob)[0].owner == cast.bob
    )
    assert (
        mint_api_key(maker=alice, project=cast.project, name="k", policy=INFERENCE, owner=cast.bob)[0].owner == cast.bob
    )
    with pytest.raises(Forbidden, match="owner"):
        mint_api_key(maker=bob, project=cast.project, name="k", policy=INFERENCE, owner=cast.alice)
    with pytest.raises(NotFound, match="owner"):
        mint_api_key(maker=alice, project=cast.project, name="k", policy=INFERENCE, owner=cast.charlie)


def test_I6_a_member_of_one_project_makes_no_keys_in_another() -> None:
    cast = make_cast()
    second = create_project(cast.tenant, "Second", actor=TESTS)
    dora = make_person("dora")
    add_member(by=Caller.system("tests", cast.tenant), person=dora, role=Role.DEVELOPER, projects=[second])
    maker = as_member(dora, cast.tenant)
    assert mint_api_key(maker=maker, project=second, name="k", policy=INFERENCE)[0].project == second
    with pytest.raises(NotFound):
        mint_api_key(maker=maker, project=cast.project, name="k", policy=INFERENCE)
