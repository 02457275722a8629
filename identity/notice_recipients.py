"""To whom a notice goes and by which way: decided once, when it is made."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils import timezone

from identity.models import (
    Channel,
    Membership,
    Notice,
    NoticeChoice,
    NoticeDelivery,
    Person,
    Project,
    Role,
    Webhook,
)
from identity.notice_kinds import NoticeKind

State = NoticeDelivery.State


@dataclass(frozen=True, slots=True)
class Addressed:
    """Whom a notice is meant for: those with its roles, and people by name; never `not_to`, whom it is about."""

    by_role: bool
    people: list[Person]
    project: Project | None = None
    not_to: Person | None = None


@dataclass(frozen=True, slots=True)
class _Recipient:
    """A person; `role` is empty for an operator and for who is told by name without being a member."""

    person: Person
    role: Role | None
    is_named: bool


def address_to(notice: Notice, kind: NoticeKind, addressed: Addressed) -> None:
    """Write a delivery for every recipient and channel."""
    recipients = [each for each in _recipients(notice, addressed) if each.person != addressed.not_to]
    choices = _choices(kind, [recipient.person for recipient in recipients])
    now = timezone.now()
    rows = [row for each in recipients for row in _to_person(notice, kind, each, choices, now)]
    if notice.tenant_id is not None:
        rows += [_to_webhook(notice, webhook, now) for webhook in _webhooks(notice)]
    NoticeDelivery.objects.bulk_create(rows)


def address_outsider(notice: Notice, *, email: str, language: str) -> None:
    """One e-mail to an address that belongs to nobody here; nothing where no mail server is set up."""
    if settings.MAIL_IS_SET_UP:
        NoticeDelivery.objects.create(
            notice=notice, channel=Channel.EMAIL, address=email, language=language, next_try_at=timezone.now()
        )


def _recipients(notice: Notice, addressed: Addressed) -> Iterator[_Recipient]:
    named = {person.pk: person for person in addressed.people if person.is_active}
    if notice.tenant_id is None:
        if addressed.by_role:
            for person in Person.objects.filter(is_operator=True, is_active=True):
                yield _Recipient(person, None, is_named=named.pop(person.pk, None) is not None)
    else:
        members = Membership.objects.filter(tenant=notice.tenant_id, person__is_active=True).select_related("person")
        wanted = members.filter(_by_role(notice, addressed) | Q(person__in=list(named))).distinct()
        for membership in wanted:
            is_named = named.pop(membership.person_id, None) is not None
            yield _Recipient(membership.person, Role(membership.role), is_named=is_named)
    yield from (_Recipient(person, None, is_named=True) for person in named.values())


def _by_role(notice: Notice, addressed: Addressed) -> Q:
    if not addressed.by_role:
        return Q(pk__in=[])
    # Not an empty Q(), which vanishes where another is added with "or".
    wanted = Q(role__in=notice.roles) if notice.roles else Q(pk__isnull=False)
    if addressed.project is not None:
        wanted &= Q(in_all_projects=True) | Q(projects=addressed.project)
    return wanted


def _choices(kind: NoticeKind, people: list[Person]) -> dict[tuple[int, str], bool]:
    chosen = NoticeChoice.objects.filter(kind=kind.name, person__in=people)
    return {
        (person_id, channel): is_on for person_id, channel, is_on in chosen.values_list("person", "channel", "is_on")
    }


def _to_person(
    notice: Notice,
    kind: NoticeKind,
    recipient: _Recipient,
    choices: dict[tuple[int, str], bool],
    now: datetime,
) -> Iterable[NoticeDelivery]:
    person, is_named = recipient.person, recipient.is_named
    if kind.is_kept or choices.get((person.pk, Channel.INBOX), True):
        yield NoticeDelivery(
            notice=notice, channel=Channel.INBOX, person=person, is_personal=is_named, state=State.SENT, sent_at=now
        )
    is_mailed = choices.get((person.pk, Channel.EMAIL), is_named or kind.is_mailed_to(recipient.role))
    if is_mailed and settings.MAIL_IS_SET_UP:
        yield NoticeDelivery(notice=notice, channel=Channel.EMAIL, person=person, is_personal=is_named, next_try_at=now)


def _webhooks(notice: Notice) -> QuerySet[Webhook]:
    active = Webhook.objects.filter(tenant=notice.tenant_id, status=Webhook.Status.ACTIVE)
    return active.filter(Q(kinds=[]) | Q(kinds__contains=[notice.kind]))


def _to_webhook(notice: Notice, webhook: Webhook, now: datetime) -> NoticeDelivery:
    return NoticeDelivery(notice=notice, channel=Channel.WEBHOOK, webhook=webhook, next_try_at=now)
