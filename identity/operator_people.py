"""The people who run the platform, for those who appoint them: who they are, who joins and leaves, and what they look
into (support sessions of all operators in all tenants).
"""

from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from identity.errors import NotFound
from identity.models import OperatorRole, Person, SupportSession
from identity.name_order import by_name
from identity.operators import Operator, appoint_operator, dismiss_operator
from identity.people import clean_email, create_person
from identity.permissions import OperatorPermission
from identity.service import service

PAGE_SIZE = 50


def operators_for(by: Operator) -> QuerySet[Person]:
    """Everybody who runs the platform, by name, with their `appointments`. Raises `Forbidden`."""
    by.require(OperatorPermission.OPERATOR_APPOINT)
    return Person.objects.filter(is_operator=True).prefetch_related("appointments").order_by(by_name(), "email")


def take_on(*, by: Operator, email: str, name: str, role: OperatorRole) -> bool:
    """Give whoever has the address a role; an account is made where there is none. False where it was so before.

    Raises `Forbidden`, `Invalid` (the address or the name), `Conflict` (a member of an organisation).
    """
    by.require(OperatorPermission.OPERATOR_APPOINT)
    email = clean_email(email)
    with transaction.atomic():
        person = Person.objects.filter(email=email).first()
        person = person or create_person(email=email, name=name, language=service().default_language, actor=by.actor)
        return appoint_operator(person, role, actor=by.actor)


def let_go(*, by: Operator, pseudonym: UUID, role: OperatorRole) -> bool:
    """Take a role away. False where there was none.

    Raises `Forbidden`, `NotFound`, `Conflict` for the last who appoints.
    """
    by.require(OperatorPermission.OPERATOR_APPOINT)
    person = Person.objects.filter(pseudonym=pseudonym, is_operator=True).first()
    if person is None:
        raise NotFound("operator")
    return dismiss_operator(person, role, actor=by.actor)


def running_sessions(by: Operator) -> QuerySet[SupportSession]:
    """The support sessions that are open anywhere, the one that ends first above. Raises `Forbidden`."""
    return _sessions(by).filter(ended_at=None, expires_at__gt=timezone.now()).order_by("expires_at", "pk")


def past_sessions(
    by: Operator, *, before: int | None = None, size: int = PAGE_SIZE
) -> tuple[list[SupportSession], int | None]:
    """Those that are over, the newest first, and what to continue before. Raises `Forbidden`."""
    over = _sessions(by).filter(Q(ended_at__isnull=False) | Q(expires_at__lte=timezone.now())).order_by("-pk")
    rows = list((over if before is None else over.filter(pk__lt=before))[: size + 1])
    return rows[:size], rows[size - 1].pk if len(rows) > size else None


def _sessions(by: Operator) -> QuerySet[SupportSession]:
    by.require(OperatorPermission.OPERATOR_APPOINT)
    return SupportSession.objects.select_related("tenant", "operator", "granted_by")
