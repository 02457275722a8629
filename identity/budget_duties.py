"""Who answers for a budget: a member who sees what it is on, and is told what it tells.

Somebody who is no such member any more, or may not see the project any more, answers for nothing: no row has to be
changed for that. Who leaves hands over to an heir, or leaves the budgets to nobody (`members.remove_member`).
"""

from collections.abc import Iterable, Mapping

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _

from identity import audit
from identity.errors import Invalid
from identity.models import ApiKey, BudgetDuty, Membership, Person, Project, Tenant
from identity.name_order import by_name

PEOPLE_SHOWN_MAX = 500  # to choose from in a form


def people_answering(budget_ids: Iterable[int]) -> Mapping[int, Person]:
    """By budget, who answers for it now; those for which nobody does are left out."""
    members = Membership.objects.filter(tenant=OuterRef("tenant"), person=OuterRef("person"), person__is_active=True)
    seeing = Q(in_all_projects=True) | Q(projects=OuterRef("place"))
    placed = BudgetDuty.objects.annotate(place=Coalesce("key__project", "project"))
    found = placed.filter(Exists(members.filter(seeing)), budget_id__in=list(budget_ids))
    return {duty.budget_id: duty.person for duty in found.select_related("person")}


def people_who_may_answer_for(tenant: Tenant, project: Project | None) -> QuerySet[Person]:
    """Active members who see the project, or where there is none the whole tenant, by name."""
    members = Membership.objects.filter(tenant=tenant, person=OuterRef("pk"))
    seeing = Q(in_all_projects=True) | Q(projects=project) if project else Q(in_all_projects=True)
    return Person.objects.filter(Exists(members.filter(seeing)), is_active=True).order_by(by_name(), "email")


def put_duty(tenant: Tenant, budget_id: int, holder: Project | ApiKey | None, person: Person | None) -> None:
    """From now on the person, or nobody, answers for the budget on the holder, or on the tenant. Raises `Invalid`.

    The caller keeps the audit.
    """
    if person is None:
        BudgetDuty.objects.filter(budget_id=budget_id).delete()
        return
    key, project = (holder, None) if isinstance(holder, ApiKey) else (None, holder)
    _require_may_answer(tenant, person, key.project if key else project)
    values = {"tenant": tenant, "person": person, "project": project, "key": key}
    BudgetDuty.objects.update_or_create(budget_id=budget_id, defaults=values)


def hand_over_budgets(*, tenant: Tenant, leaving: Person, heir: Person | None, actor: audit.Actor) -> int:
    """Have the heir, or nobody, answer for the budgets for which somebody who leaves did. Returns how many there were.

    Raises `Invalid` where the heir may not see what one of them is on.
    """
    duties = BudgetDuty.objects.filter(tenant=tenant, person=leaving)
    with transaction.atomic():
        rows = list(duties.select_for_update(of=("self",)).select_related("project", "key__project").order_by("pk"))
        if heir is not None:
            for project in {row.key.project if row.key else row.project for row in rows}:
                _require_may_answer(tenant, heir, project)
            duties.update(person=heir)
        else:
            duties.delete()
        after = {"responsible": str(heir.pseudonym) if heir else None}
        for row in rows:
            target = audit.Target("budget", str(row.budget_id))
            before = {"responsible": str(leaving.pseudonym)}
            audit.record(
                tenant=tenant, actor=actor, action="budget.handed_over", target=target, before=before, after=after
            )
    return len(rows)


def _require_may_answer(tenant: Tenant, person: Person, project: Project | None) -> None:
    if not people_who_may_answer_for(tenant, project).filter(pk=person.pk).exists():
        raise Invalid("responsible", _("must be a member who may see what the budget is on"))
