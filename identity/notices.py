"""Notices: made once, addressed when they are made, then read in an inbox and delivered by e-mail and webhook.

`notify()` writes the notice and a row for every recipient and channel in the transaction of what it tells of; so a
notice is neither lost nor sent for what was rolled back. The worker delivers (`identity/notice_delivery.py`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils.translation import gettext as _

from identity import audit
from identity.access import notices_for
from identity.errors import Conflict, NotFound
from identity.models import Notice, NoticeAnswer, NoticeReading, Person, Project, Role, Tenant
from identity.notice_kinds import KINDS, NoticeKind
from identity.notice_recipients import Addressed, address_outsider, address_to
from identity.wording import clean_text

# The newest so many: an inbox is to be read, the audit chain is the archive.
INBOX_LENGTH_MAX = 100
# What a bell shows at most, as "99+"; so counting never reads more rows than this.
UNREAD_SHOWN_MAX = 99
COMMENT_LENGTH_MAX = 2_000  # characters of an answer's comment


@dataclass(frozen=True, slots=True)
class InboxEntry:
    """A notice, and whether the person whose inbox it is has read it."""

    notice: Notice
    is_read: bool


def notify(
    tenant: Tenant | None,
    kind: str,
    *,
    context: Mapping[str, Any] | None = None,
    roles: Iterable[Role] | None = None,
    people: Iterable[Person] = (),
    project: Project | None = None,
    not_to: Person | None = None,
    level: Notice.Level | None = None,
    once_key: str = "",
) -> Notice:
    """Tell members of a tenant, or, `tenant` None, the platform's operators. Call it inside the change's transaction.

    kind: of `identity/notice_kinds`; context: figures and names for its wording, nothing secret
    roles: instead of the kind's; people: these, and by role only where `roles` are given too
    project: what it is about; members of other projects are not told by role
    not_to: whom it is about, and to whom it says nothing new
    level: instead of the kind's
    once_key: says what the notice is about ("budget:7:2026-11:80"): a second one with the same key is the first one
    again
    Raises ValueError for a kind that there is not and a context that lacks what the kind's wording needs.
    """
    known = _known(kind, context or {})
    people = list(people)
    if roles is None:
        roles = () if people else known.roles
    by_role = bool(roles) or not people
    values = {
        "kind": kind,
        "level": level or known.level,
        "roles": sorted(role.value for role in roles),
        "context": dict(context or {}),
    }
    with transaction.atomic():
        notice, is_new = _made_once(tenant, once_key, values)
        if is_new:
            address_to(notice, known, Addressed(by_role=by_role, people=people, project=project, not_to=not_to))
    return notice


def notify_outsider(
    tenant: Tenant,
    kind: str,
    *,
    email: str,
    language: str,
    context: Mapping[str, Any] | None = None,
    once_key: str = "",
) -> Notice:
    """Write one e-mail to somebody who is nobody here yet, such as who was invited. The rest is as of `notify`."""
    known = _known(kind, context or {})
    values = {"kind": kind, "level": known.level, "context": dict(context or {})}
    with transaction.atomic():
        notice, is_new = _made_once(tenant, once_key, values)
        if is_new:
            address_outsider(notice, email=email, language=language)
    return notice


def inbox(person: Person, *, unread_only: bool = False, topic_kinds: Iterable[str] | None = None) -> list[InboxEntry]:
    """The newest notices to the person, newest first; of some kinds only where they are given."""
    notices = notices_for(person).select_related("tenant").annotate(is_read=Exists(_readings(person)))
    if unread_only:
        notices = notices.filter(is_read=False)
    if topic_kinds is not None:
        notices = notices.filter(kind__in=list(topic_kinds))
    return [InboxEntry(notice, notice.is_read) for notice in notices[:INBOX_LENGTH_MAX]]


def notice_for(person: Person, notice_id: int) -> Notice:
    """One notice to the person. Raises `NotFound` for what is addressed to others."""
    notice = notices_for(person).select_related("tenant").filter(pk=notice_id).first()
    if notice is None:
        raise NotFound("notice")
    return notice


def unread_count(person: Person) -> int:
    """How many notices the person has not read: one query, and it stops at `UNREAD_SHOWN_MAX` + 1."""
    unread = notices_for(person).filter(~Exists(_readings(person)))
    return unread.order_by()[: UNREAD_SHOWN_MAX + 1].count()


def mark_read(person: Person, notice_id: int) -> None:
    """Remember that the person has read it; twice is once. Raises `NotFound` for what is addressed to others."""
    notice = notice_for(person, notice_id)
    NoticeReading.objects.bulk_create([NoticeReading(notice=notice, person=person)], ignore_conflicts=True)


def mark_all_read(person: Person) -> int:
    """Remember that the person has read all that there is now. Returns how many were unread."""
    unread = notices_for(person).filter(~Exists(_readings(person))).values_list("pk", flat=True)
    readings = [NoticeReading(notice_id=notice_id, person=person) for notice_id in unread]
    NoticeReading.objects.bulk_create(readings, ignore_conflicts=True)
    return len(readings)


def answer_notice(person: Person, notice_id: int, *, is_yes: bool, comment: str = "") -> NoticeAnswer:
    """Answer a notice that asks, or answer it anew; the operators are told.

    Raises `NotFound`, `Conflict` (it asks nothing), `Invalid` (the comment).
    """
    notice = notice_for(person, notice_id)
    kind = KINDS.get(notice.kind)
    if kind is None or not kind.asks or notice.tenant is None:
        raise Conflict(_("this notice asks nothing"))
    comment = clean_text(comment, "comment", COMMENT_LENGTH_MAX)
    with transaction.atomic():
        answer, _made = NoticeAnswer.objects.update_or_create(
            notice=notice, person=person, defaults={"is_yes": is_yes, "comment": comment}
        )
        told = {"organisation": notice.tenant.name, "model": notice.context.get("model", ""), "comment": comment}
        notify(None, "consultation.agreed" if is_yes else "consultation.objected", context=told)
        target = audit.Target("notice", str(notice.pk))
        detail = {"is_yes": is_yes, "kind": notice.kind}
        actor = audit.Actor.person(person)
        audit.record(tenant=notice.tenant, actor=actor, action="notice.answered", target=target, detail=detail)
    return answer


def answer_of(person: Person, notice: Notice) -> NoticeAnswer | None:
    """What the person answered, if anything."""
    return NoticeAnswer.objects.filter(notice=notice, person=person).first()


def _known(kind: str, context: Mapping[str, Any]) -> NoticeKind:
    if kind not in KINDS:
        raise ValueError(f"there is no kind of notice {kind!r}: describe it in identity/notice_kinds")
    KINDS[kind].check(context)
    return KINDS[kind]


def _made_once(tenant: Tenant | None, once_key: str, values: Mapping[str, Any]) -> tuple[Notice, bool]:
    if not once_key:
        return Notice.objects.create(tenant=tenant, **values), True
    return Notice.objects.get_or_create(tenant=tenant, once_key=once_key, defaults=values)


def _readings(person: Person) -> QuerySet[NoticeReading]:
    return NoticeReading.objects.filter(notice=OuterRef("pk"), person=person)
