"""What people decide about themselves: name, language, look, time zone, and what becomes of their data."""

from typing import Any
from zoneinfo import available_timezones

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from identity import audit
from identity.erasure import export_person
from identity.errors import Invalid
from identity.models import Person, Theme
from identity.notices import notify
from identity.service import service
from identity.wording import clean_name


def change_account(person: Person, *, name: str, language: str, theme: str, time_zone: str) -> None:
    """How the person is called and how pages look. `time_zone` empty: that of each organisation. Raises `Invalid`."""
    if language not in service().offered_languages:
        raise Invalid("language", _("is none that is offered here"))
    if theme not in Theme.values:
        raise Invalid("theme", _("is none of light, dark, system"))
    if time_zone and time_zone not in available_timezones():
        raise Invalid("time_zone", _('must be a time zone such as "Europe/Paris"'))
    values = {"name": clean_name(name), "language": language, "theme": theme, "time_zone": time_zone}
    with transaction.atomic():
        Person.objects.select_for_update(no_key=True).get(pk=person.pk)
        changed = sorted(field for field, value in values.items() if getattr(person, field) != value)
        if not changed:
            return
        Person.objects.filter(pk=person.pk).update(**values)
        # Which of them, not what: the chain keeps nothing that is about a person.
        actor = audit.Actor.person(person)
        audit.record(actor=actor, action="person.changed", target=person, detail={"fields": changed})
    for field, value in values.items():
        setattr(person, field, value)


def take_data(person: Person) -> dict[str, Any]:
    """All that is known of the person, for themself; that they took it is told in the chain."""
    with transaction.atomic():
        audit.record(actor=audit.Actor.person(person), action="person.exported", target=person)
        return export_person(person)


def ask_for_erasure(person: Person) -> None:
    """Ask the platform's operators to erase the person; asked twice in a day is asked once."""
    day = timezone.now().date().isoformat()
    with transaction.atomic():
        context = {"name": str(person), "email": person.email}
        notify(None, "erasure.requested", context=context, once_key=f"erasure:{person.pseudonym}:{day}")
        audit.record(actor=audit.Actor.person(person), action="erasure.requested", target=person)
