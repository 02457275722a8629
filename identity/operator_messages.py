"""What a tenant's members tell or ask the operator in writing: the lines of the responsibility matrix in which the
operator is consulted or informed.
"""

from datetime import timedelta
from enum import StrEnum

from django.db import transaction
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from identity import audit
from identity.access import Caller
from identity.errors import Conflict, Invalid
from identity.members import name_of
from identity.models import AuditEvent
from identity.notices import notify
from identity.permissions import Permission
from identity.wording import clean_text

MESSAGE_LENGTH_MAX = 2_000  # characters
# Enough for any conversation by hand; a program that loops is stopped.
MESSAGES_A_DAY_MAX = 20


class Topic(StrEnum):
    """What it is about."""

    SUITABILITY = "suitability"
    SUBSCRIPTION = "subscription"
    DATA_PROTECTION = "data_protection"
    LEAVING = "leaving"
    OTHER = "other"

    @property
    def label(self) -> Promise:
        """For people."""
        return _TOPICS[self]


_TOPICS: dict[Topic, Promise] = {
    Topic.SUITABILITY: gettext_lazy("Whether the service suits our application"),
    Topic.SUBSCRIPTION: gettext_lazy("Our subscription and who is billed"),
    Topic.DATA_PROTECTION: gettext_lazy("Protection of our data, and what the law asks of us"),
    Topic.LEAVING: gettext_lazy("Moving away"),
    Topic.OTHER: gettext_lazy("Something else"),
}


def tell_operator(*, by: Caller, topic: Topic, message: str) -> None:
    """Put a message into the inbox of everybody who runs the platform. It may be a question: they answer by e-mail.

    Raises `Forbidden`, `Invalid`, `Conflict` (too many a day).
    """
    by.require(Permission.TENANT_READ)
    text = clean_text(message, "message", MESSAGE_LENGTH_MAX)
    if not text:
        raise Invalid("message", _("must not be empty"))
    with transaction.atomic():
        since = timezone.now() - timedelta(days=1)
        told = AuditEvent.objects.filter(tenant=by.tenant, action="operator.told", at__gte=since)
        if told.count() >= MESSAGES_A_DAY_MAX:
            raise Conflict(_("the organisation has told the operator enough for a day"))
        context = {
            "organisation": by.tenant.name,
            "by": name_of(by),
            "email": by.person.email if by.person else "",
            "topic": str(topic.label),
            "message": text,
        }
        notify(None, "operator.told", context=context)
        detail = {"topic": topic.value}
        audit.record(tenant=by.tenant, actor=by.actor, action="operator.told", target=by.tenant, detail=detail)
