"""Who answers for a budget: chosen here; what that means is in `identity/budget_duties.py`."""

from django.db import transaction
from django.utils.translation import gettext as _

from billing.limits.places import Place, Source
from billing.models import Budget, Scope
from identity import audit
from identity.access import Caller
from identity.budget_duties import PEOPLE_SHOWN_MAX, people_answering, people_who_may_answer_for, put_duty
from identity.errors import Conflict, NotFound
from identity.models import ApiKey, Person, Project
from identity.permissions import Permission


def choose_responsible(*, budget: Budget, person: Person | None, actor: audit.Actor) -> bool:
    """Have the person, or nobody, answer for the budget. False where it was so before.

    Raises `Invalid` (no member who may see what it is on), `Conflict` (it is ended).
    """
    place = Place.of_row(budget)
    with transaction.atomic():
        place.lock()
        if not Budget.objects.filter(pk=budget.pk, is_active=True).exists():
            raise Conflict(_("The budget is ended."))
        before = people_answering([budget.pk]).get(budget.pk)
        if before == person:
            return False
        put_duty(place.tenant, budget.pk, holder_of(budget), person)
        audit.record(
            actor=actor,
            action="budget.given",
            target=budget,
            tenant=place.tenant,
            detail={"scope": place.scope.value, "period": budget.period},
            before={"responsible": str(before.pseudonym) if before else None},
            after={"responsible": str(person.pseudonym) if person else None},
        )
    return True


def budget_to_answer_for(caller: Caller, budget_id: int) -> Budget:
    """An active budget of the caller's tenant, one of its projects or keys. Raises `NotFound`, `Forbidden`."""
    caller.require(Permission.BUDGET_UPDATE)
    found = Budget.objects.filter(pk=budget_id, tenant_id=caller.tenant.pk, is_active=True)
    budget = found.exclude(source=Source.CREDIT).first()
    if budget is None:
        raise NotFound("budget")
    return budget


def people_to_choose(caller: Caller, budget: Budget) -> list[Person]:
    """Who may answer for it, by name; the first of very many."""
    holder = holder_of(budget)
    project = holder.project if isinstance(holder, ApiKey) else holder
    return list(people_who_may_answer_for(caller.tenant, project)[:PEOPLE_SHOWN_MAX])


def holder_of(budget: Budget) -> Project | ApiKey | None:
    """What it is on; None: the whole organisation. Raises `NotFound`: it is gone."""
    found: Project | ApiKey | None
    match budget.scope:
        case Scope.PROJECT:
            found = Project.objects.filter(pk=budget.scope_id).first()
        case Scope.KEY:
            found = ApiKey.objects.filter(pk=budget.scope_id).select_related("project", "tenant").first()
        case _:
            return None
    if found is None:
        raise NotFound("budget")
    return found
