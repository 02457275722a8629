"""Who belongs to a tenant. What a member loses, the member's keys lose in the same transaction (I6).

Nobody gives more than they have: only an owner makes and unmakes owners, and a key only touches members who may do no
more than itself, in its own project. Who came from a group of the identity provider or by SCIM is changed there.
"""

from collections.abc import Sequence
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from identity import audit
from identity.access import Caller, scopes_of
from identity.access_news import tell_access_changed
from identity.api_keys import revoke_api_key, revoke_keys_of_person
from identity.budget_duties import hand_over_budgets
from identity.errors import Conflict, Forbidden, NotFound
from identity.key_handover import hand_over_keys, tell_of_keys_left
from identity.models import ApiKey, Invitation, Membership, Person, Project, Role, Tenant
from identity.notices import notify
from identity.permissions import Permission, may_give, permissions_of_role
from identity.projects import forget_responsible

Source = Membership.Source


def add_member(
    *,
    by: Caller,
    person: Person,
    role: Role,
    projects: Sequence[Project] | None = None,
    source: Source = Source.INVITATION,
) -> Membership:
    """Make the person a member of the caller's tenant, of all its projects (None) or only of those named.

    Raises `Forbidden` (only an owner makes owners), `NotFound` (another tenant's project), `Conflict` (a member
    already, or somebody who runs the platform).
    """
    by.require(Permission.MEMBER_UPDATE)
    require_may_give(by, role, projects)
    require_own_projects(by.tenant, projects)
    if person.is_operator:
        raise Conflict(_("who runs the platform is no member: a support session is the way in"))
    with transaction.atomic():
        try:
            with transaction.atomic():
                membership = Membership.objects.create(
                    person=person, tenant=by.tenant, role=role, in_all_projects=projects is None, source=source
                )
        except IntegrityError:
            raise Conflict(_("the person is a member already")) from None
        membership.projects.set(projects or [])
        _tell(by, "member.added", {"name": str(person), "role": role.value}, not_to=person)
        detail = described(role, projects) | {"source": source.value}
        audit.record(tenant=by.tenant, actor=by.actor, action="member.added", target=person, detail=detail)
    return membership


def change_member(*, by: Caller, person: Person, role: Role, projects: Sequence[Project] | None = None) -> None:
    """Give the member another role or other projects; the member's keys keep only what the new role allows.

    Raises `Forbidden`, `NotFound`, `Conflict` (the last owner, somebody from a group or from SCIM).
    """
    require_own_projects(by.tenant, projects)
    with transaction.atomic():
        membership = _locked_membership(by, person)
        require_may_give(by, role, projects)
        if role != Role.OWNER:
            _require_another_owner(membership)
        before = described(Role(membership.role), projects_of(membership))
        Membership.objects.filter(pk=membership.pk).update(role=role, in_all_projects=projects is None)
        membership.projects.set(projects or [])
        tell_access_changed([person.pk])
        _narrow_keys(by, person, role, projects)
        _tell(by, "member.changed", {"name": str(person), "by": name_of(by), "role": role.value})
        after = described(role, projects)
        audit.record(
            tenant=by.tenant, actor=by.actor, action="member.changed", target=person, before=before, after=after
        )


def remove_member(*, by: Caller, person: Person, heir: Person | None = None) -> None:
    """End the membership, revoke the person's keys in the tenant, and take back what they had invited.

    heir: a member who answers from now on for the projects, projects' keys and budgets that the person answered for;
    None: nobody yet, and the keys are listed as needing somebody (`key_handover.py`)
    Raises `Forbidden`, `NotFound`, `Invalid` (an heir who cannot answer for them), `Conflict` (the last owner,
    somebody from a group or from SCIM).
    """
    with transaction.atomic():
        membership = _locked_membership(by, person)
        _require_another_owner(membership)
        membership.delete()
        tell_access_changed([person.pk])
        handed_over = hand_over_keys(tenant=by.tenant, leaving=person, heir=heir, actor=by.actor) if heir else 0
        revoked = revoke_keys_of_person(person, tenant=by.tenant, actor=by.actor)
        forget_responsible(by.tenant, person, heir)
        budgets = hand_over_budgets(tenant=by.tenant, leaving=person, heir=heir, actor=by.actor)
        withdrawn = _withdraw_invitations(by.tenant, person)
        left = tell_of_keys_left(person, by.tenant)
        _tell(by, "member.removed", {"name": str(person), "by": name_of(by)})
        detail = {
            "role": membership.role,
            "keys_revoked": revoked,
            "keys_handed_over": handed_over,
            "heir": str(heir.pseudonym) if heir else None,
            "invitations_withdrawn": withdrawn,
            "keys_left": left,
            "budgets_handed_over": budgets if heir else 0,
            "budgets_left": 0 if heir else budgets,
        }
        audit.record(tenant=by.tenant, actor=by.actor, action="member.removed", target=person, detail=detail)


def require_may_give(by: Caller, role: Role, projects: Sequence[Project] | None) -> None:
    """Raises `Forbidden` where the role in these projects (None: all) is more than the caller may give."""
    if by.is_system:
        return
    if role == Role.OWNER and by.role != Role.OWNER:
        raise Forbidden(_("only an owner makes or unmakes owners"))
    if by.key is None:
        return
    given = permissions_of_role(role, in_all_projects=projects is None)
    if beyond := given - by.permissions:
        raise Forbidden(min(beyond).value)
    if by.project_ids is not None and (projects is None or {project.pk for project in projects} - by.project_ids):
        raise Forbidden("projects")


def require_own_projects(tenant: Tenant, projects: Sequence[Project] | None) -> None:
    """Raises `NotFound` for another tenant's project."""
    if any(project.tenant_id != tenant.pk for project in projects or ()):
        raise NotFound("project")


def projects_of(membership: Membership) -> list[Project] | None:
    """The projects that the member is confined to; None: all."""
    return None if membership.in_all_projects else list(membership.projects.order_by("name", "pk"))


def name_of(caller: Caller) -> str:
    """What to call whoever did it, in a notice."""
    if caller.person is not None:
        return str(caller.person)
    known_as = caller.actor.known_as.content if caller.actor.known_as else {}
    return str(known_as.get("name") or caller.actor.name)


def described(role: Role, projects: Sequence[Project] | None) -> dict[str, Any]:
    """A role in some projects, for the audit chain."""
    ids = None if projects is None else sorted(project.pk for project in projects)
    return {"role": role.value, "projects": ids}


def _tell(by: Caller, kind: str, context: dict[str, str], not_to: Person | None = None) -> None:
    """Who oversees the tenant hears what somebody did; what the identity provider does by itself is no news."""
    if not by.is_system:
        notify(by.tenant, kind, context=context, not_to=not_to)


def _locked_membership(by: Caller, person: Person) -> Membership:
    """The membership, which the caller may change."""
    # The tenant's row first: two owners who remove each other must queue, or none would be left.
    Tenant.objects.select_for_update(no_key=True).get(pk=by.tenant.pk)
    membership = Membership.objects.select_for_update().filter(tenant=by.tenant, person=person).first()
    if membership is None:
        raise NotFound("member")
    by.require(Permission.MEMBER_UPDATE)
    require_may_give(by, Role(membership.role), projects_of(membership))
    if membership.source != Source.INVITATION and not by.is_system:
        raise Conflict(_("the person comes from the identity provider and is changed there"))
    return membership


def _require_another_owner(membership: Membership) -> None:
    if membership.role != Role.OWNER:
        return
    others = Membership.objects.filter(tenant=membership.tenant, role=Role.OWNER, person__is_active=True)
    if not others.exclude(pk=membership.pk).exists():
        raise Conflict(_("a tenant keeps at least one owner"))


def _withdraw_invitations(tenant: Tenant, person: Person) -> int:
    """Who leaves must not come back, or let others in, by an invitation of their own."""
    waiting = Invitation.objects.filter(tenant=tenant, invited_by=person, accepted_at=None, withdrawn_at=None)
    return waiting.update(withdrawn_at=timezone.now())


def _narrow_keys(by: Caller, person: Person, role: Role, projects: Sequence[Project] | None) -> None:
    permissions = permissions_of_role(role, in_all_projects=projects is None)
    project_ids = None if projects is None else {project.pk for project in projects}
    for key in ApiKey.objects.filter(tenant=by.tenant, owner=person, revoked_at=None).select_related("tenant"):
        kept = sorted(scope for scope in scopes_of(key) if may_give(scope, permissions))
        if not kept or (project_ids is not None and key.project_id not in project_ids):
            revoke_api_key(key, actor=by.actor, reason="the owner may not have it any more")
        elif kept != sorted(key.scopes):
            ApiKey.objects.filter(pk=key.pk).update(scopes=kept)
            before, after = {"scopes": sorted(key.scopes)}, {"scopes": kept}
            audit.record(
                tenant=by.tenant, actor=by.actor, action="api_key.narrowed", target=key, before=before, after=after
            )
