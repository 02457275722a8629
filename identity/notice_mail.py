"""A notice as an e-mail, in its reader's language."""

import smtplib
from collections.abc import Callable
from email.utils import formataddr, parseaddr
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.utils import translation

from identity.models import NoticeDelivery, Person
from identity.notice_outcome import Fault, Outcome
from identity.notice_wording import word
from identity.service import service

_PERMANENT = 500  # SMTP: from here on, the server will not change its mind


def mail_of(delivery: NoticeDelivery) -> Callable[[], Outcome]:
    """Word the e-mail now, send it when called (in any thread: it touches no database)."""
    if not settings.MAIL_IS_SET_UP:
        return lambda: Outcome(Fault.NO_MAIL_SERVER, is_final=True)
    message = compose(delivery)
    return lambda: send(message)


def compose(delivery: NoticeDelivery) -> EmailMultiAlternatives:
    """The message. Its id stays the same however often it is sent, so that mail programs show it once."""
    person, notice = delivery.person, delivery.notice
    language = service().language_for(person.language if person else delivery.language)
    tenant = notice.tenant
    zone = (person.time_zone if person else "") or (tenant.time_zone if tenant else settings.TIME_ZONE)
    worded = word(notice, language=language, time_zone=zone)
    context = {
        "notice": notice,
        "worded": worded,
        "tenant": tenant,
        "person": person,
        "language": language,
        "link": f"{settings.PUBLIC_URL}{worded.path}" if worded.path else "",
        "service": service(),
        "choices_link": f"{_console_of(person)}/account/notices",
    }
    with translation.override(language):
        text = render_to_string("mail/notice.txt", context)
        page = render_to_string("mail/notice.html", context)
    subject = " ".join(f"{tenant.name}: {worded.title}".split() if tenant else worded.title.split())
    host = urlsplit(settings.PUBLIC_URL).hostname
    message = EmailMultiAlternatives(
        subject,
        text,
        from_email=sender(),
        to=[person.email if person else delivery.address],
        headers={"Message-ID": f"<{delivery.public_id}@{host}>", "Auto-Submitted": "auto-generated"},
    )
    message.attach_alternative(page, "text/html")
    return message


def sender() -> str:
    """From whom mails are: the mail server's address, by the name of the service where it has one."""
    return formataddr(sender_parts())


def sender_parts() -> tuple[str, str]:
    """The sender's name ("" where there is none) and address, as people read them."""
    name, address = parseaddr(settings.DEFAULT_FROM_EMAIL)
    return service().name or name, address


def _console_of(person: Person | None) -> str:
    """Where the reader signs in: who runs the platform has a console of their own."""
    return f"{settings.OPERATOR_URL}/operator" if person and person.is_operator else settings.PUBLIC_URL


def send(message: EmailMultiAlternatives) -> Outcome:
    """One attempt."""
    try:
        message.send()
    except smtplib.SMTPRecipientsRefused as error:
        status = max((code for code, _ in error.recipients.values()), default=0)
        return Outcome(Fault.MAIL_REFUSED, status, is_final=status >= _PERMANENT)
    except smtplib.SMTPResponseException as error:
        return Outcome(Fault.MAIL_REFUSED, error.smtp_code)
    except (smtplib.SMTPException, OSError):
        return Outcome(Fault.MAIL_SERVER_AWAY)
    return Outcome()
