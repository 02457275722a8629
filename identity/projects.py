"""The life of a project: created, changed, archived. It is never deleted: usage records name it."""

from collections.abc import Iterable
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from identity import audit
from identity.errors import Conflict, Invalid
from identity.keep import Keep
from identity.key_policy import cleaned_models
from identity.models import Membership, Person, Project, Tenant
from identity.wording import clean_name

COST_CENTRE_LENGTH_MAX = 64  # characters; the width of the column, and of that of purchase orders


def create_project(
    tenant: Tenant,
    name: str,
    *,
    actor: audit.Actor,
    cost_centre: str = "",
    purchase_order: str = "",
    responsible: Person | None = None,
    allowed_models: Iterable[str] = (),
) -> Project:
    """A new project. Raises `Invalid`, or `Conflict` where the tenant has one of this name.

    allowed_models: ids of the only models that its keys may call; none: all of the tenant
    """
    name, models = clean_name(name), cleaned_models(allowed_models)
    cost_centre, purchase_order = _clean_code("cost_centre", cost_centre), _clean_code("purchase_order", purchase_order)
    _check_responsible(tenant, responsible)
    with transaction.atomic():
        try:
            with transaction.atomic():
                project = Project.objects.create(
                    tenant=tenant,
                    name=name,
                    cost_centre=cost_centre,
                    purchase_order=purchase_order,
                    responsible=responsible,
                    allowed_models=list(models),
                )
        except IntegrityError:
            raise Conflict(_("the tenant has a project of this name")) from None
        audit.record(tenant=tenant, actor=actor, action="project.created", target=project, detail=_described(project))
    return project


def change_project(
    project: Project,
    *,
    actor: audit.Actor,
    name: str | None = None,
    cost_centre: str | None = None,
    purchase_order: str | None = None,
    responsible: Person | Keep | None = Keep.KEEP,
    allowed_models: Iterable[str] | None = None,
) -> bool:
    """Change what is given. False where all of it was so before.

    responsible: who answers for it from now on; None: nobody
    allowed_models: ids of the only models that its keys may call from now on, also where a key itself lists more;
    none: all of the tenant. Gateways know within a second.
    Raises `Invalid`, or `Conflict` where the name is taken.
    """
    with transaction.atomic():
        rows = Project.objects.select_for_update(of=("self",), no_key=True).select_related("responsible", "tenant")
        row = rows.get(pk=project.pk)
        before = _described(row)
        if name is not None:
            row.name = clean_name(name)
        if cost_centre is not None:
            row.cost_centre = _clean_code("cost_centre", cost_centre)
        if purchase_order is not None:
            row.purchase_order = _clean_code("purchase_order", purchase_order)
        if not isinstance(responsible, Keep):
            _check_responsible(row.tenant, responsible)
            row.responsible = responsible
        if allowed_models is not None:
            row.allowed_models = list(cleaned_models(allowed_models))
        after = _described(row)
        if after == before:
            return False
        _save(row)
        changed = [member for member in after if after[member] != before[member]]
        audit.record(
            tenant=row.tenant,
            actor=actor,
            action="project.changed",
            target=project,  # under the name that it had
            before={member: before[member] for member in changed},
            after={member: after[member] for member in changed},
        )
    project.refresh_from_db()
    return True


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


def _clean_code(field: str, text: str) -> str:
    return clean_name(text, field, COST_CENTRE_LENGTH_MAX) if text.strip() else ""


def _check_responsible(tenant: Tenant, person: Person | None) -> None:
    if person is not None and not Membership.objects.filter(tenant=tenant, person=person).exists():
        raise Invalid("responsible", _("must be a member of the organisation"))


def _save(row: Project) -> None:
    try:
        with transaction.atomic():
            row.save(update_fields=["name", "cost_centre", "purchase_order", "responsible", "allowed_models"])
    except IntegrityError:
        raise Conflict(_("the tenant has a project of this name")) from None


def _described(project: Project) -> dict[str, Any]:
    return {
        "name": project.name,
        "cost_centre": project.cost_centre,
        "purchase_order": project.purchase_order,
        "responsible": str(project.responsible.pseudonym) if project.responsible else None,
        "allowed_models": project.allowed_models,
    }
