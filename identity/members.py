"""Who belongs to a tenant. What a member loses, the member's keys lose in the same transaction (I6)."""

from collections.abc import Sequence
from typing import Any

from django.db import IntegrityError, transaction

from identity import audit
from identity.access import Caller, scopes_of
from identity.api_keys import revoke_api_key, revoke_keys_of_person
from identity.errors import Conflict, Forbidden, NotFound
from identity.models import ApiKey, Membership, Person, Project, Role, Tenant
from identity.permissions import Permission, may_give, permissions_of_role


def add_member(*, by: Caller, person: Person, role: Role, projects: Sequence[Project] | None = None) -> Membership:
    """Make the person a member of the caller's tenant, of all its projects (None) or only of those named.

    Raises `Forbidden` (only an owner makes owners), `NotFound` (another tenant's project), `Conflict` (a member
    already, or somebody who runs the platform).
    """
    _require_may_set(by, role)
    _require_own(by.tenant, projects)
    if person.is_operator:
        raise Conflict("who runs the platform is no member: a support session is the way in")
    with transaction.atomic():
        try:
            with transaction.atomic():
                membership = Membership.objects.create(
                    person=person, tenant=by.tenant, role=role, in_all_projects=projects is None
                )
        except IntegrityError:
            raise Conflict("the person is a member already") from None
        membership.projects.set(projects or [])
        detail = _described(role, projects)
        audit.record(tenant=by.tenant, actor=by.actor, action="member.added", target=person, detail=detail)
    return membership


def change_member(*, by: Caller, person: Person, role: Role, projects: Sequence[Project] | None = None) -> None:
    """Give the member another role or other projects; the member's keys keep only what the new role allows.

    Raises `Forbidden`, `NotFound`, `Conflict` (the last owner).
    """
    _require_own(by.tenant, projects)
    with transaction.atomic():
        membership = _locked_membership(by.tenant, person)
        _require_may_set(by, role, Role(membership.role))
        if role != Role.OWNER:
            _require_another_owner(membership)
        Membership.objects.filter(pk=membership.pk).update(role=role, in_all_projects=projects is None)
        membership.projects.set(projects or [])
        _narrow_keys(by, person, role, projects)
        detail = _described(role, projects) | {"role_before": membership.role}
        audit.record(tenant=by.tenant, actor=by.actor, action="member.changed", target=person, detail=detail)


def remove_member(*, by: Caller, person: Person) -> None:
    """End the membership and revoke the person's keys in the tenant. Raises `Forbidden`, `NotFound`, `Conflict`."""
    with transaction.atomic():
        membership = _locked_membership(by.tenant, person)
        _require_may_set(by, Role(membership.role))
        _require_another_owner(membership)
        membership.delete()
        revoked = revoke_keys_of_person(person, tenant=by.tenant, actor=by.actor)
        detail = {"role": membership.role, "keys_revoked": revoked}
        audit.record(tenant=by.tenant, actor=by.actor, action="member.removed", target=person, detail=detail)


def _require_may_set(by: Caller, *roles: Role) -> None:
    by.require(Permission.MEMBER_UPDATE)
    if Role.OWNER in roles and not by.is_system and by.role != Role.OWNER:
        raise Forbidden("only an owner makes or unmakes owners")


def _require_own(tenant: Tenant, projects: Sequence[Project] | None) -> None:
    if any(project.tenant_id != tenant.pk for project in projects or ()):
        raise NotFound("project")


def _locked_membership(tenant: Tenant, person: Person) -> Membership:
    # The tenant's row first: two owners who remove each other must queue, or none would be left.
    Tenant.objects.select_for_update(no_key=True).get(pk=tenant.pk)
    membership = Membership.objects.select_for_update().filter(tenant=tenant, person=person).first()
    if membership is None:
        raise NotFound("member")
    return membership


def _require_another_owner(membership: Membership) -> None:
    if membership.role != Role.OWNER:
        return
    others = Membership.objects.filter(tenant=membership.tenant, role=Role.OWNER, person__is_active=True)
    if not others.exclude(pk=membership.pk).exists():
        raise Conflict("a tenant keeps at least one owner")


def _narrow_keys(by: Caller, person: Person, role: Role, projects: Sequence[Project] | None) -> None:
    permissions = permissions_of_role(role, in_all_projects=projects is None)
    project_ids = None if projects is None else {project.pk for project in projects}
    for key in ApiKey.objects.filter(tenant=by.tenant, owner=person, revoked_at=None).select_related("tenant"):
        kept = sorted(scope for scope in scopes_of(key) if may_give(scope, permissions))
        if not kept or (project_ids is not None and key.project_id not in project_ids):
            revoke_api_key(key, actor=by.actor, reason="the owner may not have it any more")
        elif kept != sorted(key.scopes):
            ApiKey.objects.filter(pk=key.pk).update(scopes=kept)
            detail = {"scopes": kept, "scopes_before": sorted(key.scopes)}
            audit.record(tenant=by.tenant, actor=by.actor, action="api_key.narrowed", target=key, detail=detail)


def _described(role: Role, projects: Sequence[Project] | None) -> dict[str, Any]:
    ids = None if projects is None else sorted(project.pk for project in projects)
    return {"role": role.value, "projects": ids}
