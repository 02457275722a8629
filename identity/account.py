"""What people decide about themselves: name, language, look, time zone, and what becomes of their data."""

from typing import Any
from zoneinfo import available_timezones

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from identity import audit
from identity.errors import Invalid
from identity.models import Membership, NoticeAnswer, NoticeChoice, Person, Theme
from identity.notice_wording import word
from identity.notices import inbox, notify
from identity.sign_ins import sessions_of
from identity.wording import clean_name


def change_account(person: Person, *, name: str, language: str, theme: str, time_zone: str) -> None:
    """How the person is called and how pages look. `time_zone` empty: that of each organisation. Raises `Invalid`."""
    if language not in dict(settings.LANGUAGES):
        raise Invalid("language", "is none that the pages exist in")
    if theme not in Theme.values:
        raise Invalid("theme", "is none of light, dark, system")
    if time_zone and time_zone not in available_timezones():
        raise Invalid("time_zone", 'must be a time zone such as "Europe/Paris"')
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


def own_data(person: Person) -> dict[str, Any]:
    """All that is kept about the person as such, as JSON can say it (GDPR, articles 15 and 20). Of requests nothing is
    kept but figures, and those are the organisation's.
    """
    memberships = Membership.objects.filter(person=person).select_related("tenant").order_by("id")
    answers = NoticeAnswer.objects.filter(person=person).order_by("id")
    return {
        "made_at": timezone.now().isoformat(),
        "person": {
            "pseudonym": str(person.pseudonym),
            "name": person.name,
            "email": person.email,
            "language": person.language,
            "theme": person.theme,
            "time_zone": person.time_zone,
            "created_at": person.created_at.isoformat(),
        },
        "memberships": [
            {
                "organisation": one.tenant.name,
                "role": one.role,
                "source": one.source,
                "since": one.created_at.isoformat(),
            }
            for one in memberships
        ],
        "sessions": [
            {
                "began_at": one.began_at.isoformat(),
                "last_seen_at": one.last_seen_at.isoformat(),
                "address": one.address,
                "browser": one.user_agent,
            }
            for one in sessions_of(person)
        ],
        "notice_choices": list(NoticeChoice.objects.filter(person=person).values("kind", "channel", "is_on")),
        "answers": [
            {"notice": one.notice_id, "yes": one.is_yes, "comment": one.comment, "at": one.answered_at.isoformat()}
            for one in answers
        ],
        "notices": [_told(entry.notice, person) for entry in inbox(person)],
    }


def ask_for_erasure(person: Person) -> None:
    """Ask the platform's operators to erase the person; asked twice in a day is asked once."""
    day = timezone.now().date().isoformat()
    with transaction.atomic():
        context = {"name": str(person), "email": person.email}
        notify(None, "erasure.requested", context=context, once_key=f"erasure:{person.pseudonym}:{day}")
        audit.record(actor=audit.Actor.person(person), action="erasure.requested", target=person)


def _told(notice: Any, person: Person) -> dict[str, Any]:
    worded = word(notice, language=person.language, time_zone="UTC")
    return {"at": notice.created_at.isoformat(), "title": worded.title, "text": worded.text}
