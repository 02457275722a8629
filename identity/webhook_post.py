"""A notice as a signed message to a tenant's webhook."""

import json
import time
from collections.abc import Callable
from datetime import UTC
from http import HTTPStatus

from django.conf import settings
from django.utils import timezone

from identity import egress
from identity.keyring import KeyringError
from identity.models import NoticeDelivery, Webhook
from identity.notice_outcome import Fault, Outcome
from identity.notice_wording import word
from identity.secret_box import SecretBoxError, open_sealed
from identity.webhook_signature import signed_headers

POST_SECONDS = 15.0  # Standard Webhooks asks for 15 to 30 s
ANSWER_BYTES_MAX = 64 * 1024  # a receipt; nobody reads it

_FAULTS: tuple[tuple[type[egress.EgressError], Fault], ...] = (
    (egress.UrlRefused, Fault.BAD_URL),
    (egress.AddressRefused, Fault.PRIVATE),
    (egress.TlsRefused, Fault.NO_TLS),
    (egress.TimedOut, Fault.TOO_SLOW),
    (egress.AnswerTooLarge, Fault.ANSWER_TOO_LARGE),
)


def secret_context(webhook: Webhook) -> str:
    """What a webhook's secrets are sealed for."""
    return f"identity.webhook:{webhook.public_id}:secret"


def message_of(delivery: NoticeDelivery) -> bytes:
    """The body: compact JSON, the same for every try."""
    notice = delivery.notice
    assert notice.tenant is not None
    worded = word(notice, language="en", time_zone=notice.tenant.time_zone)
    message = {
        "type": notice.kind,
        "timestamp": notice.created_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "data": {
            "notice_id": notice.pk,
            "organisation": notice.tenant.slug,
            "level": notice.level,
            "title": worded.title,
            "text": worded.text,
            "link": f"{settings.PUBLIC_URL}{worded.path}" if worded.path else None,
            "context": notice.context,
        },
    }
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False, sort_keys=True).encode()


def post_of(delivery: NoticeDelivery) -> Callable[[], Outcome]:
    """Word it and open its secrets now; post it when called (in any thread: it touches no database)."""
    webhook = delivery.webhook
    assert webhook is not None
    if webhook.status != Webhook.Status.ACTIVE:
        return lambda: Outcome(Fault.SWITCHED_OFF, is_final=True)
    try:
        valid = valid_secrets(webhook)
    except (SecretBoxError, KeyringError):
        return lambda: Outcome(Fault.SECRET)
    body, message_id, url = message_of(delivery), f"msg_{delivery.public_id.hex}", webhook.url
    return lambda: _post(url, message_id, body, valid)


def valid_secrets(webhook: Webhook) -> list[bytes]:
    """The secrets that sign now, the newest first: two for a while after a rotation. Raises `SecretBoxError`."""
    sealed = [webhook.secret]
    if webhook.old_secret is not None and webhook.old_secret_until and webhook.old_secret_until > timezone.now():
        sealed.append(webhook.old_secret)
    return [open_sealed(each, secret_context(webhook)) for each in sealed]


def _post(url: str, message_id: str, body: bytes, valid: list[bytes]) -> Outcome:
    headers = signed_headers(message_id, int(time.time()), body, valid) | {"Content-Type": "application/json"}
    try:
        answer = egress.fetch(
            "POST",
            url,
            headers=headers,
            body=body,
            allow_private=settings.WEBHOOKS_MAY_BE_PRIVATE,
            total_seconds=POST_SECONDS,
            response_bytes_max=ANSWER_BYTES_MAX,
        )
    except egress.EgressError as error:
        return Outcome(next((fault for kind, fault in _FAULTS if isinstance(error, kind)), Fault.NO_ANSWER))
    if answer.status == HTTPStatus.GONE:
        return Outcome(Fault.GONE, answer.status, is_final=True)
    if 200 <= answer.status < 300:
        return Outcome(status=answer.status)
    return Outcome(Fault.STATUS, answer.status)
