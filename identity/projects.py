"""The life of a project: created, changed, archived. It is never deleted: usage records name it."""

from typing import Any

from django.db import IntegrityError, transaction

from identity import audit
from identity.errors import Conflict, Invalid
from identity.models import Membership, Person, Project, Tenant
from identity.wording import clean_name

COST_CENTRE_LENGTH_MAX = 64  # characters; the width of the column


def create_project(
    tenant: Tenant, name: str, *, actor: audit.Actor, cost_centre: str = "", responsible: Person | None = None
) -> Project:
    """A new project. Raises `Invalid`, or `Conflict` where the tenant has one of this name."""
    name, cost_centre = clean_name(name), _clean_cost_centre(cost_centre)
    _check_responsible(tenant, responsible)
    with transaction.atomic():
        try:
            with transaction.atomic():
                project = Project.objects.create(
                    tenant=tenant, name=name, cost_centre=cost_centre, responsible=responsible
                )
        except IntegrityError:
            raise Conflict("the tenant has a project of this name") from None
        audit.record(tenant=tenant, actor=actor, action="project.created", target=project, detail=_described(project))
    return project


def change_project(
    project: Project, *, name: str, cost_centre: str, responsible: Person | None = None, actor: audit.Actor
) -> None:
    """Give the project another name, cost centre or responsible person (None: nobody).

    Raises `Invalid`, or `Conflict` where the name is taken.
    """
    name, cost_centre = clean_name(name), _clean_cost_centre(cost_centre)
    _check_responsible(project.tenant, responsible)
    with transaction.atomic():
        row = (
            Project.objects.select_for_update(of=("self",), no_key=True)
            .select_related("responsible")
            .get(pk=project.pk)
        )
        before, after = (
            _described(row),
            _described(Project(name=name, cost_centre=cost_centre, responsible=responsible)),
        )
        if before == after:
            return
        try:
            with transaction.atomic():
                changed = Project.objects.filter(pk=project.pk)
                changed.update(name=name, cost_centre=cost_centre, responsible=responsible)
        except IntegrityError:
            raise Conflict("the tenant has a project of this name") from None
        detail = {"before": before, "after": after}
        audit.record(tenant=row.tenant, actor=actor, action="project.changed", target=row, detail=detail)
    project.refresh_from_db()


def forget_responsible(tenant: Tenant, person: Person, heir: Person | None = None) -> None:
    """The heir, or nobody, answers for the projects for which the person did: call it where the membership ends.

    Raises `Invalid` for an heir who is no member.
    """
    _check_responsible(tenant, heir)
    Project.objects.filter(tenant=tenant, responsible=person).update(responsible=heir)


def archive_project(project: Project, *, actor: audit.Actor) -> bool:
    """Close the project: its keys are refused from now on. False where it was archived before."""
    with transaction.atomic():
        open_project = Project.objects.filter(pk=project.pk, status=Project.Status.ACTIVE)
        if not open_project.update(status=Project.Status.ARCHIVED):
            return False
        audit.record(tenant=project.tenant, actor=actor, action="project.archived", target=project)
    project.refresh_from_db()
    return True


def _clean_cost_centre(text: str) -> str:
    return clean_name(text, "cost_centre", COST_CENTRE_LENGTH_MAX) if text.strip() else ""


def _check_responsible(tenant: Tenant, person: Person | None) -> None:
    if person is not None and not Membership.objects.filter(tenant=tenant, person=person).exists():
        raise Invalid("responsible", "must be a member of the organisation")


def _described(project: Project) -> dict[str, Any]:
    described: dict[str, Any] = {"name": project.name, "cost_centre": project.cost_centre}
    if project.responsible is not None:
        described["responsible"] = str(project.responsible.pseudonym)
    return described
