"""Invitations: an address is asked to become a member, and is one when its owner signs in.

An invitation lives for `LIFETIME`. Who was invited is told by e-mail; who signs in through an identity provider that
vouches for the address becomes a member (`accept_invitations`). An invitation gives at most what its maker could give
(I6), and goes when its maker is removed.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.contrib.postgres.aggregates import ArrayAgg
from django.db import IntegrityError, transaction
from django.db.models import Exists, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from identity import audit
from identity.access import Caller
from identity.errors import Conflict, NotFound
from identity.members import add_member, described, name_of, require_may_give, require_own_projects
from identity.models import EmailDomain, IdentityProvider, Invitation, Membership, Person, Project, Role
from identity.notices import notify, notify_outsider
from identity.people import clean_email
from identity.permissions import Permission
from identity.service import service

LIFETIME = timedelta(days=7)
# A mistake or a stolen session must not write to half the world.
OPEN_MAX = 500


def invite(*, by: Caller, email: str, role: Role, projects: Sequence[Project] | None = None) -> Invitation:
    """Ask whoever owns the address to become a member, of all projects (None) or only of those named.

    One that is open for the address already is replaced. Raises `Forbidden` (only an owner invites owners; a key gives
    no more than it has), `Invalid`, `NotFound` (another tenant's project), `Conflict` (a member already, an operator,
    too many open ones).
    """
    by.require(Permission.MEMBER_INVITE)
    require_own_projects(by.tenant, projects)
    require_may_give(by, role, projects)
    email = clean_email(email)
    now = timezone.now()
    with transaction.atomic():
        known = _require_invitable(by, email)
        open_invitations(by, now=None).filter(email=email).update(withdrawn_at=now)
        try:
            with transaction.atomic():
                invitation = Invitation.objects.create(
                    tenant=by.tenant,
                    email=email,
                    role=role,
                    in_all_projects=projects is None,
                    invited_by=by.person,
                    created_at=now,
                    expires_at=now + LIFETIME,
                )
        except IntegrityError:
            raise Conflict(_("somebody invites this address just now")) from None
        invitation.projects.set(projects or [])
        told = {"email": email, "by": name_of(by), "role": role.value, "expires_at": invitation.expires_at.isoformat()}
        notify(by.tenant, "member.invited", context=told)
        _write_to(invitation, by, known)
        _record(by.actor, "invitation.made", invitation, projects)
    return invitation


def withdraw(*, by: Caller, invitation_id: int) -> None:
    """Take an open invitation back. Raises `NotFound`, `Forbidden`."""
    with transaction.atomic():
        invitation = open_invitations(by, now=timezone.now()).select_for_update(of=("self",)).filter(pk=invitation_id)
        found = invitation.first()
        if found is None:
            raise NotFound("invitation")
        by.require(Permission.MEMBER_INVITE)
        Invitation.objects.filter(pk=found.pk).update(withdrawn_at=timezone.now())
        _record(by.actor, "invitation.withdrawn", found, _projects_of(found))


def accept_invitations(
    *, person: Person, verified_email: str, through: IdentityProvider, now: datetime
) -> list[Membership]:
    """Make the person, who has just signed in, a member wherever the address was invited.

    verified_email: an address that the identity provider vouches for; "" accepts nothing
    through: who vouches; a tenant's own provider only for that tenant, and for addresses of its confirmed domains
    What the person is a member of already stays as it is. Who runs the platform is no member anywhere.
    """
    email = verified_email.strip().lower()
    if not email or person.is_operator or through.audience == IdentityProvider.Audience.OPERATORS:
        return []
    with transaction.atomic():
        waiting = Invitation.objects.filter(email=email, accepted_at=None, withdrawn_at=None, expires_at__gt=now)
        if through.tenant_id is not None:
            confirmed = EmailDomain.objects.filter(tenant_id=through.tenant_id, domain=email.rpartition("@")[2])
            waiting = waiting.filter(Exists(confirmed), tenant_id=through.tenant_id)
        # In one order, as every writer locks the tenants' chains.
        rows = list(waiting.select_for_update(of=("self",)).select_related("tenant").order_by("tenant_id"))
        return [membership for row in rows if (membership := _accept(row, person, now)) is not None]


def open_invitations(by: Caller, *, now: datetime | None) -> QuerySet[Invitation]:
    """The caller's tenant's invitations that are neither accepted nor withdrawn, nor (`now` given) expired."""
    found = Invitation.objects.filter(tenant=by.tenant, accepted_at=None, withdrawn_at=None)
    return found if now is None else found.filter(expires_at__gt=now)


def invitations_for(caller: Caller) -> QuerySet[Invitation]:
    """The open invitations of the caller's tenant with `project_names`, the newest first. Raises `Forbidden`."""
    caller.require(Permission.MEMBER_READ)
    found = open_invitations(caller, now=timezone.now()).select_related("invited_by")
    names = ArrayAgg("projects__name", filter=Q(projects__isnull=False), default=[], order_by="projects__name")
    return found.annotate(project_names=names).order_by("-created_at", "-pk")


def _accept(invitation: Invitation, person: Person, now: datetime) -> Membership | None:
    Invitation.objects.filter(pk=invitation.pk).update(accepted_at=now)
    if Membership.objects.filter(tenant=invitation.tenant, person=person).exists():
        return None
    projects = _projects_of(invitation)
    system = Caller.system("invitation", invitation.tenant)
    membership = add_member(by=system, person=person, role=Role(invitation.role), projects=projects)
    told = {"name": str(person), "role": invitation.role}
    notify(invitation.tenant, "member.added", context=told, not_to=person)
    _record(audit.Actor.person(person), "invitation.accepted", invitation, projects)
    return membership


def _projects_of(invitation: Invitation) -> list[Project] | None:
    return None if invitation.in_all_projects else list(invitation.projects.all())


def _require_invitable(by: Caller, email: str) -> Person | None:
    """Whom the address is known as here already."""
    person = Person.objects.filter(email=email).first()
    if person is not None and Membership.objects.filter(tenant=by.tenant, person=person).exists():
        raise Conflict(_("the person is a member already"))
    if open_invitations(by, now=timezone.now()).count() >= OPEN_MAX:
        raise Conflict(_("an organisation has at most %(count)s open invitations") % {"count": OPEN_MAX})
    return person


def _write_to(invitation: Invitation, by: Caller, known: Person | None) -> None:
    """The e-mail, in the language of who is known here, else of who invites."""
    reader = known or by.person
    told = {
        "by": name_of(by),
        "organisation": invitation.tenant.name,
        "role": invitation.role,
        "expires_at": invitation.expires_at.isoformat(),
    }
    notify_outsider(
        invitation.tenant,
        "invitation.received",
        email=invitation.email,
        language=reader.language if reader else service().default_language,
        context=told,
    )


def _record(actor: audit.Actor, action: str, invitation: Invitation, projects: Sequence[Project] | None) -> None:
    detail = described(Role(invitation.role), projects)
    audit.record(tenant=invitation.tenant, actor=actor, action=action, target=invitation, detail=detail)
