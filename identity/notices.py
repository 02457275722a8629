"""Notices to people: made once, read in an inbox. Only the text's `kind` and figures are stored; pages word it."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from identity.access import notices_for
from identity.errors import NotFound
from identity.models import Notice, NoticeReading, Person, Role, Tenant

# The newest so many: an inbox is to be read, the audit chain is the archive.
INBOX_LENGTH_MAX = 100


class InboxEntry(NamedTuple):
    """A notice, and whether the person whose inbox it is has read it."""

    notice: Notice
    is_read: bool


def notify(
    tenant: Tenant | None,
    kind: str,
    *,
    level: Notice.Level = Notice.Level.INFO,
    roles: Iterable[Role] = (),
    context: Mapping[str, Any] | None = None,
    once_key: str = "",
) -> Notice:
    """Tell a tenant's members with one of the roles (none given: all), or, `tenant` None, the platform's operators.

    kind: what happened, such as "budget.reached"; context: figures and names for the wording, nothing secret
    once_key: says what the notice is about ("budget:7:2026-11:80"): a second one with the same key is the first one
    again
    """
    values = {"kind": kind, "level": level, "roles": [role.value for role in roles], "context": dict(context or {})}
    if not once_key:
        return Notice.objects.create(tenant=tenant, **values)
    notice, _ = Notice.objects.get_or_create(tenant=tenant, once_key=once_key, defaults=values)
    return notice


def inbox(person: Person) -> list[InboxEntry]:
    """The newest notices to the person, newest first."""
    notices = list(notices_for(person).select_related("tenant")[:INBOX_LENGTH_MAX])
    read = set(NoticeReading.objects.filter(person=person, notice__in=notices).values_list("notice_id", flat=True))
    return [InboxEntry(notice, notice.pk in read) for notice in notices]


def mark_read(person: Person, notice_id: int) -> None:
    """Remember that the person has read it; twice is once. Raises `NotFound` for what is addressed to others."""
    if not notices_for(person).filter(pk=notice_id).exists():
        raise NotFound("notice")
    NoticeReading.objects.get_or_create(notice_id=notice_id, person=person)
