"""Mail: where it goes, how it went of late, and a try."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from console.pages import operator_page
from identity.mail_deliveries import recent_mail
from identity.models import NoticeDelivery, Person
from identity.notice_kinds import KINDS
from identity.notice_mail import sender_parts
from identity.permissions import OperatorPermission


@require_GET
@operator_page(OperatorPermission.PLATFORM_READ)
def mail(request: HttpRequest, operator: Person) -> HttpResponse:
    """What the environment says of the mail server, never its password."""
    recent = recent_mail()
    shown: dict[str, Any] = {"is_set_up": settings.MAIL_IS_SET_UP, "recent": recent}
    shown["failures"] = [(delivery, *_worded(delivery)) for delivery in recent.failures]
    if settings.MAIL_IS_SET_UP:
        shown |= {
            "server": f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT}",
            "encryption": _encryption(),
            "user": settings.EMAIL_HOST_USER,
            "sender": sender_parts(),
        }
    return render(request, "console/operator/settings/mail.html", shown)


def _worded(delivery: NoticeDelivery) -> tuple[str, str]:
    """Of what kind the notice is, and why it did not leave."""
    kind, fault = KINDS.get(delivery.notice.kind), delivery.fault
    label = NoticeDelivery.Fault(fault).label if fault in NoticeDelivery.Fault.values else fault
    return str(kind.label) if kind else delivery.notice.kind, str(label)


def _encryption() -> str:
    if settings.EMAIL_USE_SSL:
        return _("TLS from the first byte (smtps)")
    return _("TLS after the greeting (STARTTLS)") if settings.EMAIL_USE_TLS else _("none: mails cross the network open")
