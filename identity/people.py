"""The life of a person: created, switched off."""

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from identity import audit
from identity.access_news import tell_access_changed
from identity.api_keys import revoke_keys_of_person
from identity.errors import Conflict, Invalid
from identity.models import OperatorAppointment, OperatorRole, Person
from identity.wording import clean_name

EMAIL_LENGTH_MAX = 254  # characters; RFC 5321 allows no longer path


def create_person(
    *, email: str, actor: audit.Actor, name: str = "", language: str = "en", is_operator: bool = False
) -> Person:
    """Somebody who can sign in, without a password. The audit chain learns the pseudonym only.

    is_operator: runs the platform; what else there is to run, `operators.appoint_operator` gives

    Raises `Invalid`, or `Conflict` where the address is taken.
    """
    email = clean_email(email)
    if language not in dict(settings.LANGUAGES):
        raise Invalid("language", _("is none that the pages exist in"))
    person = Person(
        email=email, name=clean_name(name) if name.strip() else "", language=language, is_operator=is_operator
    )
    person.set_unusable_password()
    with transaction.atomic():
        try:
            with transaction.atomic():
                person.save(force_insert=True)
        except IntegrityError:
            raise Conflict(_("the e-mail address is taken")) from None
        if is_operator:
            OperatorAppointment.objects.create(person=person, role=OperatorRole.PLATFORM)
        detail = {"is_operator": is_operator}
        audit.record(actor=actor, action="person.created", target=person, detail=detail)
    return person


def switch_person_off(person: Person, *, actor: audit.Actor) -> bool:
    """No sign-in any more, and the person's keys in every tenant are revoked. False where it was so before."""
    with transaction.atomic():
        if not Person.objects.filter(pk=person.pk, is_active=True).update(is_active=False):
            return False
        tell_access_changed([person.pk])
        revoked = revoke_keys_of_person(person, actor=actor)
        audit.record(actor=actor, action="person.switched_off", target=person, detail={"keys_revoked": revoked})
    person.refresh_from_db()
    return True


def clean_email(email: str) -> str:
    """The address in lower case. Raises `Invalid`."""
    email = email.strip().lower()
    try:
        validate_email(email)
    except ValidationError:
        raise Invalid("email", _("must be an e-mail address")) from None
    if len(email) > EMAIL_LENGTH_MAX:
        raise Invalid("email", _("must have at most %(count)s characters") % {"count": EMAIL_LENGTH_MAX})
    return email
