"""Who is in a tenant, with all that one needs to decide whether they still should be."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from identity.access import Caller
from identity.errors import NotFound
from identity.models import ApiKey, Membership, Person, Project, Role
from identity.permissions import Permission


@dataclass(frozen=True, slots=True)
class Member:
    """A member, as lists show one.

    projects: what the member is confined to; None: all of the tenant's
    last_sign_in_at: into this tenant; None: never
    live_keys: personal keys of the tenant that can still be used
    """

    person: Person
    role: Role
    projects: tuple[Project, ...] | None
    source: Membership.Source
    since: datetime
    last_sign_in_at: datetime | None
    live_keys: int

    @property
    def is_changed_here(self) -> bool:
        """Whether the role is set here, not by the identity provider."""
        return self.source == Membership.Source.INVITATION


def members_of(caller: Caller) -> list[Member]:
    """All members by name, in a fixed number of queries. Raises `Forbidden`."""
    caller.require(Permission.MEMBER_READ)
    memberships = Membership.objects.filter(tenant=caller.tenant).select_related("person")
    return _described(caller, list(memberships.prefetch_related("projects")))


def members_named(caller: Caller, text: str, *, size: int) -> list[Person]:
    """At most `size` members with the text in their name or address, by name. Raises `Forbidden`."""
    caller.require(Permission.MEMBER_READ)
    named = Q(name__icontains=text) | Q(email__icontains=text)
    people = Person.objects.filter(named, memberships__tenant=caller.tenant).distinct()
    return list(people.order_by("name", "email")[:size])


def member_for(caller: Caller, pseudonym: UUID) -> Member:
    """One member. Raises `NotFound`, `Forbidden`."""
    found = Membership.objects.filter(tenant=caller.tenant, person__pseudonym=pseudonym).select_related("person")
    memberships = list(found.prefetch_related("projects"))
    if not memberships:
        raise NotFound("member")
    caller.require(Permission.MEMBER_READ)
    return _described(caller, memberships)[0]


def _described(caller: Caller, memberships: list[Membership]) -> list[Member]:
    people = [membership.person_id for membership in memberships]
    keys = _live_keys(caller, people)
    rows = [
        Member(
            person=membership.person,
            role=Role(membership.role),
            projects=None if membership.in_all_projects else tuple(sorted(membership.projects.all(), key=str)),
            source=Membership.Source(membership.source),
            since=membership.created_at,
            last_sign_in_at=membership.person.last_login,
            live_keys=keys[membership.person_id],
        )
        for membership in memberships
    ]
    return sorted(rows, key=lambda row: (str(row.person).casefold(), row.person.pk))


def _live_keys(caller: Caller, people: list[int]) -> Counter[int]:
    live = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
    keys = ApiKey.objects.filter(live, tenant=caller.tenant, owner__in=people, revoked_at=None)
    return Counter(owner for owner in keys.values_list("owner_id", flat=True) if owner is not None)
