"""The cast of our tests: alice owns a tenant, bob is a developer there, charlie belongs to another one.

Everything is committed for real and new each time, with names that no other test uses.
"""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from identity import access
from identity.access import Caller
from identity.api_keys import mint_api_key
from identity.audit import Actor
from identity.key_policy import KeyPolicy
from identity.members import add_member
from identity.models import ApiKey, Notice, OperatorRole, Person, Project, Role, Tenant
from identity.operators import appoint_operator
from identity.people import create_person
from identity.scopes import Scope
from identity.tenants import create_tenant

TESTS = Actor.system("tests")


@dataclass(frozen=True)
class Cast:
    """alice owns `tenant`, bob is a developer in all its projects, charlie owns `strangers`."""

    tenant: Tenant
    project: Project
    alice: Person
    bob: Person
    strangers: Tenant
    charlie: Person


def make_cast() -> Cast:
    """Two tenants and three people."""
    tenant, strangers = make_tenant(), make_tenant()
    return Cast(
        tenant=tenant,
        project=default_project(tenant),
        alice=make_person("alice", tenant, Role.OWNER),
        bob=make_person("bob", tenant, Role.DEVELOPER),
        strangers=strangers,
        charlie=make_person("charlie", strangers, Role.OWNER),
    )


def make_tenant(name: str = "A tenant") -> Tenant:
    """A tenant with its "Default" project and no members."""
    return create_tenant(slug=f"t-{uuid.uuid4().hex}", name=name, actor=TESTS)


def default_project(tenant: Tenant) -> Project:
    """The project that every tenant begins with."""
    return tenant.projects.get(name="Default")


def make_person(name: str, tenant: Tenant | None = None, role: Role = Role.DEVELOPER) -> Person:
    """A person; with a tenant, a member of it in all projects."""
    person = create_person(email=f"{name}-{uuid.uuid4().hex}@example.org", name=name, actor=TESTS)
    if tenant is not None:
        add_member(by=Caller.system("tests", tenant), person=person, role=role)
    return person


def make_operator(role: OperatorRole = OperatorRole.PLATFORM) -> Person:
    """Somebody who runs the platform, as this and nothing else."""
    operator = make_person("olga")
    appoint_operator(operator, role, actor=TESTS)
    return operator


def make_key(
    tenant: Tenant,
    *,
    project: Project | None = None,
    owner: Person | None = None,
    scopes: Iterable[Scope] = (Scope.INFERENCE,),
    allowed_models: tuple[str, ...] = (),
    ip_ranges: tuple[str, ...] = (),
    origins: tuple[str, ...] = (),
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """A key of the tenant's "Default" (or the given) project, and its text."""
    return mint_api_key(
        maker=Caller.system("tests", tenant),
        project=project or default_project(tenant),
        name="a key",
        policy=KeyPolicy(frozenset(scopes), allowed_models, ip_ranges, origins, expires_at),
        owner=owner,
    )


def as_member(person: Person, tenant: Tenant) -> Caller:
    """The person, asking within the tenant."""
    return access.caller_for_person(person, tenant.slug)


def make_quiet_cast() -> Cast:
    """As `make_cast`, with empty inboxes: nobody is told any more that the others are members."""
    cast = make_cast()
    Notice.objects.filter(tenant__in=[cast.tenant, cast.strangers]).delete()
    return cast
