"""Who is in a tenant, with all that one needs to decide whether they still should be."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce, Now

from identity.access import Caller
from identity.errors import NotFound
from identity.models import ApiKey, Membership, Person, Project, Role, SignIn
from identity.name_order import by_name, name_key
from identity.permissions import Permission


@dataclass(frozen=True, slots=True)
class Member:
    """A member, as lists show one.

    projects: what the member is confined to; None: all of the tenant's
    last_sign_in_at: by a way that leads into this tenant; None: never
    mfa_seen: whether the identity provider said then that a second factor was used
    live_keys: personal keys of the tenant that can still be used
    answers_for: projects' keys that the person answers for
    """

    person: Person
    role: Role
    projects: tuple[Project, ...] | None
    source: Membership.Source
    since: datetime
    last_sign_in_at: datetime | None
    mfa_seen: bool
    live_keys: int
    answers_for: int

    @property
    def is_changed_here(self) -> bool:
        """Whether the role is set here, not by the identity provider."""
        return self.source == Membership.Source.INVITATION


def members_of(caller: Caller) -> list[Member]:
    """All members by name, in two queries. Raises `Forbidden`."""
    caller.require(Permission.MEMBER_READ)
    return sorted(map(_described, _memberships(caller)), key=lambda row: (str(row.person).casefold(), row.person.pk))


@dataclass(frozen=True, slots=True)
class MemberPage:
    """Some of those that fit, by name. `fitting` and `total` count; `next` is the place to go on, None at the end."""

    members: list[Member]
    fitting: int
    total: int
    next: int | None


def members_page(caller: Caller, *, text: str = "", role: str = "", start: int = 0, size: int) -> MemberPage:
    """Members with the text in their name or address, and the role, from the place `start` on. Raises `Forbidden`.

    Three queries. Keys are counted of the members on the page only: hundreds of members may have all of a tenant's.
    """
    caller.require(Permission.MEMBER_READ)
    known = list(Membership.objects.filter(tenant=caller.tenant).select_related("person"))
    known.sort(key=lambda one: (name_key(str(one.person)), one.person.pk))
    fitting = [one.pk for one in known if _fits(one, text, role)]
    shown = {one.pk: _described(one) for one in _memberships(caller).filter(pk__in=fitting[start : start + size])}
    members = [shown[pk] for pk in fitting[start : start + size] if pk in shown]
    return MemberPage(members, len(fitting), len(known), start + size if len(fitting) > start + size else None)


def _fits(membership: Membership, text: str, role: str) -> bool:
    is_named = not text or text.casefold() in f"{membership.person.name} {membership.person.email}".casefold()
    return is_named and (not role or membership.role == role)


def members_named(caller: Caller, text: str, *, size: int) -> list[Person]:
    """At most `size` members with the text in their name or address, by name. Raises `Forbidden`."""
    caller.require(Permission.MEMBER_READ)
    named = Q(name__icontains=text) | Q(email__icontains=text)
    people = Person.objects.filter(named, memberships__tenant=caller.tenant).distinct()
    return list(people.order_by(by_name(), "email")[:size])


def member_for(caller: Caller, pseudonym: UUID) -> Member:
    """One member. Raises `NotFound`, `Forbidden`."""
    membership = _memberships(caller).filter(person__pseudonym=pseudonym).first()
    if membership is None:
        raise NotFound("member")
    caller.require(Permission.MEMBER_READ)
    return _described(membership)


def colleagues_of(caller: Caller, person: Person) -> list[Person]:
    """The other members who can sign in, by name. Raises `Forbidden`."""
    caller.require(Permission.MEMBER_READ)
    others = Person.objects.filter(memberships__tenant=caller.tenant, is_active=True).exclude(pk=person.pk)
    return sorted(others, key=lambda one: (name_key(str(one)), one.pk))


def _memberships(caller: Caller) -> QuerySet[Membership]:
    live = Q(expires_at=None) | Q(expires_at__gt=Now())
    keys = ApiKey.objects.filter(live, tenant=OuterRef("tenant"), revoked_at=None, kind=ApiKey.Kind.API)
    # What somebody does at another tenant's own provider is that tenant's business (I6).
    through = Q(provider=None) | Q(provider__tenant=None) | Q(provider__tenant=OuterRef("tenant"))
    sign_ins = SignIn.objects.filter(through, person=OuterRef("person")).order_by("-began_at")
    return (
        Membership.objects.filter(tenant=caller.tenant)
        .select_related("person")
        .prefetch_related("projects")
        .annotate(
            last_sign_in_at=Subquery(sign_ins.values("began_at")[:1]),
            mfa_seen=Subquery(sign_ins.values("mfa_seen")[:1]),
            live_keys=_counted(keys.filter(owner=OuterRef("person"))),
            answers_for=_counted(keys.filter(owner=None, responsible=OuterRef("person"))),
        )
    )


def _counted(keys: QuerySet[ApiKey]) -> Coalesce:
    counted = keys.order_by().values("tenant").annotate(number=Count("pk")).values("number")
    return Coalesce(Subquery(counted), 0)


def _described(membership: Any) -> Member:
    """`membership`: one of `_memberships`, with its annotations."""
    return Member(
        person=membership.person,
        role=Role(membership.role),
        projects=None if membership.in_all_projects else tuple(sorted(membership.projects.all(), key=str)),
        source=Membership.Source(membership.source),
        since=membership.created_at,
        last_sign_in_at=membership.last_sign_in_at,
        mfa_seen=bool(membership.mfa_seen),
        live_keys=membership.live_keys,
        answers_for=membership.answers_for,
    )
