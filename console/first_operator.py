"""The first person of an empty installation: somebody has to be let in who can let others in."""

from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from identity import providers
from identity.audit import Actor
from identity.models import LocalAdministrator, OperatorRole, Person
from identity.operators import appoint_operator
from identity.people import create_person
from identity.sign_in_links import make_link

ACTOR = Actor.system("set_up")
# Nobody reads mail there: the operator gives their own address once signed in.
PLACEHOLDER_EMAIL = "operator@localhost"
LINK_LIFETIME = timedelta(days=1)


def set_up_secret() -> str:
    """The secret of a one-time link that signs the first operator in; empty once operators have another way in.

    Another way is an operators' provider or break-glass. Whoever starts the installation could set up either, so the
    link lets nobody in who could not come in anyway.
    """
    if providers.operators_version() is not None or LocalAdministrator.objects.exists():
        return ""
    operators = Person.objects.filter(is_operator=True, is_active=True).order_by("pk")
    return make_link(operators.first() or _first_operator(), LINK_LIFETIME, actor=ACTOR, now=timezone.now())


def _first_operator() -> Person:
    """Platform and billing operator in one: as long as nobody else is there, nobody else could set a price."""
    with transaction.atomic():
        person = create_person(email=PLACEHOLDER_EMAIL, name="First operator", is_operator=True, actor=ACTOR)
        appoint_operator(person, OperatorRole.BILLING, actor=ACTOR)
    return person
