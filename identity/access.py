"""The access funnel: the only way by which a front door gets a tenant, a project, a key or a notice (I6).

A door first learns who asks (`caller_for_person`, `caller_for_key`), then asks here for each thing, naming the
permission that it needs. What a caller may not know of raises `NotFound`, exactly like what does not exist; what it may
know of but not do raises `Forbidden`. So a stranger never gets a 403, which would tell that there is something.

Who runs the platform is a stranger in every tenant, but for the time of a support session there.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Self
from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Exists, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Coalesce, JSONObject, Now, NullIf
from django.utils import timezone

from identity.audit import Actor, ActorKind
from identity.errors import Forbidden, NotFound
from identity.models import (
    ApiKey,
    Channel,
    Membership,
    Notice,
    NoticeDelivery,
    OperatorRole,
    Person,
    Project,
    Role,
    SupportSession,
    Tenant,
    Webhook,
)
from identity.name_order import by_name
from identity.permissions import (
    OPERATOR_PERMISSIONS,
    SUPPORT_MAY_BE_GRANTED,
    SUPPORT_PERMISSIONS,
    OperatorPermission,
    Permission,
    permissions_of_role,
    permissions_of_scopes,
)
from identity.scopes import Scope

_MAY_SUPPORT = [role for role in OperatorRole if OperatorPermission.SUPPORT_OPEN in OPERATOR_PERMISSIONS[role]]
# With the membership, in one query: every page tells of them.
_GUESTS = ArraySubquery(
    SupportSession.objects.filter(tenant=OuterRef("tenant"), ended_at=None, expires_at__gt=Now())
    .order_by("opened_at")
    .values(
        guest=JSONObject(
            id="pk",
            name=Coalesce(NullIf("operator__name", Value("")), "operator__email", Value("–")),
            reason="reason",
            expires_at="expires_at",
        )
    )
)


@dataclass(frozen=True, slots=True)
class Guest:
    """An operator who looks into the tenant now: what every page tells of it."""

    session_id: int
    name: str
    reason: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, within one tenant: a member, a key, an operator in a support session, or a part of the product.

    permissions: USAGE_READ_TENANT is about the whole tenant, also for a key, which else is confined to its project
    project_ids: the projects that the caller is confined to; None: all of the tenant's, later ones too
    support: the session that an operator asks through; guests: who of the operator looks in, for a page to tell
    key: the API key that asks; None for a person
    """

    tenant: Tenant
    actor: Actor
    permissions: frozenset[Permission]
    project_ids: frozenset[int] | None = None
    person: Person | None = None
    role: Role | None = None
    key: ApiKey | None = None
    support: SupportSession | None = None
    guests: tuple[Guest, ...] = ()

    @classmethod
    def system(cls, component: str, tenant: Tenant) -> Self:
        """A part of the product that sets a tenant up by itself, such as "seed_demo"."""
        return cls(tenant=tenant, actor=Actor.system(component), permissions=frozenset(Permission))

    @property
    def is_system(self) -> bool:
        """Whether it is a part of the product that asks."""
        return self.actor.kind == ActorKind.SYSTEM

    @property
    def project(self) -> Project | None:
        """The project of the key that asks; None for a person."""
        return self.key.project if self.key else None

    @property
    def scopes(self) -> frozenset[Scope]:
        """The scopes of the key that asks; none for a person, who has permissions only."""
        return scopes_of(self.key) if self.key else frozenset()

    def may(self, permission: Permission) -> bool:
        """Whether the caller has the permission at all; on which projects, the functions below see to."""
        return permission in self.permissions

    def require(self, permission: Permission) -> None:
        """Raises `Forbidden` where the caller lacks the permission."""
        if permission not in self.permissions:
            raise Forbidden(permission.value)


def scopes_of(key: ApiKey) -> frozenset[Scope]:
    """The scopes of a key. One that a later release wrote and this one does not know gives nothing."""
    known = set(Scope)
    return frozenset(Scope(scope) for scope in key.scopes if scope in known)


def caller_for_person(person: Person, slug: str) -> Caller:
    """The person as a member of the tenant, or, for who runs the platform, through a live support session.

    Raises `NotFound` for strangers, for people switched off, and for operators without a session.
    """
    if person.is_operator:
        return _caller_for_operator(person, slug)
    mine = memberships_of(person).select_related("tenant").annotate(guests=_GUESTS)
    membership = mine.filter(person__is_active=True, tenant__slug=slug).first()
    if membership is None:
        raise NotFound("tenant")
    return _caller_for_member(person, membership)


def caller_for_key(key: ApiKey) -> Caller:
    """The caller behind a key that `api_keys.authenticate` let in: confined to the key's project."""
    return Caller(
        tenant=key.tenant,
        actor=Actor.key(key),
        permissions=permissions_of_scopes(scopes_of(key)),
        project_ids=frozenset({key.project_id}),
        key=key,
    )


def tenants_of(person: Person) -> QuerySet[Tenant]:
    """The tenants that the person is a member of, or has a live support session in, by name."""
    if not person.is_active:
        return Tenant.objects.none()
    if person.is_operator:
        return Tenant.objects.filter(support_sessions__in=live_support_sessions(person)).order_by(by_name(), "id")
    return Tenant.objects.filter(memberships__in=memberships_of(person)).order_by(by_name(), "id")


def tenant_for(person: Person, slug: str, permission: Permission = Permission.TENANT_READ) -> Tenant:
    """The tenant, for a page about the whole of it. Raises `NotFound`, `Forbidden`."""
    caller = caller_for_person(person, slug)
    caller.require(permission)
    return caller.tenant


def projects_for(caller: Caller) -> QuerySet[Project]:
    """The projects that the caller may know of. Raises `Forbidden`."""
    caller.require(Permission.PROJECT_READ)
    return _projects_within(caller).order_by(by_name(), "id")


def project_for(caller: Caller, project_id: int, permission: Permission = Permission.PROJECT_READ) -> Project:
    """One project. Raises `NotFound`, `Forbidden`."""
    project = _projects_within(caller).filter(pk=project_id).first()
    if project is None:
        raise NotFound("project")
    caller.require(permission)
    return project


def keys_for(caller: Caller) -> QuerySet[ApiKey]:
    """The keys that the caller may know of: those of its projects, newest first. Raises `Forbidden`."""
    caller.require(Permission.KEY_READ)
    return _keys_within(caller).order_by("-id")


def key_for(caller: Caller, lookup: str, permission: Permission = Permission.KEY_READ) -> ApiKey:
    """One key by its look-up. A key may know of itself without a scope. Raises `NotFound`, `Forbidden`."""
    key = _keys_within(caller).filter(lookup=lookup).first()
    if key is None:
        raise NotFound("key")
    if not (caller.key and caller.key.pk == key.pk and permission == Permission.KEY_READ):
        caller.require(permission)
    return key


def notices_for(person: Person) -> QuerySet[Notice]:
    """The notices in the person's inbox, newest first: those of a tenant only while the person is a member there, the
    platform's while it is one of its operators. What was sent to the person by name stays.
    """
    if not person.is_active:
        return Notice.objects.none()
    mine = NoticeDelivery.objects.filter(notice=OuterRef("pk"), person=person, channel=Channel.INBOX)
    belongs = Exists(memberships_of(person).filter(tenant=OuterRef("tenant")))
    of_platform = Q(tenant=None) if person.is_operator else Q(tenant=None) & Exists(mine.filter(is_personal=True))
    return Notice.objects.filter(Exists(mine), belongs | of_platform).order_by("-id")


def webhooks_for(caller: Caller) -> QuerySet[Webhook]:
    """The webhooks of the caller's tenant, by name. Raises `Forbidden`."""
    caller.require(Permission.WEBHOOK_READ)
    return Webhook.objects.filter(tenant=caller.tenant).order_by("name", "id")


def webhook_for(caller: Caller, public_id: UUID, permission: Permission = Permission.WEBHOOK_READ) -> Webhook:
    """One webhook. Raises `NotFound`, `Forbidden`."""
    webhook = Webhook.objects.filter(tenant=caller.tenant, public_id=public_id).first()
    if webhook is None:
        raise NotFound("webhook")
    caller.require(permission)
    return webhook


def tenant_notices_for(caller: Caller) -> QuerySet[Notice]:
    """The notices to the tenant, whoever of its members they went to, newest first. Raises `Forbidden`."""
    caller.require(Permission.NOTICE_READ)
    return Notice.objects.filter(tenant=caller.tenant).order_by("-id")


def live_support_sessions(operator: Person) -> QuerySet[SupportSession]:
    """The operator's sessions that have not ended, as long as the operator still has a role that may open one."""
    return SupportSession.objects.filter(
        operator=operator,
        operator__is_active=True,
        operator__appointments__role__in=_MAY_SUPPORT,
        ended_at=None,
        expires_at__gt=Now(),
    ).distinct()


def _caller_for_operator(person: Person, slug: str) -> Caller:
    session = live_support_sessions(person).select_related("tenant").filter(tenant__slug=slug).first()
    if session is None:
        raise NotFound("tenant")
    return Caller(
        tenant=session.tenant,
        actor=Actor.operator(person),
        permissions=SUPPORT_PERMISSIONS | granted_to(session),
        person=person,
        support=session,
        guests=(Guest(session.pk, str(person), session.reason, session.expires_at),),
    )


def granted_to(session: SupportSession) -> frozenset[Permission]:
    """What an owner added to the session and has not run out. What may not be granted counts for nothing here too."""
    if session.granted_until is None or session.granted_until <= timezone.now():
        return frozenset()
    return frozenset(permission for permission in SUPPORT_MAY_BE_GRANTED if permission.value in session.granted)


def memberships_of(person: Person) -> QuerySet[Membership]:
    """In one tenant only where the person's session is confined to it: a tenant's provider opens no other's door."""
    memberships = Membership.objects.filter(person=person, tenant__closed_at=None)
    return memberships if person.only_tenant_id is None else memberships.filter(tenant_id=person.only_tenant_id)


def _caller_for_member(person: Person, membership: Membership) -> Caller:
    project_ids = None
    if not membership.in_all_projects:
        project_ids = frozenset(membership.projects.values_list("pk", flat=True))
    role = Role(membership.role)
    return Caller(
        tenant=membership.tenant,
        actor=Actor.person(person),
        permissions=permissions_of_role(role, in_all_projects=project_ids is None),
        project_ids=project_ids,
        person=person,
        role=role,
        guests=tuple(
            Guest(found["id"], found["name"], found["reason"], datetime.fromisoformat(found["expires_at"]))
            for found in getattr(membership, "guests", ())
        ),
    )


def _projects_within(caller: Caller) -> QuerySet[Project]:
    projects = Project.objects.filter(tenant=caller.tenant)
    return projects if caller.project_ids is None else projects.filter(pk__in=caller.project_ids)


def _keys_within(caller: Caller) -> QuerySet[ApiKey]:
    keys = ApiKey.objects.filter(tenant=caller.tenant, kind=ApiKey.Kind.API)
    keys = keys.select_related("tenant", "project", "owner", "responsible", "use")
    return keys if caller.project_ids is None else keys.filter(project__in=caller.project_ids)
