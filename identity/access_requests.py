"""Somebody signed in but belongs nowhere: the request to be let into a tenant, and what became of it."""

from collections.abc import Sequence
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import F, QuerySet
from django.utils.translation import gettext as _

from identity import audit
from identity.access import Caller
from identity.errors import Conflict, NotFound
from identity.members import add_member
from identity.models import AccessRequest, Membership, Notice, Person, Project, Role, Tenant
from identity.notices import notify
from identity.permissions import Permission
from identity.wording import clean_name

MESSAGE_LENGTH_MAX = 500  # characters; the width of the column
PEOPLE_TO_ASK = 3
OPEN_OF_A_PERSON_MAX = 5  # who asks at more doors than this is trying them
_OUTCOME = AccessRequest.Outcome


def tenant_to_ask(person: Person, slug: str = "") -> Tenant | None:
    """Whom somebody without membership can ask: the tenant of the link that they came by, else of their address.

    Only where the tenant has the domain of their address, or let them in by its own provider: to anybody else the
    tenant does not exist.
    """
    tenants = Tenant.objects.filter(status=Tenant.Status.ACTIVE)
    if person.only_tenant_id is not None:
        return tenants.filter(pk=person.only_tenant_id).first()
    tenants = tenants.filter(email_domains__domain=person.email.rpartition("@")[2])
    return (tenants.filter(slug=slug).first() if slug else None) or tenants.first()


def people_to_ask(tenant: Tenant) -> list[Person]:
    """Who can let somebody in: at most three owners and administrators, those who signed in last."""
    can = Person.objects.filter(
        is_active=True, memberships__tenant=tenant, memberships__role__in=(Role.OWNER, Role.ADMINISTRATOR)
    )
    return list(can.order_by(F("last_login").desc(nulls_last=True), "id")[:PEOPLE_TO_ASK])


def open_request_of(person: Person, tenant: Tenant) -> AccessRequest | None:
    """What the person has asked and nobody answered yet."""
    return AccessRequest.objects.filter(person=person, tenant=tenant, outcome=_OUTCOME.OPEN).first()


def ask(*, person: Person, tenant: Tenant, message: str = "") -> AccessRequest:
    """Ask a tenant's administrators to be let in; they get a notice. Asked again, it is the same request.

    Raises `NotFound` where the person may not know of the tenant, `Conflict` for a member, `Invalid`.
    """
    if tenant_to_ask(person, tenant.slug) != tenant:
        raise NotFound("tenant")
    if Membership.objects.filter(person=person, tenant=tenant).exists():
        raise Conflict(_("you are a member already"))
    message = clean_name(" ".join(message.split()), "message", MESSAGE_LENGTH_MAX) if message.strip() else ""
    with transaction.atomic():
        mine = AccessRequest.objects.filter(person=person, outcome=_OUTCOME.OPEN)
        if mine.count() >= OPEN_OF_A_PERSON_MAX:
            raise Conflict(_("you have asked in several places; wait for an answer"))
        try:
            with transaction.atomic():
                request = AccessRequest.objects.create(person=person, tenant=tenant, message=message)
        except IntegrityError:
            return mine.get(tenant=tenant)
        notify(
            tenant,
            "access.requested",
            roles=(Role.OWNER, Role.ADMINISTRATOR),
            context={"request": request.pk},
            once_key=f"access_request:{request.pk}",
            level=Notice.Level.INFO,
        )
        actor = audit.Actor.person(person)
        audit.record(tenant=tenant, actor=actor, action="access_request.made", target=request)
    return request


def open_requests(caller: Caller) -> QuerySet[AccessRequest]:
    """What waits for an answer in the caller's tenant, the oldest first. Raises `Forbidden`."""
    caller.require(Permission.MEMBER_READ)
    waiting = AccessRequest.objects.filter(tenant=caller.tenant, outcome=_OUTCOME.OPEN)
    return waiting.select_related("person").order_by("id")


def approve(
    *, by: Caller, request_id: int, role: Role, now: datetime, projects: Sequence[Project] | None = None
) -> Membership:
    """Let the person in with the role; `projects` None: in all of them. Raises `Forbidden`, `NotFound`, `Conflict`."""
    by.require(Permission.MEMBER_UPDATE)
    with transaction.atomic():
        request = _decided(by, request_id, _OUTCOME.APPROVED, now)
        membership = add_member(by=by, person=request.person, role=role, projects=projects)
        audit.record(tenant=by.tenant, actor=by.actor, action="access_request.approved", target=request)
    return membership


def refuse(*, by: Caller, request_id: int, now: datetime) -> None:
    """Do not let the person in. Raises `Forbidden`, `NotFound`."""
    by.require(Permission.MEMBER_UPDATE)
    with transaction.atomic():
        request = _decided(by, request_id, _OUTCOME.REFUSED, now)
        audit.record(tenant=by.tenant, actor=by.actor, action="access_request.refused", target=request)


def _decided(by: Caller, request_id: int, outcome: AccessRequest.Outcome, now: datetime) -> AccessRequest:
    waiting = AccessRequest.objects.filter(pk=request_id, tenant=by.tenant, outcome=_OUTCOME.OPEN)
    if not waiting.update(outcome=outcome, decided_at=now, decided_by=by.person):
        raise NotFound("request")
    return AccessRequest.objects.select_related("person").get(pk=request_id)
