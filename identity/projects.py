"""The life of a project: created, changed, archived. It is never deleted: usage records name it."""

from django.db import IntegrityError, transaction

from identity import audit
from identity.errors import Conflict
from identity.models import Project, Tenant
from identity.wording import clean_name

COST_CENTRE_LENGTH_MAX = 64  # characters; the width of the column


def create_project(tenant: Tenant, name: str, *, actor: audit.Actor, cost_centre: str = "") -> Project:
    """A new project. Raises `Invalid`, or `Conflict` where the tenant has one of this name."""
    name, cost_centre = clean_name(name), _clean_cost_centre(cost_centre)
    with transaction.atomic():
        try:
            with transaction.atomic():
                project = Project.objects.create(tenant=tenant, name=name, cost_centre=cost_centre)
        except IntegrityError:
            raise Conflict("the tenant has a project of this name") from None
        detail = {"name": name, "cost_centre": cost_centre}
        audit.record(tenant=tenant, actor=actor, action="project.created", target=project, detail=detail)
    return project


def change_project(project: Project, *, name: str, cost_centre: str, actor: audit.Actor) -> None:
    """Give the project another name or cost centre. Raises `Invalid`, or `Conflict` where the name is taken."""
    after = {"name": clean_name(name), "cost_centre": _clean_cost_centre(cost_centre)}
    with transaction.atomic():
        row = Project.objects.select_for_update(no_key=True).get(pk=project.pk)
        before = {"name": row.name, "cost_centre": row.cost_centre}
        if before == after:
            return
        try:
            with transaction.atomic():
                Project.objects.filter(pk=project.pk).update(**after)
        except IntegrityError:
            raise Conflict("the tenant has a project of this name") from None
        detail = {"before": before, "after": after}
        audit.record(tenant=row.tenant, actor=actor, action="project.changed", target=row, detail=detail)
    project.refresh_from_db()


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
