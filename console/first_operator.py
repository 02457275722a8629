"""The first person of an empty installation: somebody has to be let in who can let others in."""

from datetime import timedelta

from django.utils import timezone

from identity.audit import Actor
from identity.models import Person
from identity.people import create_person
from identity.sign_in_links import make_link

ACTOR = Actor.system("set_up")
# Nobody reads mail there: the operator gives their own address once signed in.
PLACEHOLDER_EMAIL = "operator@localhost"
LINK_LIFETIME = timedelta(days=1)


def set_up_secret() -> str:
    """The secret of a one-time link that signs the first operator in; empty once an operator has signed in."""
    operators = Person.objects.filter(is_operator=True, is_active=True)
    if operators.filter(last_login__isnull=False).exists():
        return ""
    person = operators.first() or create_person(
        email=PLACEHOLDER_EMAIL, name="First operator", is_operator=True, actor=ACTOR
    )
    return make_link(person, LINK_LIFETIME, actor=ACTOR, now=timezone.now())
